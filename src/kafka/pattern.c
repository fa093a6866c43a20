/* A pattern is parsed into a tree (pattern_parse.c), the tree becomes a program, and the program runs over a name in all its states at
 * once (Thompson's construction): no name takes longer than its length times the program's. */
#include "kafka/pattern_internal.h"
#include <stdlib.h>

/* ---- the program ---- */

struct instruction {
	enum op op;
	int x, y; /* OP_SPLIT: both are next; OP_JUMP: x is. The others go on with the one behind them */
	struct set set;
};
struct pattern {
	struct instruction *program;
	int count;
	int *now, *next, *stack; /* states */
	uint64_t *seen, mark;    /* when a state was entered last */
};

static int emit(struct pattern *o, struct parser *p, struct instruction i)
{
	if (o->count == KAFKA_PATTERN_PROGRAM_MAX) {
		pattern__fail(p, SM_TOO_LARGE, "expression too large");
		return 0;
	}
	o->program[o->count] = i;
	return o->count++;
}

static void emit_node(struct pattern *o, struct parser *p, int at);

static void emit_repeat(struct pattern *o, struct parser *p, const struct node *n)
{
	for (int i = 0; i < n->min && !p->err; i++) {
		int before = o->count;
		emit_node(o, p, n->a);
		if (o->count == before) /* it matches nothing: once is as good as often */
			break;
	}
	if (n->max < 0) {
		int split = emit(o, p, (struct instruction){.op = OP_SPLIT, .x = o->count + 1});
		emit_node(o, p, n->a);
		emit(o, p, (struct instruction){.op = OP_JUMP, .x = split});
		o->program[split].y = o->count;
		return;
	}
	int last = -1; /* the splits that leave: chained by y until it is known where they go */
	for (int i = n->min; i < n->max && !p->err; i++) {
		last = emit(o, p, (struct instruction){.op = OP_SPLIT, .x = o->count + 1, .y = last});
		emit_node(o, p, n->a);
	}
	while (last >= 0 && !p->err) {
		int before = o->program[last].y;
		o->program[last].y = o->count;
		last = before;
	}
}

static void emit_node(struct pattern *o, struct parser *p, int at)
{
	const struct node *n = &p->nodes[at];
	if (p->err)
		return;
	switch (n->op) {
	case OP_EMPTY: break;
	case OP_CAT:
		emit_node(o, p, n->a);
		emit_node(o, p, n->b);
		break;
	case OP_ALT: {
		int split = emit(o, p, (struct instruction){.op = OP_SPLIT, .x = o->count + 1});
		emit_node(o, p, n->a);
		int jump = emit(o, p, (struct instruction){.op = OP_JUMP});
		o->program[split].y = o->count;
		emit_node(o, p, n->b);
		o->program[jump].x = o->count;
		break;
	}
	case OP_REPEAT: emit_repeat(o, p, n); break;
	default: emit(o, p, (struct instruction){.op = n->op, .set = n->set}); break;
	}
}

void pattern__free(struct pattern *o)
{
	if (!o)
		return;
	free(o->program);
	free(o->now);
	free(o->next);
	free(o->stack);
	free(o->seen);
	free(o);
}

static enum sm_err make_states(struct pattern *o)
{
	size_t n = (size_t)o->count;
	o->now = calloc(n, sizeof *o->now);
	o->next = calloc(n, sizeof *o->next);
	o->stack = calloc(2 * n + 1, sizeof *o->stack);
	o->seen = calloc(n, sizeof *o->seen);
	return o->now && o->next && o->stack && o->seen ? SM_OK : SM_NO_MEMORY;
}

static enum sm_err compile(struct pattern *o, struct parser *p)
{
	int top = pattern__parse(p);
	if (!p->err)
		emit_node(o, p, top);
	if (!p->err)
		emit(o, p, (struct instruction){.op = OP_MATCH});
	if (!p->err && make_states(o))
		pattern__fail(p, SM_NO_MEMORY, "no memory");
	return p->err;
}

enum sm_err pattern__new(struct bytes text, struct pattern **ret_pattern, const char **ret_why)
{
	struct parser p = {.at = text.data, .end = text.data + text.size, .why = "no memory"};
	enum sm_err err = SM_NO_MEMORY;
	struct pattern *o = calloc(1, sizeof *o);
	p.nodes = malloc(KAFKA_PATTERN_PROGRAM_MAX * sizeof *p.nodes);
	if (o)
		o->program = malloc(KAFKA_PATTERN_PROGRAM_MAX * sizeof *o->program);
	if (o && o->program && p.nodes)
		err = compile(o, &p);
	free(p.nodes);
	if (err) {
		pattern__free(o);
		*ret_why = p.why;
		return err;
	}
	*ret_pattern = o;
	return SM_OK;
}

/* ---- running it ---- */

struct place {
	bool begin, end, word; /* word: a word begins or ends here */
};

/* The states that are reached from one without a character, in *states. */
static void enter(struct pattern *o, int state, struct place place, int *states, int *count)
{
	int depth = 0;
	o->stack[depth++] = state;
	while (depth) {
		int at = o->stack[--depth];
		const struct instruction *i = &o->program[at];
		if (o->seen[at] == o->mark)
			continue;
		o->seen[at] = o->mark;
		bool pass = true;
		switch (i->op) {
		case OP_SPLIT: o->stack[depth++] = i->y; /* fall through */
		case OP_JUMP: o->stack[depth++] = i->x; continue;
		case OP_BEGIN: pass = place.begin; break;
		case OP_END: pass = place.end; break;
		case OP_WORD: pass = place.word; break;
		case OP_NOT_WORD: pass = !place.word; break;
		default: states[(*count)++] = at; continue;
		}
		if (pass)
			o->stack[depth++] = at + 1;
	}
}

bool pattern__matches(struct pattern *o, const char *name)
{
	int count = 0;
	const uint8_t *text = (const uint8_t *)name;
	struct place place = {true, !*text, *text && is_word(*text)};
	o->mark++;
	enter(o, 0, place, o->now, &count);
	for (; *text && count; text++) {
		int next = 0;
		bool word = text[1] && is_word(text[1]);
		place = (struct place){false, !text[1], is_word(*text) != word};
		o->mark++;
		for (int i = 0; i < count; i++) {
			const struct instruction *in = &o->program[o->now[i]];
			if (in->op == OP_SET && set_has(&in->set, *text))
				enter(o, o->now[i] + 1, place, o->next, &next);
		}
		int *swap = o->now;
		o->now = o->next;
		o->next = swap;
		count = next;
	}
	for (int i = 0; i < count; i++) {
		if (o->program[o->now[i]].op == OP_MATCH)
			return true;
	}
	return false;
}
