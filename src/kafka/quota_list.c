/* The quotas in memory and in their file. Text, a line each:
 *
 *   smack quotas 1                                   the first line: what this is, and its version
 *   KIND=NAME [KIND=NAME] KEY=VALUE [KEY=VALUE ...]  KIND: user, client-id, ip; NAME: "<default>", or bytes, of which "%20" stands for
 *                                                    a blank, "%25" for the sign itself, and so on
 *   crc32c XXXXXXXX                                  the last line: CRC-32C of all bytes before it
 *
 * A change writes the file anew in one step (temporary file, sync, rename, sync of the directory) and counts only then. Readers see a
 * list that never changes; a change makes another. */
#include "kafka/quota.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/percent.h"
#include "base/logging.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_LINE "smack quotas 1"
#define LAST_LINE "crc32c "
#define DEFAULT_NAME "<default>"

const char *const quota_kind_names[QUOTA_KINDS] = {"user", "client-id", "ip"};
const char *const quota_key_names[QUOTA_KEYS] = {"producer_byte_rate", "consumer_byte_rate", "request_percentage",
						 "controller_mutation_rate", "connection_creation_rate"};

struct kafka_quotas {
	char *path; /* may be NULL */
	struct quota_meters *meters;
	pthread_mutex_t change; /* one change at a time */
	pthread_mutex_t lock;   /* of now */
	struct quota_list *now;
	atomic_uint set[QUOTA_KEYS]; /* how many entities have one */
};

/* ---- lists ---- */

void kafka__quota_key(const struct quota_entity *e, struct buf *out)
{
	buf_clear(out);
	for (int k = 0; k < QUOTA_KINDS; k++) {
		buf_u8(out, !e->has[k] ? 0 : e->name[k].data ? 2 : 1);
		if (!e->has[k] || !e->name[k].data)
			continue;
		buf_be32(out, (uint32_t)e->name[k].size);
		buf_append_bytes(out, e->name[k]);
	}
}

const struct quota *kafka__quotas_find(const struct quota_list *l, const struct quota_entity *e)
{
	struct buf key;
	buf_init(&key);
	kafka__quota_key(e, &key);
	const struct quota *found = key.failed ? NULL : map_get(&l->by_entity, buf_bytes(&key));
	buf_done(&key);
	return found;
}

void kafka__quotas_unref(struct quota_list *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	map_done(&l->by_entity);
	arena_done(&l->arena);
	free(l->items);
	free(l);
}

static struct quota_list *list_new(uint32_t cap)
{
	struct quota_list *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	arena_init(&l->arena, 0);
	map_init(&l->by_entity);
	l->items = calloc(cap ? cap : 1, sizeof *l->items);
	l->cap = cap;
	if (l->items)
		return l;
	free(l);
	return NULL;
}

/* A copy of the entity's names, without values. NULL: no memory. */
static struct quota *list_add(struct quota_list *l, const struct quota_entity *e)
{
	assert(l->count < l->cap);
	struct quota *q = &l->items[l->count];
	*q = (struct quota){.entity = *e};
	for (int k = 0; k < QUOTA_KINDS; k++) {
		if (!e->has[k] || !e->name[k].data)
			continue;
		q->entity.name[k].data = (const uint8_t *)arena_string(&l->arena, (const char *)e->name[k].data, e->name[k].size);
		if (!q->entity.name[k].data)
			return NULL;
	}
	l->count++;
	return q;
}

static int compare(const void *left, const void *right)
{
	const struct quota_entity *a = &((const struct quota *)left)->entity, *b = &((const struct quota *)right)->entity;
	for (int k = 0; k < QUOTA_KINDS; k++) {
		int x = !a->has[k] ? 0 : a->name[k].data ? 2 : 1, y = !b->has[k] ? 0 : b->name[k].data ? 2 : 1;
		if (x != y)
			return x - y;
		if (x != 2)
			continue;
		size_t size = a->name[k].size < b->name[k].size ? a->name[k].size : b->name[k].size;
		int c = memcmp(a->name[k].data, b->name[k].data, size);
		if (c || a->name[k].size != b->name[k].size)
			return c ? c : a->name[k].size < b->name[k].size ? -1 : 1;
	}
	return 0;
}

