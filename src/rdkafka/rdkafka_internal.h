/* The engine of rdkafka.h, inside. engine.c tells of its threads.
 *
 * Locks, outermost first: producer_lock, a topic's lock, a part's lock, lock; the others are leaves. */
#ifndef RDKAFKA_INTERNAL_H
#define RDKAFKA_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "rdkafka/rdkafka.h"
#include "rdkafka/rdkafka_limits.h"
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

struct rdkafka_log;

/* ---- address.c: addresses and settings ---- */

struct rdkafka_target {
	char *brokers;              /* HOST:PORT,HOST:PORT */
	rd_kafka_conf_t *conf;      /* what producers and consumers share */
	int32_t replication_factor; /* -1: the brokers' default */
};
/* Errors: SM_INVALID, SM_NO_MEMORY, those of reading a file. */
SM_MUST_CHECK enum sm_err rdkafka__target_new(const struct rdkafka_options *options, struct rdkafka_target *ret_target,
					      struct sm_error *reterr);
void rdkafka__target_done(struct rdkafka_target *target);

/* ---- error.c ---- */

enum sm_err rdkafka__err(rd_kafka_resp_err_t err);
/* what, and librdkafka's or the broker's own words; text may be NULL. */
enum sm_err rdkafka__fail(struct sm_error *reterr, rd_kafka_resp_err_t err, const char *text, const char *what);
/* The client tries again by itself. */
bool rdkafka__passes(rd_kafka_resp_err_t err);

/* ---- append.c: one producer, and what it has under way ---- */

struct rdkafka_append;
/* Poll thread. */
void *rdkafka__produce_thread(void *arg);
SM_MUST_CHECK enum sm_err rdkafka__producer_new(struct rdkafka_log *k, struct sm_error *reterr);
/* Wait for what is under way, at most so long; the rest is given up. Returns how many appends were. Thread: the closing one. */
uint32_t rdkafka__producer_end(struct rdkafka_log *k, uint32_t timeout_ms);
void rdkafka__append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
		     log_append_done done, void *arg);

/* ---- cursor.c: where readers are ---- */

enum { RDKAFKA_COMMITTED, RDKAFKA_UNCOMMITTED, RDKAFKA_ISOLATIONS };

/* A run of records as the slice's bytes; counted: by the cursor that has just made it, and by slices. */
struct rdkafka_run {
	struct log_hold hold; /* first */
	atomic_uint refs;
	int64_t base, end; /* offsets that it covers */
	uint8_t *data;
	size_t size;
};
/* One reader's position in a partition. librdkafka fetches ahead from there. */
struct rdkafka_cursor {
	struct rdkafka_cursor *next_of_part;
	struct rdkafka_part *part;
	uint32_t lane;
	bool busy;        /* a thread has it; the rest is that thread's own then, but for the next two */
	int64_t taken_at; /* the offset that it was taken for; under the part's lock */
	uint64_t used_ns; /* the same */
	bool fresh;       /* it is not known yet where the partition ends */
	rd_kafka_queue_t *queue;
	rd_kafka_topic_t *topic;
	int64_t next;       /* the offset to give out next */
	int64_t end;        /* the partition ended there when everything before was fetched; -1: there may be more */
	enum sm_err broken; /* it can go no further */
	struct rdkafka_run *last;
	rd_kafka_message_t *held[RDKAFKA_HELD_MAX];
	uint32_t held_at, held_count;
};
struct rdkafka_part {
	struct rdkafka_log *engine;
	char *topic;
	int32_t partition;
	pthread_mutex_t lock;
	pthread_cond_t released;
	struct rdkafka_cursor *cursors[RDKAFKA_ISOLATIONS];
	/* Ends that somebody was told of: there are records, or markers, before them. */
	_Atomic int64_t told[RDKAFKA_ISOLATIONS];
};
/* The partition; it lives as long as the engine. NULL: no memory. */
struct rdkafka_part *rdkafka__part(struct rdkafka_log *k, const char *topic, int32_t partition);
void rdkafka__parts_free(struct rdkafka_log *k);
/* A cursor at offset, for the caller alone until it is released. wait: for others that have the like. Blocks, briefly.
 * Errors: SM_BUSY (none is free, without wait), SM_NO_MEMORY, SM_CLOSED, those of librdkafka. */
SM_MUST_CHECK enum sm_err rdkafka__cursor_take(struct rdkafka_part *part, int isolation, int64_t offset, bool wait,
					       struct rdkafka_cursor **ret_cursor);
