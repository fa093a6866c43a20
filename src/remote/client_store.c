/* The store as seen from another process (where the server's store makes no checkpoints, all reads go through the server). Reads of one
 * partition go through the server; scans of token ranges read a checkpoint where it lies. A checkpoint is made at the first scan after the
 * schema was asked for, so that all scans which one plan opens see the same moment, and lives until its last cursor and the next checkpoint
 * have gone. */
#include "remote/remote_internal.h"
#include <pthread.h>
#include <stdlib.h>

struct checkpoint {
	unsigned refs;
	int conn; /* the server deletes the checkpoint when this connection ends */
	struct sm_store *store;
};
struct remote_store {
	struct sm_store store;
	struct client *client;
	pthread_mutex_t lock;
	struct checkpoint *checkpoint; /* NULL: make one at the next scan */
};
struct picture {
	struct store_schema schema; /* first: what callers hold */
	struct arena arena;
};
struct store_cursor {
	struct remote_store *store;
	/* a scan */
	struct checkpoint *checkpoint;
	struct store_cursor *local;
	const struct store_schema *local_schema;
	/* or a read through the server */
	int conn;
	uint32_t id;
	const struct store_table *table;
	struct buf page;
	struct byte_reader at;
	uint32_t rows_left;
	bool last_page;
	struct remote__row_room room;
	struct arena arena; /* of the row's elements */
	struct store_row row;
};

static struct remote_store *remote_of(struct sm_store *store)
{
	return (struct remote_store *)store;
}

/* ---- checkpoints ---- */

static void checkpoint_unref(struct remote_store *s, struct checkpoint *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&s->lock);
	bool last = --c->refs == 0;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	if (c->store)
		(void)!c->store->ops->close(c->store, NULL);
	remote__hang_up(c->conn);
	free(c);
}

static void forget_checkpoint(struct remote_store *s)
{
	pthread_mutex_lock(&s->lock);
	struct checkpoint *c = s->checkpoint;
	s->checkpoint = NULL;
	pthread_mutex_unlock(&s->lock);
	checkpoint_unref(s, c);
}

static enum sm_err make_checkpoint(struct remote_store *s, struct checkpoint **ret, struct sm_error *reterr)
{
	struct checkpoint *c = calloc(1, sizeof *c);
	if (!c)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	c->refs = 1;
	c->conn = -1;
	struct buf answer;
	buf_init(&answer);
	enum sm_err err = remote__do(s->client, &c->conn, REMOTE_CHECKPOINT, (struct bytes){0}, &answer, reterr);
	if (!err) {
		struct byte_reader r = byte_reader(buf_bytes(&answer));
		struct bytes dir = remote__take_bytes(&r);
		buf_u8(&answer, 0);
		if (r.failed || answer.failed)
			err = sm_fail(reterr, SM_CORRUPT, "the server's answer makes no sense");
		else
			err = store_checkpoint_open((const char *)buf_bytes(&answer).data + 4, &c->store, reterr);
		(void)dir;
	}
	buf_done(&answer);
	if (err) {
		remote__hang_up(c->conn);
		free(c);
		return err;
	}
	*ret = c;
	return SM_OK;
}

