/* The engine of rdkafka.h, inside. engine.c tells of its threads.
 *
 * Locks, outermost first: producer_lock, a topic's lock, a part's lock, lock; the others are leaves. */
#ifndef KAFKA_RDKAFKA_INTERNAL_H
#define KAFKA_RDKAFKA_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "rdkafka/rdkafka.h"
#include "rdkafka/rdkafka_limits.h"
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

struct kafka_log;

/* ---- address.c: addresses and settings ---- */

struct kafka_target {
	char *brokers;              /* HOST:PORT,HOST:PORT */
	rd_kafka_conf_t *conf;      /* what producers and consumers share */
	int32_t replication_factor; /* -1: the brokers' default */
};
/* Errors: SM_INVALID, SM_NO_MEMORY, those of reading a file. */
SM_MUST_CHECK enum sm_err kafka__target_new(const struct log_kafka_options *options, struct kafka_target *ret_target,
					    struct sm_error *reterr);
void kafka__target_done(struct kafka_target *target);

/* ---- error.c ---- */

enum sm_err kafka__rd_err(rd_kafka_resp_err_t err);
/* what, and librdkafka's or the broker's own words; text may be NULL. */
enum sm_err kafka__rd_fail(struct sm_error *reterr, rd_kafka_resp_err_t err, const char *text, const char *what);
/* The client tries again by itself. */
bool kafka__rd_passes(rd_kafka_resp_err_t err);

/* ---- append.c: one producer, and what it has under way ---- */

struct kafka_append;
/* Poll thread. */
void *kafka__produce_thread(void *arg);
SM_MUST_CHECK enum sm_err kafka__producer_new(struct kafka_log *k, struct sm_error *reterr);
/* Wait for what is under way, at most so long; the rest is given up. Returns how many appends were. Thread: the closing one. */
uint32_t kafka__producer_end(struct kafka_log *k, uint32_t timeout_ms);
void kafka__append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
		   log_append_done done, void *arg);

/* ---- cursor.c: where readers are ---- */

enum { KAFKA_COMMITTED, KAFKA_UNCOMMITTED, KAFKA_ISOLATIONS };

/* A run of records as the slice's bytes; counted: by the cursor that has just made it, and by slices. */
struct kafka_run {
	struct log_hold hold; /* first */
	atomic_uint refs;
	int64_t base, end; /* offsets that it covers */
	uint8_t *data;
	size_t size;
};
/* One reader's position in a partition. librdkafka fetches ahead from there. */
struct kafka_cursor {
	struct kafka_cursor *next_of_part;
	struct kafka_part *part;
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
	struct kafka_run *last;
	rd_kafka_message_t *held[KAFKA_HELD_MAX];
	uint32_t held_at, held_count;
};
struct kafka_part {
	struct kafka_log *engine;
	char *topic;
	int32_t partition;
	pthread_mutex_t lock;
	pthread_cond_t released;
	struct kafka_cursor *cursors[KAFKA_ISOLATIONS];
	/* Ends that somebody was told of: there are records, or markers, before them. */
	_Atomic int64_t told[KAFKA_ISOLATIONS];
};
/* The partition; it lives as long as the engine. NULL: no memory. */
struct kafka_part *kafka__part(struct kafka_log *k, const char *topic, int32_t partition);
void kafka__parts_free(struct kafka_log *k);
/* A cursor at offset, for the caller alone until it is released. wait: for others that have the like. Blocks, briefly.
 * Errors: SM_BUSY (none is free, without wait), SM_NO_MEMORY, SM_CLOSED, those of librdkafka. */
SM_MUST_CHECK enum sm_err kafka__cursor_take(struct kafka_part *part, int isolation, int64_t offset, bool wait,
					     struct kafka_cursor **ret_cursor);
void kafka__cursor_release(struct kafka_cursor *c);
/* The next thing that was fetched, left where it is; waits at most so long for it. NULL: nothing came. */
rd_kafka_message_t *kafka__cursor_peek(struct kafka_cursor *c, int timeout_ms);
void kafka__cursor_drop(struct kafka_cursor *c); /* what was peeked at */
/* End cursors that nobody has used since. */
void kafka__cursors_reap(struct kafka_log *k, uint64_t unused_since_ns);
void kafka__run_unref(struct kafka_run *run);

/* ---- read.c, wait.c ---- */

enum sm_err kafka__read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
			struct log_read_result *ret_result);
enum sm_err kafka__read_uncommitted(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				    struct log_read_result *ret_result);
enum sm_err kafka__offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
			      int64_t *ret_timestamp_ms);
/* what: a time, RD_KAFKA_OFFSET_BEGINNING or _END. -1: none. Blocks. */
SM_MUST_CHECK enum sm_err kafka__ask_offset(struct kafka_log *k, int isolation, const char *topic, int32_t partition, int64_t what,
					    int64_t *ret_offset);
/* What the cursor has fetched says where the partition ends: beyond offset? Waits for nothing. */
SM_MUST_CHECK enum sm_err kafka__cursor_beyond(struct kafka_cursor *c, int64_t offset, bool *ret_beyond);
void kafka__wait(struct sm_log *log, struct log_wait *wait);
void kafka__wait_cancel(struct sm_log *log, struct log_wait *wait);
void *kafka__wait_thread(void *arg);

