/* A flow: the lines of a file, their words counted on the pool's threads, in batches, and the sum of all at the end.
 *
 *	flow FILE
 *
 * However fast the file is read, no more than 64 lines are ahead of the pool and no more than 4 are on it: who is slow is what is waited
 *for. If the file cannot be read, reading begins anew, three times, before the flow fails. */
#include <smack/flow.h>
#include <stdio.h>
#include <stdlib.h>

/* An element is a message: a line, which becomes a number of words. */
struct line {
	struct sm_msg msg;
	char *text;
	uint64_t words;
};

static void line_done(struct sm_msg *msg)
{
	free(((struct line *)msg)->text);
	free(msg);
}
static const struct sm_msg_type line_type = {"line", line_done, NULL};

/* ---- source: an iterator ---- */

struct reader {
	FILE *file;
};

static enum sm_err reader_init(void *arg, void *state, struct sm_error *reterr)
{
	struct reader *r = state;
	r->file = fopen(arg, "re");
	return r->file ? SM_OK : sm_fail(reterr, SM_NOT_FOUND, "cannot open %s: give a file that can be read", (const char *)arg);
}

static enum sm_err reader_next(void *arg, void *state, struct sm_msg **ret_element, struct sm_error *reterr)
{
	struct reader *r = state;
	size_t size = 0;
	struct line *line = calloc(1, sizeof *line);
	if (!line)
		return SM_NO_MEMORY;
	line->msg.type = &line_type;
	if (getline(&line->text, &size, r->file) >= 0) {
		*ret_element = &line->msg;
		return SM_OK;
	}
	sm_msg_free(&line->msg);
	return ferror(r->file) ? sm_fail(reterr, SM_IO, "cannot read %s", (const char *)arg) : SM_END;
}

static void reader_done(void *arg, void *state)
{
	fclose(((struct reader *)state)->file);
}

/* ---- stages ---- */

static enum sm_err count_words(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	struct line *line = (struct line *)element;
	bool in_word = false;
	for (const char *c = line->text; *c; c++) {
		bool space = *c == ' ' || *c == '\t' || *c == '\n';
		line->words += !space && !in_word;
		in_word = !space;
	}
	*ret_element = element;
	return SM_OK;
}

static bool has_words(void *arg, const struct sm_msg *element)
{
	return ((const struct line *)element)->words > 0;
}

static enum sm_err add(void *arg, struct sm_msg **value, struct sm_msg *element, struct sm_error *reterr)
{
	struct sm_flow_batch_msg *batch = (struct sm_flow_batch_msg *)element;
	struct line *sum = (struct line *)*value;
	if (!sum) {
		if (!(sum = calloc(1, sizeof *sum)))
			return SM_NO_MEMORY;
		sum->msg.type = &line_type;
		*value = &sum->msg;
	}
	for (const struct sm_msg *m = batch->first; m; m = m->next)
		sum->words += ((const struct line *)m)->words;
	sm_msg_free(element);
	return SM_OK;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return fprintf(stderr, "usage: flow FILE\n"), 2;
	const struct sm_flow_iterator reader = {sizeof(struct reader), reader_init, reader_next, reader_done};
	const struct sm_supervision restart = {.restarts_max = 3, .window_ms = 60000, .backoff_min_ms = 10, .backoff_max_ms = 1000};
	struct sm_error error;
	struct sm_system *system;
	struct sm_flow_run *run = NULL;

	struct sm_flow *f = sm_flow_from_iterator(&reader, argv[1]);
	f = sm_flow_restart(f, &restart);
	f = sm_flow_map_pool(f, count_words, NULL, 4, true);
	f = sm_flow_filter(f, has_words, NULL);
	f = sm_flow_batch(f, &(struct sm_flow_batch){.count_max = 100, .within_ms = 1000});
	f = sm_flow_fold(f, "words", add, NULL);

	enum sm_err err = sm_system_new(NULL, &system, &error);
	if (err)
		return fprintf(stderr, "flow: %s\n", error.text), 1;
	enum sm_err how = SM_OK;
	if (!(err = sm_flow_run(system, f, NULL, &run, &error)))
		err = sm_flow_wait(run, UINT32_MAX, &how, &error);
	if (!err)
		err = how;
	if (!err) {
		struct sm_msg *sum = sm_flow_value(run, "words");
		printf("%llu words\n", sum ? (unsigned long long)((struct line *)sum)->words : 0);
		sm_msg_free(sum);
	}
	if (err)
		fprintf(stderr, "flow: %s\n", error.text);
	sm_flow_release(run);
	sm_flow_free(f);
	(void)!sm_system_stop(system, 3000);
	return err ? 1 : 0;
}