/* One reference for the caller. Scans that open side by side share one: the lock is held while it is made. */
static enum sm_err get_checkpoint(struct remote_store *s, struct checkpoint **ret, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&s->lock);
	if (!s->checkpoint)
		err = make_checkpoint(s, &s->checkpoint, reterr);
	if (!err) {
		s->checkpoint->refs++;
		*ret = s->checkpoint;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* ---- schema and writes ---- */

static const struct store_schema *schema(struct sm_store *store)
{
	struct picture *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	struct buf answer;
	buf_init(&answer);
	arena_init(&p->arena, 0);
	forget_checkpoint(remote_of(store));
	if (!remote__do(remote_of(store)->client, NULL, REMOTE_SCHEMA, (struct bytes){0}, &answer, NULL)) {
		struct byte_reader r = byte_reader(buf_bytes(&answer));
		remote__take_schema(&r, &p->arena, &p->schema);
		if (r.failed)
			p->schema = (struct store_schema){0};
	}
	buf_done(&answer);
	return &p->schema;
}

static void schema_release(struct sm_store *store, const struct store_schema *held)
{
	struct picture *p = (struct picture *)(uintptr_t)held;
	if (!p)
		return;
	arena_done(&p->arena);
	free(p);
}

static void change(struct sm_store *store, const struct store_change *c, void (*done)(void *arg, const struct sm_error *error), void *arg)
{
	struct sm_error error = {0};
	struct buf body;
	buf_init(&body);
	remote__put_change(&body, c);
	enum sm_err err = remote__do(remote_of(store)->client, NULL, REMOTE_CHANGE, buf_bytes(&body), NULL, &error);
	buf_done(&body);
	done(arg, err ? &error : NULL);
}

struct apply {
	struct remote__call call; /* first */
	struct client *client;
	struct buf body;
	void (*done)(void *arg, enum sm_err err);
	void *arg;
};

static void do_apply(struct remote__call *call)
{
	struct apply *a = (struct apply *)call;
	a->done(a->arg, remote__do(a->client, NULL, REMOTE_APPLY, buf_bytes(&a->body), NULL, NULL));
	buf_done(&a->body);
	free(a);
}

static void apply(struct sm_store *store, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct apply *a = calloc(1, sizeof *a);
	enum sm_err err = SM_NO_MEMORY;
	if (a) {
		*a = (struct apply){.call.run = do_apply, .client = remote_of(store)->client, .done = done, .arg = arg};
		buf_init(&a->body);
		remote__put_store_batch(&a->body, batch);
		if (!a->body.failed)
			err = remote__do_later(a->client, &a->call);
	}
	if (!err)
		return;
	if (a)
		buf_done(&a->body);
	free(a);
	done(arg, err);
}

static enum sm_err job_epoch(struct sm_store *store, const char *job, uint64_t *ret_epoch, struct sm_error *reterr)
{
	struct buf body, answer;
	buf_init(&body);
	buf_init(&answer);
	remote__put_string(&body, job);
	enum sm_err err = remote__do(remote_of(store)->client, NULL, REMOTE_JOB_EPOCH, buf_bytes(&body), &answer, reterr);
	struct byte_reader r = byte_reader(buf_bytes(&answer));
	uint64_t epoch = reader_be64(&r);
	if (!err && r.failed)
		err = sm_fail(reterr, SM_CORRUPT, "the server's answer makes no sense");
	if (!err)
		*ret_epoch = epoch;
	buf_done(&body);
	buf_done(&answer);
	return err;
}

/* What decides is a function of this process. */
static void transact(struct sm_store *store, const struct store_transaction *transaction, void (*done)(void *arg, enum sm_err err),
		     void *arg)
{
	done(arg, SM_UNSUPPORTED);
}

static enum sm_err checkpoint(struct sm_store *store, const char *dir, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_UNSUPPORTED, "a checkpoint at a place of one's own is the server's business: use smack backup");
}

/* ---- reads ---- */

static void close_cursor(struct store_cursor *c)
{
	if (!c)
		return;
	if (c->local)
		c->checkpoint->store->ops->close_cursor(c->local);
	if (c->local_schema)
		c->checkpoint->store->ops->schema_release(c->checkpoint->store, c->local_schema);
	checkpoint_unref(c->store, c->checkpoint);
	/* The server closes what a connection had open when it ends. */
	remote__hang_up(c->conn);
	buf_done(&c->page);
	free(c->room.cells);
	free(c->room.elements);
	free(c->room.timestamps);
	free(c->room.ttls);
	arena_done(&c->arena);
	free(c);
}