/* ---- topics.c: the picture ---- */

struct kafka_picture {
	struct log_topics topics; /* first */
	struct kafka_log *engine;
	atomic_uint refs;
	struct arena arena;
};
const struct log_topics *kafka__log_topics(struct sm_log *log);
void kafka__log_topics_release(struct sm_log *log, const struct log_topics *topics);
/* Ask the brokers. configs: for what is set too, else as it was known. Thread: the admin thread's, or none runs. Blocks. */
SM_MUST_CHECK enum sm_err kafka__topics_refresh(struct kafka_log *k, bool configs, uint32_t timeout_ms, struct sm_error *reterr);
/* Is there such a partition? Asks the brokers if the picture has none, which blocks, unless at_once. */
SM_MUST_CHECK enum sm_err kafka__partition_known(struct kafka_log *k, const char *topic, int32_t partition, bool at_once);
void kafka__picture_unref(struct kafka_picture *p);

/* ---- admin.c, groups.c: what a thread of its own does, one thing at a time ---- */

/* First member of a job. run calls the job's done; it frees nothing of the job but its arena, which holds the job itself. */
struct kafka_job {
	struct kafka_job *next;
	void (*run)(struct kafka_log *k, struct kafka_job *job);
	void (*refuse)(struct kafka_job *job, enum sm_err err); /* instead of run */
	struct arena arena;
};
/* A zeroed job of so many bytes in its own arena; NULL: no memory. */
void *kafka__job_new(size_t size, void (*run)(struct kafka_log *, struct kafka_job *), void (*refuse)(struct kafka_job *, enum sm_err));
void kafka__job_free(struct kafka_job *job);
/* Takes the job in any case. */
void kafka__job_put(struct kafka_log *k, struct kafka_job *job);
void *kafka__admin_thread(void *arg);
/* Wait for the answer to an admin request; NULL, with reterr filled: none came, or it is an error as a whole. */
rd_kafka_event_t *kafka__admin_answer(struct kafka_log *k, rd_kafka_queue_t *queue, const char *what, struct sm_error *reterr);
rd_kafka_AdminOptions_t *kafka__admin_options(struct kafka_log *k, rd_kafka_admin_op_t op);

void kafka__topic_create(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *arg, const struct sm_error *error),
			 void *arg);
void kafka__topic_delete(struct sm_log *log, const char *name, void (*done)(void *arg, const struct sm_error *error), void *arg);
void kafka__topic_change(struct sm_log *log, const struct log_topic_change *change, void (*done)(void *arg, const struct sm_error *error),
			 void *arg);
void kafka__records_delete(struct sm_log *log, const char *topic, int32_t partition, int64_t offset,
			   void (*done)(void *arg, enum sm_err err, int64_t log_start_offset), void *arg);
void kafka__offsets_commit(struct sm_log *log, const char *group, const struct log_group_offset *offsets, uint32_t count,
			   void (*done)(void *arg, enum sm_err err), void *arg);
enum sm_err kafka__offsets_fetch(struct sm_log *log, const char *group, struct log_group_offset *offsets, uint32_t count, void **ret_hold);
enum sm_err kafka__offsets_list(struct sm_log *log, const char *group, struct log_group_offset **ret_offsets, uint32_t *ret_count,
				void **ret_hold);
void kafka__offsets_release(struct sm_log *log, void *hold);
/* Those without commits too. */
enum sm_err kafka__log_groups(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold);

/* ---- the engine ---- */

struct kafka_log {
	struct sm_log log; /* first */
	struct kafka_target target;
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
	rd_kafka_t *lanes[KAFKA_ISOLATIONS][KAFKA_LANES_MAX + 1];
	struct map parts; /* topic, 0, partition -> struct kafka_part */

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
	struct kafka_picture *picture;
	uint64_t picture_number;
	bool picture_used;   /* since it was made */
	bool picture_wanted; /* at once */
	struct kafka_job *jobs, **jobs_end;
	uint32_t job_count;
	char cluster_id[64];
	pthread_t admin_thread;
	uint32_t threads; /* that run: 1 produce, 2 wait, 4 admin */
};
static inline struct kafka_log *kafka__log_of(struct sm_log *log)
{
	return (struct kafka_log *)log;
}
#define KAFKA_ASKER KAFKA_LANES_MAX /* the lane for questions */
/* A consumer; made when it is first asked for. NULL, with reterr: it cannot be. */
rd_kafka_t *kafka__lane(struct kafka_log *k, int isolation, uint32_t lane, struct sm_error *reterr);
static inline rd_kafka_t *kafka__asker(struct kafka_log *k)
{
	return k->lanes[KAFKA_COMMITTED][KAFKA_ASKER];
}
/* A configuration of what all handles share, with callbacks; rd_kafka_new takes it over. */
rd_kafka_conf_t *kafka__conf(struct kafka_log *k);
/* A broker has answered. Thread: any. */
void kafka__seen(struct kafka_log *k);
/* How long an answer is waited for: not long while no broker is there. */
uint64_t kafka__deadline_ns(struct kafka_log *k);
/* The wait thread looks at what there is. Thread: any. */
void kafka__poke(struct kafka_log *k);
void kafka__notice(struct kafka_log *k, const char *fmt, ...) SM_PRINTF(2, 3);

#endif
