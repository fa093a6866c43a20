/* Failing calls and power loss: what was acknowledged is there or is refused, never lost without a
 * word and never served wrong. */
#include "log/testing.h"
#include <errno.h>
#include <semaphore.h>

#define ROUNDS 12
#define IN_FLIGHT 4
#define APPENDS (ROUNDS * IN_FLIGHT)
#define TOPIC "crash"

/* What the client knows: record i was acknowledged at this offset, or -1. */
struct acked {
	int64_t offset[APPENDS];
	int count;
};

struct sent {
	struct buf batch;
	sem_t done;
	struct log_append_result result;
};

static void sent_is_done(void *arg, const struct log_append_result *result)
{
	struct sent *s = arg;
	s->result = *result;
	sem_post(&s->done);
}

/* IN_FLIGHT appends of one record each at once, ROUNDS times; sizes vary, so that groups, fills and rolls fall differently. Some groups are
 * so large that they extend the file. */
static void produce(struct bench_log *b, struct acked *acked)
{
	for (int i = 0; i < APPENDS; i++)
		acked->offset[i] = -1;
	for (int round = 0; round < ROUNDS; round++) {
		struct sent sent[IN_FLIGHT];
		for (int k = 0; k < IN_FLIGHT; k++) {
			int i = round * IN_FLIGHT + k;
			buf_init(&sent[k].batch);
			sem_init(&sent[k].done, 0, 0);
			testing_batch_put(&sent[k].batch, TOPIC, i, 1, i % 31 == 17 ? 300000 : (size_t)(100 + i * 37 % 3000), 5, 0, i);
			b->log->ops->append(b->log, TOPIC, 0, sent[k].batch.data, buf_size(&sent[k].batch), 0, sent_is_done, &sent[k]);
		}
		for (int k = 0; k < IN_FLIGHT; k++) {
			sem_wait(&sent[k].done);
			if (!sent[k].result.err) {
				acked->offset[round * IN_FLIGHT + k] = sent[k].result.base_offset;
				acked->count++;
			}
			sem_destroy(&sent[k].done);
			buf_done(&sent[k].batch);
		}
	}
}

struct checked {
	const struct acked *acked;
	int64_t offset;
	int last, found;
};

static void check_batch(void *arg, const struct log_read_result *read, struct batch_reader *batch)
{
	struct checked *c = arg;
	struct record record;
	assert_int_equal(batch->info.base_offset, c->offset);
	while (batch_next(batch, &record) == SM_OK) {
		int i = atoi((const char *)record.value.data + strlen(TOPIC "-"));
		if (i <= c->last)
			fail_msg("record %d at offset %lld comes after %d", i, (long long)record.offset, c->last);
		if (c->acked->offset[i] >= 0 && c->acked->offset[i] != record.offset)
			fail_msg("record %d is at offset %lld, acknowledged was %lld", i, (long long)record.offset,
				 (long long)c->acked->offset[i]);
		c->found += c->acked->offset[i] >= 0;
		c->last = i;
		c->offset = record.offset + 1;
	}
}

/* Each record that is there, in order; every acknowledged one at its offset. Returns the next offset. */
static int64_t check_acked(struct bench_log *b, const struct acked *acked)
{
	struct checked c = {.acked = acked, .last = -1};
	testing_walk(b, (struct testing_walk){TOPIC, 0, 0, 5000, false, check_batch, &c});
	if (c.found != acked->count)
		fail_msg("%d of %d acknowledged records are there", c.found, acked->count);
	return c.offset;
}

static void restart_and_check(struct bench_log *b, const struct acked *acked, const char *what, uint64_t n)
{
	struct sm_error error;
	enum sm_err err = testing_try_open(b, &error);
	if (err)
		fail_msg("%s %llu: %s", what, (unsigned long long)n, error.text);
	const struct log_topics *topics = b->log->ops->topics(b->log);
	bool there = log_topics_find(topics, TOPIC) != NULL;
	b->log->ops->topics_release(b->log, topics);
	if (!there) {
		assert_int_equal(acked->count, 0);
		testing_close(b);
		return;
	}
	int64_t next = check_acked(b, acked);
	int64_t at = testing_append(b, TOPIC, 0, 1000, 1, 50);
	assert_int_equal(at, next);
	testing_close(b);
}

static uint64_t checkpoint_bytes; /* 0: as always */
static uint32_t direct_bytes;     /* groups from this size on go past the page cache; 0: none */