static bool is_empty(const struct quota *q)
{
	for (int k = 0; k < QUOTA_KEYS; k++)
		if (q->values[k] != 0)
			return false;
	return true;
}

/* Without those that have no values any more, sorted, each to be found. */
static enum sm_err list_settle(struct quota_list *l)
{
	uint32_t kept = 0;
	struct buf key;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < l->count; i++)
		if (!is_empty(&l->items[i]))
			l->items[kept++] = l->items[i];
	l->count = kept;
	qsort(l->items, l->count, sizeof *l->items, compare);
	map_done(&l->by_entity);
	map_init(&l->by_entity);
	buf_init(&key);
	for (uint32_t i = 0; i < l->count && !err; i++) {
		kafka__quota_key(&l->items[i].entity, &key);
		err = key.failed ? SM_NO_MEMORY : map_put(&l->by_entity, buf_bytes(&key), &l->items[i], NULL);
	}
	buf_done(&key);
	return err;
}

static void tell(const struct quota_name *n)
{
	if (n->state == QUOTA_NAME_UNKNOWN)
		LOG_WARN("kafka", "quota of ip %.*s: no such host, so it counts for nobody until the next start", (int)n->name.size,
			 (const char *)n->name.data);
	if (n->state == QUOTA_NAME_LATE)
		LOG_WARN("kafka", "quota of ip %.*s: the resolver has not answered in %d s, so it counts for nobody until the next start",
			 (int)n->name.size, (const char *)n->name.data, KAFKA_QUOTA_RESOLVE_MS / 1000);
}

static bool is_named(const struct quota *q)
{
	return q->entity.has[QUOTA_IP] && q->entity.name[QUOTA_IP].data && !*q->address;
}

static void address_of(struct quota *q)
{
	struct quota_name n = {.name = q->entity.name[QUOTA_IP], .state = QUOTA_NAME_UNKNOWN};
	if (is_named(q) && !kafka__quota_resolve(n.name, q->address))
		tell(&n);
}

/* The addresses of all host names that were read from the file. */
static enum sm_err addresses_find(struct quota_list *l)
{
	uint32_t count = 0;
	struct quota_name *names = calloc(l->count + 1, sizeof *names);
	if (!names)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < l->count; i++)
		if (is_named(&l->items[i]))
			names[count++].name = l->items[i].entity.name[QUOTA_IP];
	enum sm_err err = count ? quota_names__resolve(names, count, kafka__quota_resolve, KAFKA_QUOTA_RESOLVE_MS) : SM_OK;
	for (uint32_t i = 0, n = 0; !err && i < l->count; i++) {
		if (!is_named(&l->items[i]))
			continue;
		memcpy(l->items[i].address, names[n].address, sizeof l->items[i].address);
		tell(&names[n++]);
	}
	free(names);
	return err;
}

struct quota_list *kafka__quotas_now(struct kafka_quotas *quotas)
{
	pthread_mutex_lock(&quotas->lock);
	struct quota_list *l = quotas->now;
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&quotas->lock);
	return l;
}

/* ---- the file ---- */

static void put_quota(struct buf *out, const struct quota *q)
{
	for (int k = 0; k < QUOTA_KINDS; k++) {
		if (!q->entity.has[k])
			continue;
		buf_printf(out, "%s=", quota_kind_names[k]);
		if (q->entity.name[k].data)
			percent_append(out, q->entity.name[k], "<=");
		else
			buf_append_str(out, DEFAULT_NAME);
		buf_u8(out, ' ');
	}
	for (int k = 0; k < QUOTA_KEYS; k++)
		if (q->values[k] != 0)
			buf_printf(out, "%s=%.17g ", quota_key_names[k], q->values[k]);
	out->end--; /* the last blank */
	buf_u8(out, '\n');
}