void rdkafka__cursor_release(struct rdkafka_cursor *c);
/* The next thing that was fetched, left where it is; waits at most so long for it. NULL: nothing came. */
rd_kafka_message_t *rdkafka__cursor_peek(struct rdkafka_cursor *c, int timeout_ms);
void rdkafka__cursor_drop(struct rdkafka_cursor *c); /* what was peeked at */
/* End cursors that nobody has used since. */
void rdkafka__cursors_reap(struct rdkafka_log *k, uint64_t unused_since_ns);
void rdkafka__run_unref(struct rdkafka_run *run);

/* ---- read.c, wait.c ---- */

enum sm_err rdkafka__read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
			  struct log_read_result *ret_result);
enum sm_err rdkafka__read_uncommitted(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				      struct log_read_result *ret_result);
enum sm_err rdkafka__offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
				int64_t *ret_timestamp_ms);
/* what: a time, RD_KAFKA_OFFSET_BEGINNING or _END. -1: none. Blocks. */
SM_MUST_CHECK enum sm_err rdkafka__ask_offset(struct rdkafka_log *k, int isolation, const char *topic, int32_t partition, int64_t what,
					      int64_t *ret_offset);
/* What the cursor has fetched says where the partition ends: beyond offset? Waits for nothing. */
SM_MUST_CHECK enum sm_err rdkafka__cursor_beyond(struct rdkafka_cursor *c, int64_t offset, bool *ret_beyond);
void rdkafka__wait(struct sm_log *log, struct log_wait *wait);
void rdkafka__wait_cancel(struct sm_log *log, struct log_wait *wait);
void *rdkafka__wait_thread(void *arg);

/* ---- topics.c: the picture ---- */

struct rdkafka_picture {
	struct log_topics topics; /* first */
	struct rdkafka_log *engine;
	atomic_uint refs;
	struct arena arena;
};
const struct log_topics *rdkafka__log_topics(struct sm_log *log);
void rdkafka__log_topics_release(struct sm_log *log, const struct log_topics *topics);
/* Ask the brokers. configs: for what is set too, else as it was known. Thread: the admin thread's, or none runs. Blocks. */
SM_MUST_CHECK enum sm_err rdkafka__topics_refresh(struct rdkafka_log *k, bool configs, uint32_t timeout_ms, struct sm_error *reterr);
/* Is there such a partition? Asks the brokers if the picture has none, which blocks, unless at_once. */
SM_MUST_CHECK enum sm_err rdkafka__partition_known(struct rdkafka_log *k, const char *topic, int32_t partition, bool at_once);
void rdkafka__picture_unref(struct rdkafka_picture *p);

/* ---- admin.c, groups.c: what a thread of its own does, one thing at a time ---- */

/* First member of a job. run calls the job's done; it frees nothing of the job but its arena, which holds the job itself. */
struct rdkafka_job {
	struct rdkafka_job *next;
	void (*run)(struct rdkafka_log *k, struct rdkafka_job *job);
	void (*refuse)(struct rdkafka_job *job, enum sm_err err); /* instead of run */
	struct arena arena;
};
/* A zeroed job of so many bytes in its own arena; NULL: no memory. */
void *rdkafka__job_new(size_t size, void (*run)(struct rdkafka_log *, struct rdkafka_job *),
		       void (*refuse)(struct rdkafka_job *, enum sm_err));
void rdkafka__job_free(struct rdkafka_job *job);
/* Takes the job in any case. */
void rdkafka__job_put(struct rdkafka_log *k, struct rdkafka_job *job);
void *rdkafka__admin_thread(void *arg);
/* Wait for the answer to an admin request; NULL, with reterr filled: none came, or it is an error as a whole. */
rd_kafka_event_t *rdkafka__admin_answer(struct rdkafka_log *k, rd_kafka_queue_t *queue, const char *what, struct sm_error *reterr);
rd_kafka_AdminOptions_t *rdkafka__admin_options(struct rdkafka_log *k, rd_kafka_admin_op_t op);

void rdkafka__topic_create(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *arg, const struct sm_error *error),
			   void *arg);
void rdkafka__topic_delete(struct sm_log *log, const char *name, void (*done)(void *arg, const struct sm_error *error), void *arg);
void rdkafka__topic_change(struct sm_log *log, const struct log_topic_change *change, void (*done)(void *arg, const struct sm_error *error),
			   void *arg);