/* Run the whole with the Nth changing call failing; gives whether it was reached. */
static bool run_with_fault(struct bench_log *b, const struct io_fault_plan *plan, struct acked *acked, struct io **ret_io)
{
	struct io *io = io_fault_new(plan);
	struct sm_error error;
	memset(acked, 0, sizeof *acked);
	b->options.io = io;
	b->options.segment_bytes = 24000;
	b->options.direct_bytes = direct_bytes;
	if (testing_try_open(b, &error) == SM_OK) {
		struct log_topic_spec spec = {TOPIC, 1, 1, NULL, 0};
		if (checkpoint_bytes)
			((struct engine *)b->log)->checkpoint_bytes = checkpoint_bytes;
		if (log_topic_create_wait(b->log, &spec, &error) == SM_OK)
			produce(b, acked);
		(void)!b->log->ops->close(b->log, &error);
		b->log = NULL;
	}
	*ret_io = io;
	return io_fault_calls(io) >= plan->fail_at;
}

static void fresh_dir(struct bench_log *b)
{
	if (b->dir[0])
		assert_int_equal(io_remove_tree(&io_system, b->dir, NULL), SM_OK);
	testing_dir(b);
}

static void lose_nothing(uint64_t step)
{
	struct bench_log b = {.dir = ""};
	struct acked acked;
	struct io *io;
	testing_system(&b);
	for (uint64_t n = 1;; n += step) {
		bool reached = false;
		for (uint64_t seed = 0; seed < 3; seed++) {
			fresh_dir(&b);
			const struct io_fault_plan plan = {.fail_at = n, .fail_after = true, .tear_bytes = n * 97 % 5000};
			reached = run_with_fault(&b, &plan, &acked, &io);
			if (seed) /* 0: only the process dies */
				assert_int_equal(io_fault_power_loss(io, seed * 1000 + n, NULL), SM_OK);
			io_fault_free(io);
			b.options.io = NULL;
			restart_and_check(&b, &acked, "death at call", n);
		}
		if (!reached)
			break;
	}
	assert_int_equal(acked.count, APPENDS);
	testing_end(&b);
}

static void process_death_and_power_loss_at_every_call_lose_nothing_acknowledged(void **state)
{
	lose_nothing(1);
}

static void nor_past_the_page_cache(void **state)
{
	direct_bytes = 1;
	lose_nothing(3);
	direct_bytes = 0;
}

static void nor_with_a_checkpoint_every_few_batches(void **state)
{
	checkpoint_bytes = 5000;
	lose_nothing(2);
	checkpoint_bytes = 0;
}

/* ---- a crash in the recovery from a crash ---- */

/* Passes calls to the twin until `left` changing ones were made; the process is dead then, but what it had written without a
 * sync is still in the page cache, and the twin still knows it for unsynced. */
struct gate {
	struct io io;
	struct io *twin;
	atomic_long left;
};
#define GATE_CALL(name, params, args)                          \
	static enum sm_err gate_##name params                  \
	{                                                      \
		struct gate *g = (struct gate *)io;            \
		if (atomic_fetch_sub(&g->left, 1) <= 0)        \
			return sm_fail(reterr, SM_IO, "dead"); \
		io = g->twin;                                  \
		return io->ops->name args;                     \
	}
GATE_CALL(pwritev, (struct io * io, struct io_file *file, const struct iovec *iov, int n, uint64_t at, struct sm_error *reterr),
	  (io, file, iov, n, at, reterr))
GATE_CALL(fdatasync, (struct io * io, struct io_file *file, struct sm_error *reterr), (io, file, reterr))
GATE_CALL(truncate, (struct io * io, struct io_file *file, uint64_t size, struct sm_error *reterr), (io, file, size, reterr))
GATE_CALL(rename, (struct io * io, const char *from, const char *to, struct sm_error *reterr), (io, from, to, reterr))
GATE_CALL(unlink, (struct io * io, const char *path, struct sm_error *reterr), (io, path, reterr))
GATE_CALL(mkdir, (struct io * io, const char *path, struct sm_error *reterr), (io, path, reterr))
GATE_CALL(rmdir, (struct io * io, const char *path, struct sm_error *reterr), (io, path, reterr))
GATE_CALL(sync_dir, (struct io * io, const char *path, struct sm_error *reterr), (io, path, reterr))