static enum sm_err write_file(const char *path, const struct quota_list *l, struct sm_error *reterr)
{
	struct buf out;
	enum sm_err err;
	buf_init(&out);
	buf_append_str(&out, FIRST_LINE "\n");
	for (uint32_t i = 0; i < l->count && !out.failed; i++)
		put_quota(&out, &l->items[i]);
	struct bytes all = buf_bytes(&out);
	if (!out.failed)
		buf_printf(&out, LAST_LINE "%08x\n", crc32c(0, all.data, all.size));
	if (out.failed)
		err = sm_fail(reterr, SM_NO_MEMORY, "%s: no memory for the quotas", path);
	else if (buf_size(&out) > KAFKA_QUOTAS_FILE_MAX)
		err = sm_fail(reterr, SM_TOO_LARGE, "%s: quotas take at most %d bytes", path, KAFKA_QUOTAS_FILE_MAX);
	else
		err = io_write_file_atomic(&io_system, path, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

/* In place. false: it is none. */
static bool read_name(char *text, struct bytes *ret)
{
	size_t size;
	*ret = (struct bytes){0};
	if (strcmp(text, DEFAULT_NAME) == 0)
		return true;
	if (!percent_decode(bytes_str(text), false, (uint8_t *)text, &size))
		return false;
	*ret = bytes_of(text, size);
	return size > 0;
}

static bool read_word(char *word, struct quota *q)
{
	char *value = strchr(word, '='), *end;
	if (!value)
		return false;
	*value++ = 0;
	for (int k = 0; k < QUOTA_KINDS; k++) {
		if (strcmp(word, quota_kind_names[k]) != 0)
			continue;
		bool again = q->entity.has[k];
		q->entity.has[k] = true;
		return !again && read_name(value, &q->entity.name[k]);
	}
	for (int k = 0; k < QUOTA_KEYS; k++) {
		if (strcmp(word, quota_key_names[k]) != 0)
			continue;
		q->values[k] = strtod(value, &end);
		return end != value && !*end && q->values[k] > 0;
	}
	return false;
}

static bool read_line(char *line, struct quota_list *l)
{
	struct quota q = {0};
	char *save = NULL;
	for (char *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save))
		if (!read_word(word, &q))
			return false;
	bool whom = q.entity.has[QUOTA_USER] || q.entity.has[QUOTA_CLIENT_ID] || q.entity.has[QUOTA_IP];
	struct quota *out = whom && !is_empty(&q) ? list_add(l, &q.entity) : NULL;
	if (!out)
		return false;
	memcpy(out->values, q.values, sizeof q.values);
	return true;
}

/* The last line holds the sum of all before it, and nothing follows. Cuts it off. */
static bool checksum_fits(char *text, size_t size)
{
	static const size_t last = sizeof LAST_LINE - 1 + 8 + 1;
	char sum[9];
	if (size < last || memcmp(text + size - last, LAST_LINE, sizeof LAST_LINE - 1) != 0 || text[size - 1] != '\n')
		return false;
	snprintf(sum, sizeof sum, "%08x", crc32c(0, text, size - last));
	bool fits = memcmp(sum, text + size - 9, 8) == 0;
	text[size - last] = 0;
	return fits;
}

static enum sm_err parse(char *text, size_t size, const char *path, struct quota_list *l, struct sm_error *reterr)
{
	static const size_t first = sizeof FIRST_LINE - 1;
	char *save = NULL;
	if (size <= first || memcmp(text, FIRST_LINE "\n", first + 1) != 0)
		return sm_fail(reterr, SM_VERSION, "%s: the first line must be \"" FIRST_LINE "\"", path);
	if (!checksum_fits(text, size))
		return sm_fail(
			reterr, SM_CORRUPT,
			"%s: the file of quotas is damaged (its checksum does not fit): restore it, or remove it to go on without quotas",
			path);
	for (char *line = strtok_r(text + first, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char shown[60];
		snprintf(shown, sizeof shown, "%s", line);
		if (l->count == l->cap)
			return sm_fail(reterr, SM_TOO_LARGE, "%s: more than %d quotas", path, KAFKA_QUOTAS_MAX);
		if (!read_line(line, l))
			return sm_fail(reterr, SM_CORRUPT, "%s: this is no quota: %s", path, shown);
	}
	return SM_OK;
}

static enum sm_err read_file(const char *path, struct quota_list *l, struct sm_error *reterr)
{
	uint8_t *data = NULL;
	size_t size = 0;
	enum sm_err err = io_read_file(&io_system, path, KAFKA_QUOTAS_FILE_MAX, &data, &size, reterr);
	if (err)
		return err == SM_NOT_FOUND ? SM_OK : err;
	err = memchr(data, 0, size) ? sm_fail(reterr, SM_CORRUPT,
					      "%s: the file of quotas is no text: restore it, or remove it to go on without quotas", path)
				    : parse((char *)data, size, path, l, reterr);
	free(data);
	return err;
}

/* ---- changing ---- */

static void count_keys(struct kafka_quotas *quotas, const struct quota_list *l)
{
	unsigned counts[QUOTA_KEYS] = {0};
	for (uint32_t i = 0; i < l->count; i++)
		for (int k = 0; k < QUOTA_KEYS; k++)
			counts[k] += l->items[i].values[k] != 0;
	for (int k = 0; k < QUOTA_KEYS; k++)
		atomic_store(&quotas->set[k], counts[k]);
}

static struct quota *find_or_add(struct quota_list *l, const struct quota_entity *e)
{
	struct buf key;
	buf_init(&key);
	kafka__quota_key(e, &key);
	struct quota *q = key.failed ? NULL : map_get(&l->by_entity, buf_bytes(&key));
	if (!q && !key.failed && (q = list_add(l, e)) && map_put(&l->by_entity, buf_bytes(&key), q, NULL))
		q = NULL;
	buf_done(&key);
	return q;
}

static struct quota_list *changed(const struct quota_list *now, const struct quota_change *changes, uint32_t count)
{
	struct quota_list *next = list_new(now->count + count);
	bool ok = next != NULL;
	for (uint32_t i = 0; ok && i < now->count; i++) {
		struct quota *q = find_or_add(next, &now->items[i].entity);
		if (!(ok = q != NULL))
			break;
		memcpy(q->values, now->items[i].values, sizeof q->values);
		memcpy(q->address, now->items[i].address, sizeof q->address);
	}
	for (uint32_t i = 0; ok && i < count; i++) {
		struct quota *q = find_or_add(next, &changes[i].entity);
		if (!(ok = q != NULL))
			break;
		q->values[changes[i].key] = changes[i].value;
		address_of(q);
	}
	if (ok && list_settle(next) == SM_OK)
		return next;
	kafka__quotas_unref(next);
	return NULL;
}

enum sm_err kafka__quotas_change(struct kafka_quotas *quotas, const struct quota_change *changes, uint32_t count, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&quotas->change);
	struct quota_list *next = changed(quotas->now, changes, count), *before = NULL;
	if (!next)
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory for the quotas");
	else if (next->count > KAFKA_QUOTAS_MAX)
		err = sm_fail(reterr, SM_TOO_LARGE, "there are quotas for at most %d entities", KAFKA_QUOTAS_MAX);
	else if (quotas->path)
		err = write_file(quotas->path, next, reterr);
	if (!err) {
		pthread_mutex_lock(&quotas->lock);
		before = quotas->now;
		quotas->now = next;
		pthread_mutex_unlock(&quotas->lock);
		count_keys(quotas, next);
		next = NULL;
	}
	pthread_mutex_unlock(&quotas->change);
	kafka__quotas_unref(before);
	kafka__quotas_unref(next);
	return err;
}

bool kafka__quotas_any(const struct kafka_quotas *quotas, enum quota_key key)
{
	return quotas && atomic_load_explicit(&quotas->set[key], memory_order_relaxed) > 0;
}

struct quota_meters *kafka__quotas_meters(struct kafka_quotas *quotas)
{
	return quotas->meters;
}

/* ---- life ---- */

enum sm_err kafka__quotas_open(const char *path, struct kafka_quotas **ret_quotas, struct sm_error *reterr)
{
	struct kafka_quotas *q = calloc(1, sizeof *q);
	if (!q)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the quotas");
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->change, NULL);
	q->path = path ? strdup(path) : NULL;
	q->now = list_new(KAFKA_QUOTAS_MAX);
	q->meters = quota_meters__new();
	enum sm_err err = SM_OK;
	if (!q->now || !q->meters || (path && !q->path))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory for the quotas");
	if (!err && path)
		err = read_file(path, q->now, reterr);
	if (!err && (addresses_find(q->now) || list_settle(q->now)))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory for the quotas");
	if (err) {
		kafka__quotas_free(q);
		return err;
	}
	count_keys(q, q->now);
	*ret_quotas = q;
	return SM_OK;
}

void kafka__quotas_free(struct kafka_quotas *q)
{
	if (!q)
		return;
	quota_meters__free(q->meters);
	kafka__quotas_unref(q->now);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->change);
	free(q->path);
	free(q);
}