static enum sm_err open_scan(struct store_cursor *c, const struct store_read *read, struct sm_error *reterr)
{
	enum sm_err err = get_checkpoint(c->store, &c->checkpoint, reterr);
	if (err)
		return err;
	struct sm_store *local = c->checkpoint->store;
	if (!(c->local_schema = local->ops->schema(local)))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct store_read here = *read;
	here.cached_only = false;
	here.table = store_find_table(c->local_schema, read->table->keyspace, read->table->name);
	if (!here.table || memcmp(here.table->id.bytes, read->table->id.bytes, 16) != 0 ||
	    here.table->column_count != read->table->column_count)
		return sm_fail(reterr, SM_NOT_FOUND, "table %s.%s was changed or dropped meanwhile; run the statement again",
			       read->table->keyspace, read->table->name);
	return local->ops->open(local, &here, &c->local, reterr);
}

static enum sm_err open_remote(struct store_cursor *c, const struct store_read *read, struct sm_error *reterr)
{
	size_t n = read->table->column_count;
	c->table = read->table;
	c->room.cells = calloc(n, sizeof *c->room.cells);
	c->room.elements = calloc(n, sizeof *c->room.elements);
	c->room.timestamps = calloc(n, sizeof *c->room.timestamps);
	c->room.ttls = calloc(n, sizeof *c->room.ttls);
	c->room.arena = &c->arena;
	if (!c->room.cells || !c->room.elements || !c->room.timestamps || !c->room.ttls)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct buf body;
	buf_init(&body);
	remote__put_read(&body, read);
	enum sm_err err = remote__do(c->store->client, &c->conn, REMOTE_OPEN, buf_bytes(&body), &c->page, reterr);
	buf_done(&body);
	if (err)
		return err;
	struct byte_reader r = byte_reader(buf_bytes(&c->page));
	c->id = reader_be32(&r);
	return r.failed ? sm_fail(reterr, SM_CORRUPT, "the server's answer makes no sense") : SM_OK;
}

static enum sm_err open_cursor(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
			       struct sm_error *reterr)
{
	struct store_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	c->store = remote_of(store);
	c->conn = -1;
	arena_init(&c->arena, 0);
	enum sm_err err = read->partition_key ? open_remote(c, read, reterr) : open_scan(c, read, reterr);
	if (err == SM_UNSUPPORTED && !read->partition_key)
		err = open_remote(c, read, reterr);
	if (err)
		close_cursor(c);
	else
		*ret_cursor = c;
	return err;
}

static enum sm_err next(struct store_cursor *c, const struct store_row **ret_row)
{
	if (c->local)
		return c->checkpoint->store->ops->next(c->local, ret_row);
	while (!c->rows_left) {
		if (c->last_page)
			return SM_END;
		uint8_t id[4];
		be32_put(id, c->id);
		buf_clear(&c->page);
		enum sm_err err = remote__do(c->store->client, &c->conn, REMOTE_NEXT, bytes_of(id, 4), &c->page, NULL);
		if (err)
			return err;
		c->at = byte_reader(buf_bytes(&c->page));
		c->last_page = reader_u8(&c->at);
		c->rows_left = reader_be32(&c->at);
		if (c->at.failed)
			return SM_CORRUPT;
	}
	remote__take_row(&c->at, c->table, &c->room, &c->row);
	if (c->at.failed)
		return SM_CORRUPT;
	c->rows_left--;
	*ret_row = &c->row;
	return SM_OK;
}

static enum sm_err close_store(struct sm_store *store, struct sm_error *reterr)
{
	return SM_OK; /* the session owns it */
}

static const struct store_ops ops = {
	.schema = schema,
	.schema_release = schema_release,
	.change = change,
	.apply = apply,
	.transact = transact,
	.open = open_cursor,
	.next = next,
	.close_cursor = close_cursor,
	.job_epoch = job_epoch,
	.checkpoint = checkpoint,
	.close = close_store,
};

enum sm_err remote__store_new(struct client *client, struct sm_store **ret_store)
{
	struct remote_store *s = calloc(1, sizeof *s);
	if (!s)
		return SM_NO_MEMORY;
	s->store.ops = &ops;
	s->client = client;
	pthread_mutex_init(&s->lock, NULL);
	*ret_store = &s->store;
	return SM_OK;
}

void remote__store_free(struct sm_store *store)
{
	if (!store)
		return;
	forget_checkpoint(remote_of(store));
	pthread_mutex_destroy(&remote_of(store)->lock);
	free(store);
}