static enum sm_err gate_open(struct io *io, const char *path, unsigned how, struct io_file *ret_file, struct sm_error *reterr)
{
	struct gate *g = (struct gate *)io;
	if ((how & (IO_CREATE | IO_TRUNCATE)) && atomic_fetch_sub(&g->left, 1) <= 0)
		return sm_fail(reterr, SM_IO, "dead");
	return g->twin->ops->open(g->twin, path, how, ret_file, reterr);
}
static void gate_close(struct io *io, struct io_file *file)
{
	struct gate *g = (struct gate *)io;
	g->twin->ops->close(g->twin, file);
}
static enum sm_err gate_pread(struct io *io, struct io_file *file, void *data, size_t size, uint64_t at, size_t *ret_got,
			      struct sm_error *reterr)
{
	struct gate *g = (struct gate *)io;
	return g->twin->ops->pread(g->twin, file, data, size, at, ret_got, reterr);
}
static enum sm_err gate_size(struct io *io, struct io_file *file, uint64_t *ret_size, struct sm_error *reterr)
{
	struct gate *g = (struct gate *)io;
	return g->twin->ops->size(g->twin, file, ret_size, reterr);
}
static enum sm_err gate_list(struct io *io, const char *path, enum sm_err (*visit)(void *arg, const char *name), void *arg,
			     struct sm_error *reterr)
{
	struct gate *g = (struct gate *)io;
	return g->twin->ops->list(g->twin, path, visit, arg, reterr);
}
static const struct io_ops gate_ops = {
	.open = gate_open,
	.close = gate_close,
	.pread = gate_pread,
	.pwritev = gate_pwritev,
	.fdatasync = gate_fdatasync,
	.truncate = gate_truncate,
	.size = gate_size,
	.rename = gate_rename,
	.unlink = gate_unlink,
	.mkdir = gate_mkdir,
	.rmdir = gate_rmdir,
	.sync_dir = gate_sync_dir,
	.list = gate_list,
};

static bool work_until_dead(struct bench_log *b, struct gate *gate, struct acked *acked, long calls)
{
	struct sm_error error;
	struct log_topic_spec spec = {TOPIC, 1, 1, NULL, 0};
	atomic_store(&gate->left, calls);
	if (testing_try_open(b, &error) == SM_OK) {
		if (acked && log_topic_create_wait(b->log, &spec, &error) == SM_OK)
			produce(b, acked);
		(void)!b->log->ops->close(b->log, &error);
		b->log = NULL;
	}
	return atomic_load(&gate->left) < 0;
}

static void crash_in_the_recovery_from_a_crash_loses_nothing_either(void **state)
{
	struct bench_log b = {.dir = ""};
	testing_system(&b);
	b.options.segment_bytes = 24000;
	for (long first = 5;; first += 3) {
		bool reached = true;
		for (long second = 0; reached && second < 100; second++) {
			struct io_fault_plan none = {0};
			struct gate gate = {.io = {&gate_ops}, .twin = io_fault_new(&none)};
			struct acked acked = {.count = 0};
			bool died_again = true;
			fresh_dir(&b);
			b.options.io = &gate.io;
			reached = work_until_dead(&b, &gate, &acked, first);
			died_again = work_until_dead(&b, &gate, NULL, second);
			assert_int_equal(io_fault_power_loss(gate.twin, (uint64_t)(first * 1000 + second), NULL), SM_OK);
			io_fault_free(gate.twin);
			b.options.io = NULL;
			restart_and_check(&b, &acked, "second death after first", (uint64_t)(first * 1000 + second));
			if (!died_again)
				break;
		}
		if (!reached)
			break;
	}
	testing_end(&b);
}

static void one_failed_call_never_leads_to_a_lost_record(void **state)
{
	struct bench_log b = {.dir = ""};
	struct acked acked;
	struct io *io;
	testing_system(&b);
	for (uint64_t n = 1;; n++) {
		bool reached = false;
		for (int kind = 0; kind < 2; kind++) {
			fresh_dir(&b);
			const struct io_fault_plan plan = {.fail_at = n, .fail_errno = kind ? ENOSPC : EIO, .tear_bytes = n * 131 % 3000};
			reached = run_with_fault(&b, &plan, &acked, &io);
			if (n % 2)
				assert_int_equal(io_fault_power_loss(io, n, NULL), SM_OK);
			io_fault_free(io);
			b.options.io = NULL;
			restart_and_check(&b, &acked, "failure of call", n);
		}
		if (!reached)
			break;
	}
	testing_end(&b);
}