void rdkafka__records_delete(struct sm_log *log, const char *topic, int32_t partition, int64_t offset,
			     void (*done)(void *arg, enum sm_err err, int64_t log_start_offset), void *arg);
void rdkafka__offsets_commit(struct sm_log *log, const char *group, const struct log_group_offset *offsets, uint32_t count,
			     void (*done)(void *arg, enum sm_err err), void *arg);
enum sm_err rdkafka__offsets_fetch(struct sm_log *log, const char *group, struct log_group_offset *offsets, uint32_t count,
				   void **ret_hold);
enum sm_err rdkafka__offsets_list(struct sm_log *log, const char *group, struct log_group_offset **ret_offsets, uint32_t *ret_count,
				  void **ret_hold);
void rdkafka__offsets_release(struct sm_log *log, void *hold);
/* Those without commits too. */
enum sm_err rdkafka__log_groups(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold);

/* ---- the engine ---- */

struct rdkafka_log {
	struct sm_log log; /* first */
	struct rdkafka_target target;
	char *shown; /* for people */
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
	pthread_mutex_t notice_lock;
	char last_problem[256];      /* librdkafka's last words on what is wrong; under notice_lock */
	atomic_bool ending, closing; /* no more answers are waited for; no more work is taken */
	atomic_bool denied;          /* the login was refused */
	atomic_bool away;            /* no broker answers */

	/* The producer. Who produces has the lock shared; who replaces a producer that can go no further has it alone. */
	pthread_rwlock_t producer_lock;
	rd_kafka_t *producer;
	atomic_bool producer_failed;
	atomic_bool produced;       /* no more is */
	struct map producer_topics; /* name -> struct producer_topic; under lock */
	atomic_size_t pending_bytes;
	atomic_uint pending;
	pthread_t produce_thread;

	/* Consumers: a partition has at most one cursor in each. The last ones have none, and are there for questions: on a connection
	 * with a fetch under way an answer would wait for that. */
	pthread_mutex_t lock;
	rd_kafka_t *lanes[RDKAFKA_ISOLATIONS][RDKAFKA_LANES_MAX + 1];
	struct map parts; /* topic, 0, partition -> struct rdkafka_part */

	/* Waits. librdkafka's threads take this lock in callbacks: nothing of librdkafka is called under it. */
	pthread_mutex_t wait_lock;
	pthread_cond_t changed;     /* a wait came, or a cursor has something */
	struct log_wait *waits;     /* a ring; NULL: none */
	struct log_wait *looked_at; /* by the wait thread: in no list meanwhile */
	bool cancelled;             /* that one is */
	bool poked;
	pthread_t wait_thread;

	/* Topics, and the admin thread's work. */
	pthread_mutex_t admin_lock;
	pthread_cond_t admin_changed;
	pthread_cond_t picture_new;
	struct rdkafka_picture *picture;
	uint64_t picture_number;
	bool picture_used;   /* since it was made */
	bool picture_wanted; /* at once */
	struct rdkafka_job *jobs, **jobs_end;
	uint32_t job_count;
	char cluster_id[64];
	pthread_t admin_thread;
	uint32_t threads; /* that run: 1 produce, 2 wait, 4 admin */
};
static inline struct rdkafka_log *rdkafka__log_of(struct sm_log *log)
{
	return (struct rdkafka_log *)log;
}
#define RDKAFKA_ASKER RDKAFKA_LANES_MAX /* the lane for questions */
/* A consumer; made when it is first asked for. NULL, with reterr: it cannot be. */
rd_kafka_t *rdkafka__lane(struct rdkafka_log *k, int isolation, uint32_t lane, struct sm_error *reterr);
static inline rd_kafka_t *rdkafka__asker(struct rdkafka_log *k)
{
	return k->lanes[RDKAFKA_COMMITTED][RDKAFKA_ASKER];
}
/* A configuration of what all handles share, with callbacks; rd_kafka_new takes it over. */
rd_kafka_conf_t *rdkafka__conf(struct rdkafka_log *k);
/* A broker has answered. Thread: any. */
void rdkafka__seen(struct rdkafka_log *k);
/* How long an answer is waited for: not long while no broker is there. */
uint64_t rdkafka__deadline_ns(struct rdkafka_log *k);
/* The wait thread looks at what there is. Thread: any. */
void rdkafka__poke(struct rdkafka_log *k);
void rdkafka__notice(struct rdkafka_log *k, const char *fmt, ...) SM_PRINTF(2, 3);

#endif