/* Synced at an interval: the death of the process takes nothing; a loss of power takes what came last, and only that. */
static void interval_loses_the_end_to_power_loss_alone(void **state)
{
	struct bench_log b = {.dir = ""};
	struct acked acked;
	struct io *io;
	uint64_t lost = 0;
	testing_system(&b);
	b.options.sync_interval_ms = 2;
	for (uint64_t n = 1;; n++) {
		bool reached = false;
		for (uint64_t seed = 0; seed < 3; seed++) {
			fresh_dir(&b);
			const struct io_fault_plan plan = {.fail_at = n, .fail_after = true, .tear_bytes = n * 97 % 5000};
			reached = run_with_fault(&b, &plan, &acked, &io);
			if (seed)
				assert_int_equal(io_fault_power_loss(io, seed * 1000 + n, NULL), SM_OK);
			io_fault_free(io);
			b.options.io = NULL;
			if (!seed) {
				restart_and_check(&b, &acked, "death at call", n);
				continue;
			}
			testing_open(&b);
			if (strstr(b.notices, "lost"))
				fail_msg("power loss at call %llu: %s", (unsigned long long)n, b.notices);
			struct checked c = {.acked = &acked, .last = -1};
			const struct log_topics *topics = b.log->ops->topics(b.log);
			bool there = log_topics_find(topics, TOPIC) != NULL;
			b.log->ops->topics_release(b.log, topics);
			if (there)
				testing_walk(&b, (struct testing_walk){TOPIC, 0, 0, 5000, false, check_batch, &c});
			/* check_batch has seen that it is a beginning of what was sent. */
			for (int i = 0; i < APPENDS; i++)
				lost += acked.offset[i] >= 0 && acked.offset[i] >= c.offset;
			testing_close(&b);
		}
		if (!reached)
			break;
	}
	assert_int_equal(acked.count, APPENDS);
	assert_true(lost > 0); /* else this proves nothing */
	testing_end(&b);
}

/* A table that has no space until it is told so. */
struct full_disk {
	struct io io;
	struct io_ops ops;
	atomic_bool full;
};

static enum sm_err full_pwritev(struct io *io, struct io_file *file, const struct iovec *iov, int n, uint64_t at, struct sm_error *reterr)
{
	if (atomic_load(&((struct full_disk *)io)->full)) {
		/* half of it fits */
		struct iovec half = {iov[0].iov_base, iov[0].iov_len / 2};
		(void)!io_system.ops->pwritev(io, file, &half, 1, at, NULL);
		return sm_fail_errno(reterr, ENOSPC, "cannot write");
	}
	return io_system.ops->pwritev(io, file, iov, n, at, reterr);
}

static void full_disk_refuses_and_goes_on_when_there_is_space(void **state)
{
	struct bench_log b;
	struct full_disk disk = {.ops = *io_system.ops};
	disk.io.ops = &disk.ops;
	disk.ops.pwritev = full_pwritev;
	memset(&b, 0, sizeof b);
	testing_dir(&b);
	testing_system(&b);
	b.options.io = &disk.io;
	b.options.segment_bytes = 24000;
	testing_open(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	int next = 0;
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 3; i++, next++)
			assert_int_equal(testing_append(&b, TOPIC, 0, next, 1, 2000), next);
		atomic_store(&disk.full, true);
		for (int i = 0; i < 3; i++)
			assert_int_equal(testing_try_append(&b, TOPIC, 0, 5000 + i, 2, 3000, NULL), SM_NO_SPACE);
		assert_int_equal(testing_check(&b, TOPIC, 0, 0, 0, 1 << 20), next); /* reads go on */
		atomic_store(&disk.full, false);
	}
	testing_reopen(&b);
	assert_int_equal(testing_check(&b, TOPIC, 0, 0, 0, 1 << 20), next);
	testing_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_disk_refuses_and_goes_on_when_there_is_space),
		cmocka_unit_test(one_failed_call_never_leads_to_a_lost_record),
		cmocka_unit_test(crash_in_the_recovery_from_a_crash_loses_nothing_either),
		cmocka_unit_test(interval_loses_the_end_to_power_loss_alone),
		cmocka_unit_test(process_death_and_power_loss_at_every_call_lose_nothing_acknowledged),
		cmocka_unit_test(nor_past_the_page_cache),
		cmocka_unit_test(nor_with_a_checkpoint_every_few_batches),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
