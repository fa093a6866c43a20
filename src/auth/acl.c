/* The rules in memory and in their file. Text, a line each:
 *
 *   smack acls 1                                                  the first line: what this is, and its version
 *   PERMISSION PRINCIPAL HOST OPERATION RESOURCE PATTERN NAME     words of acl.def; "%20" stands for a blank, "%25" for the sign itself,
 *                                                                 "%-" for a word without letters
 *
 * A change writes the file anew in one step (temporary file, sync, rename, sync of the directory) and counts only then. Readers see a
 * list that never changes; a change makes another. */
#include "auth/acl.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/percent.h"
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_LINE "smack acls 1"
#define NO_TEXT "%-" /* a word of no bytes */

struct list {
	atomic_int refs;
	struct arena arena;
	struct auth_acl *items; /* sorted */
	uint32_t count, cap;
};
struct auth_acls {
	char *path;
	char **super_users; /* ends with NULL */
	bool allow_without_rules;
	pthread_mutex_t change; /* one change at a time */
	pthread_mutex_t lock;   /* of now */
	struct list *now;
};

/* ---- words ---- */

static const struct word {
	const char *kind, *word;
	int8_t number;
} words[] = {
#define X(kind, NAME, word, number) {#kind, word, number},
#include "auth/acl.def"
#undef X
};
#define WORDS (sizeof words / sizeof *words)

static const char *word_of(const char *kind, int8_t number)
{
	for (size_t i = 0; i < WORDS; i++)
		if (words[i].number == number && strcmp(words[i].kind, kind) == 0)
			return words[i].word;
	return NULL;
}

static int8_t number_of(const char *kind, const char *word)
{
	for (size_t i = 0; i < WORDS; i++)
		if (strcmp(words[i].word, word) == 0 && strcmp(words[i].kind, kind) == 0)
			return words[i].number;
	return 0;
}

static bool concrete(const char *kind, int8_t number)
{
	return number != AUTH_RESOURCE_ANY && word_of(kind, number);
}

const char *auth_acl_wrong(const struct auth_acl *a)
{
	if (a->pattern != AUTH_PATTERN_LITERAL && a->pattern != AUTH_PATTERN_PREFIXED)
		return "Invalid patternType";
	if (!concrete("RESOURCE", a->resource))
		return "Invalid resourceType";
	if (a->resource == AUTH_RESOURCE_CLUSTER && strcmp(a->name, AUTH_CLUSTER_NAME) != 0)
		return "The only valid name for the CLUSTER resource is kafka-cluster";
	if (!*a->name)
		return "Invalid empty resource name";
	if (!concrete("OPERATION", a->operation))
		return "Invalid operation";
	if (!concrete("PERMISSION", a->permission))
		return "Invalid permissionType";
	if (!strchr(a->principal, ':'))
		return "Could not parse principal (no colon is present separating the principal type from the principal name)";
	if (strlen(a->name) > AUTH_ACL_TEXT_MAX || strlen(a->principal) > AUTH_ACL_TEXT_MAX || strlen(a->host) > AUTH_ACL_TEXT_MAX)
		return "A name, a principal or a host has more than 4096 bytes";
	return NULL;
}

bool auth_acl_filter_ok(const struct auth_acl_filter *f)
{
	return word_of("RESOURCE", f->resource) && word_of("PATTERN", f->pattern) && word_of("OPERATION", f->operation) &&
	       word_of("PERMISSION", f->permission);
}

/* ---- lists ---- */

static struct list *list_new(uint32_t cap)
{
	struct list *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	atomic_init(&l->refs, 1);
	arena_init(&l->arena, 0);
	l->items = calloc(cap ? cap : 1, sizeof *l->items);
	l->cap = cap;
	if (l->items)
		return l;
	free(l);
	return NULL;
}

static void list_unref(struct list *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_done(&l->arena);
	free(l->items);
	free(l);
}

static struct list *list_get(struct auth_acls *a)
{
	pthread_mutex_lock(&a->lock);
	struct list *l = a->now;
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&a->lock);
	return l;
}

static int compare(const struct auth_acl *a, const struct auth_acl *b)
{
	int c = a->resource - b->resource;
	c = c ? c : a->pattern - b->pattern;
	c = c ? c : strcmp(a->name, b->name);
	c = c ? c : strcmp(a->principal, b->principal);
	c = c ? c : strcmp(a->host, b->host);
	c = c ? c : a->operation - b->operation;
	return c ? c : a->permission - b->permission;
}

static int compare_void(const void *a, const void *b)
{
	return compare(a, b);
}

/* Copies the strings. false: no memory. */
static bool list_put(struct list *l, const struct auth_acl *from)
{
	struct auth_acl *to = &l->items[l->count];
	*to = *from;
	to->name = arena_string(&l->arena, from->name, strlen(from->name));
	to->principal = arena_string(&l->arena, from->principal, strlen(from->principal));
	to->host = arena_string(&l->arena, from->host, strlen(from->host));
	l->count++;
	return to->name && to->principal && to->host;
}

static void list_sort(struct list *l)
{
	uint32_t kept = 0;
	qsort(l->items, l->count, sizeof *l->items, compare_void);
	for (uint32_t i = 0; i < l->count; i++)
		if (!kept || compare(&l->items[kept - 1], &l->items[i]) != 0)
			l->items[kept++] = l->items[i];
	l->count = kept;
}

/* ---- deciding ---- */

static bool name_matches(const struct auth_acl *a, struct bytes name)
{
	size_t size = strlen(a->name);
	if (a->pattern == AUTH_PATTERN_PREFIXED)
		return name.size >= size && memcmp(a->name, name.data, size) == 0;
	return bytes_equal(bytes_of(a->name, size), name) || strcmp(a->name, "*") == 0;
}

static bool is_about(const struct auth_acl *a, const char *principal, const char *host)
{
	return (strcmp(a->principal, "User:*") == 0 || strcmp(a->principal, principal) == 0) &&
	       (strcmp(a->host, "*") == 0 || strcmp(a->host, host) == 0);
}

/* Of a rule that allows: what it allows beside itself. */
static bool implies(int8_t has, int operation)
{
	switch (operation) {
	case AUTH_OPERATION_DESCRIBE:
		return has == AUTH_OPERATION_DESCRIBE || has == AUTH_OPERATION_READ || has == AUTH_OPERATION_WRITE ||
		       has == AUTH_OPERATION_DELETE || has == AUTH_OPERATION_ALTER;
	case AUTH_OPERATION_DESCRIBE_CONFIGS: return has == AUTH_OPERATION_DESCRIBE_CONFIGS || has == AUTH_OPERATION_ALTER_CONFIGS;
	default: return has == operation;
	}
}

static bool is_super(const struct auth_acls *a, const char *principal)
{
	for (char **s = a->super_users; *s; s++)
		if (strcmp(*s, principal) == 0)
			return true;
	return false;
}

bool auth_may(struct auth_acls *acls, const char *principal, const char *host, enum auth_acl_word operation, enum auth_acl_word resource,
	      struct bytes name)
{
	if (is_super(acls, principal))
		return true;
	struct list *l = list_get(acls);
	bool allowed = false, denied = false, any = false;
	for (uint32_t i = 0; i < l->count && !denied; i++) {
		const struct auth_acl *a = &l->items[i];
		if (a->resource != (int)resource || !name_matches(a, name))
			continue;
		any = true;
		if (!is_about(a, principal, host))
			continue;
		if (a->permission == AUTH_PERMISSION_DENY)
			denied = a->operation == (int)operation || a->operation == AUTH_OPERATION_ALL;
		else
			allowed |= a->operation == AUTH_OPERATION_ALL || implies(a->operation, operation);
	}
	list_unref(l);
	return !denied && (allowed || (!any && acls->allow_without_rules));
}

/* Whether rules that deny leave nothing of what this one allows. */
static bool is_covered(const struct list *l, const struct auth_acl *allow, const char *principal, const char *host, int operation)
{
	for (uint32_t i = 0; i < l->count; i++) {
		const struct auth_acl *d = &l->items[i];
		if (d->permission != AUTH_PERMISSION_DENY || d->resource != allow->resource || !is_about(d, principal, host) ||
		    (d->operation != operation && d->operation != AUTH_OPERATION_ALL))
			continue;
		bool all = d->pattern == AUTH_PATTERN_LITERAL && strcmp(d->name, "*") == 0;
		bool allow_all = allow->pattern == AUTH_PATTERN_LITERAL && strcmp(allow->name, "*") == 0;
		bool same = allow->pattern == AUTH_PATTERN_LITERAL && d->pattern == AUTH_PATTERN_LITERAL &&
			    strcmp(d->name, allow->name) == 0;
		bool prefix = d->pattern == AUTH_PATTERN_PREFIXED && !allow_all && strncmp(allow->name, d->name, strlen(d->name)) == 0;
		if (all || same || prefix)
			return true;
	}
	return false;
}

bool auth_may_somewhere(struct auth_acls *acls, const char *principal, const char *host, enum auth_acl_word operation,
			enum auth_acl_word resource)
{
	static const struct auth_acl everything = {.pattern = AUTH_PATTERN_LITERAL, .name = "*"};
	if (is_super(acls, principal))
		return true;
	struct list *l = list_get(acls);
	struct auth_acl rest = everything;
	rest.resource = (int8_t)resource;
	bool may = acls->allow_without_rules && !is_covered(l, &rest, principal, host, operation);
	for (uint32_t i = 0; i < l->count && !may; i++) {
		const struct auth_acl *a = &l->items[i];
		may = a->permission == AUTH_PERMISSION_ALLOW && a->resource == (int)resource && is_about(a, principal, host) &&
		      (a->operation == AUTH_OPERATION_ALL || implies(a->operation, operation)) &&
		      !is_covered(l, a, principal, host, operation);
	}
	list_unref(l);
	return may;
}

/* ---- filters ---- */

static bool pattern_matches(const struct auth_acl_filter *f, const struct auth_acl *a)
{
	if (f->pattern != AUTH_PATTERN_ANY && f->pattern != AUTH_PATTERN_MATCH && f->pattern != a->pattern)
		return false;
	if (!f->name)
		return true;
	return f->pattern == AUTH_PATTERN_MATCH ? name_matches(a, bytes_str(f->name)) : strcmp(f->name, a->name) == 0;
}

static bool matches(const struct auth_acl_filter *f, const struct auth_acl *a)
{
	return (f->resource == AUTH_RESOURCE_ANY || f->resource == a->resource) && pattern_matches(f, a) &&
	       (!f->principal || strcmp(f->principal, a->principal) == 0) && (!f->host || strcmp(f->host, a->host) == 0) &&
	       (f->operation == AUTH_OPERATION_ANY || f->operation == a->operation) &&
	       (f->permission == AUTH_PERMISSION_ANY || f->permission == a->permission);
}

void auth_acls_list(struct auth_acls *acls, const struct auth_acl_filter *filter, void (*visit)(void *arg, const struct auth_acl *acl),
		    void *arg)
{
	struct list *l = list_get(acls);
	for (uint32_t i = 0; i < l->count; i++)
		if (matches(filter, &l->items[i]))
			visit(arg, &l->items[i]);
	list_unref(l);
}

/* ---- the file ---- */

static void put_word(struct buf *out, const char *word, char end)
{
	assert(word);
	if (!*word)
		buf_append_str(out, NO_TEXT);
	percent_append(out, bytes_str(word), "");
	buf_u8(out, (uint8_t)end);
}

static enum sm_err write_file(const struct auth_acls *acls, const struct list *l, struct sm_error *reterr)
{
	struct buf out;
	buf_init(&out);
	buf_append_str(&out, FIRST_LINE "\n");
	for (uint32_t i = 0; i < l->count; i++) {
		const struct auth_acl *a = &l->items[i];
		put_word(&out, word_of("PERMISSION", a->permission), ' ');
		put_word(&out, a->principal, ' ');
		put_word(&out, a->host, ' ');
		put_word(&out, word_of("OPERATION", a->operation), ' ');
		put_word(&out, word_of("RESOURCE", a->resource), ' ');
		put_word(&out, word_of("PATTERN", a->pattern), ' ');
		put_word(&out, a->name, '\n');
	}
	enum sm_err err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "%s: no memory", acls->path)
				     : io_write_file_atomic(&io_system, acls->path, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

/* In place. */
static bool decode_word(char *word)
{
	if (strcmp(word, NO_TEXT) == 0)
		*word = 0;
	return percent_decode_text(word);
}

static bool parse_line(char *line, struct auth_acl *a)
{
	char *parts[7], *save = NULL;
	for (int i = 0; i < 7; i++) {
		parts[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!parts[i] || !decode_word(parts[i]))
			return false;
	}
	*a = (struct auth_acl){
		.permission = number_of("PERMISSION", parts[0]),
		.principal = parts[1],
		.host = parts[2],
		.operation = number_of("OPERATION", parts[3]),
		.resource = number_of("RESOURCE", parts[4]),
		.pattern = number_of("PATTERN", parts[5]),
		.name = parts[6],
	};
	return !strtok_r(NULL, " ", &save) && !auth_acl_wrong(a);
}

static enum sm_err parse(char *text, const char *path, struct list *l, struct sm_error *reterr)
{
	char *save = NULL, *line = strtok_r(text, "\n", &save);
	if (!line || strcmp(line, FIRST_LINE) != 0)
		return sm_fail(reterr, SM_VERSION, "%s: the first line must be \"" FIRST_LINE "\"", path);
	while ((line = strtok_r(NULL, "\n", &save))) {
		struct auth_acl a;
		char shown[60];
		snprintf(shown, sizeof shown, "%s", line);
		if (l->count == AUTH_ACLS_MAX)
			return sm_fail(reterr, SM_TOO_LARGE, "%s: more than %d rules", path, AUTH_ACLS_MAX);
		if (!parse_line(line, &a))
			return sm_fail(reterr, SM_INVALID, "%s: this is no rule: %s", path, shown);
		if (!list_put(l, &a))
			return sm_fail(reterr, SM_NO_MEMORY, "%s: no memory for the rules", path);
	}
	list_sort(l);
	return SM_OK;
}

static enum sm_err read_file(const char *path, struct list *l, struct sm_error *reterr)
{
	uint8_t *data = NULL;
	size_t size = 0;
	enum sm_err err = io_read_file(&io_system, path, AUTH_ACLS_FILE_MAX, &data, &size, reterr);
	if (err)
		return err == SM_NOT_FOUND ? SM_OK : err;
	err = memchr(data, 0, size) ? sm_fail(reterr, SM_INVALID, "%s: is no text", path) : parse((char *)data, path, l, reterr);
	free(data);
	return err;
}

/* ---- changing ---- */

static enum sm_err replace(struct auth_acls *acls, struct list *next, struct sm_error *reterr)
{
	enum sm_err err = write_file(acls, next, reterr);
	if (err) {
		list_unref(next);
		return err;
	}
	pthread_mutex_lock(&acls->lock);
	struct list *before = acls->now;
	acls->now = next;
	pthread_mutex_unlock(&acls->lock);
	list_unref(before);
	return SM_OK;
}

static enum sm_err add(struct auth_acls *acls, const struct auth_acl *more, uint32_t count, struct sm_error *reterr)
{
	const struct list *now = acls->now;
	struct list *next = list_new(now->count + count);
	bool ok = next != NULL;
	for (uint32_t i = 0; ok && i < now->count; i++)
		ok = list_put(next, &now->items[i]);
	for (uint32_t i = 0; ok && i < count; i++)
		ok = list_put(next, &more[i]);
	if (!ok) {
		list_unref(next);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the rules");
	}
	list_sort(next);
	if (next->count > AUTH_ACLS_MAX) {
		list_unref(next);
		return sm_fail(reterr, SM_TOO_LARGE, "there are at most %d rules", AUTH_ACLS_MAX);
	}
	if (next->count == now->count) {
		list_unref(next);
		return SM_OK;
	}
	return replace(acls, next, reterr);
}

enum sm_err auth_acls_add(struct auth_acls *acls, const struct auth_acl *more, uint32_t count, struct sm_error *reterr)
{
	pthread_mutex_lock(&acls->change);
	enum sm_err err = add(acls, more, count, reterr);
	pthread_mutex_unlock(&acls->change);
	return err;
}

static bool matches_one(const struct auth_acl_filter *filters, uint32_t count, const struct auth_acl *a)
{
	for (uint32_t i = 0; i < count; i++)
		if (matches(&filters[i], a))
			return true;
	return false;
}

enum sm_err auth_acls_remove(struct auth_acls *acls, const struct auth_acl_filter *filters, uint32_t count,
			     void (*matched)(void *arg, uint32_t filter, const struct auth_acl *acl), void *arg, struct sm_error *reterr)
{
	pthread_mutex_lock(&acls->change);
	const struct list *now = acls->now;
	struct list *next = list_new(now->count);
	bool ok = next != NULL;
	for (uint32_t i = 0; ok && i < now->count; i++)
		if (!matches_one(filters, count, &now->items[i]))
			ok = list_put(next, &now->items[i]);
	for (uint32_t f = 0; ok && f < count; f++)
		for (uint32_t i = 0; i < now->count; i++)
			if (matches(&filters[f], &now->items[i]))
				matched(arg, f, &now->items[i]);
	enum sm_err err = SM_OK;
	if (!ok || next->count == now->count) {
		list_unref(next);
		if (!ok)
			err = sm_fail(reterr, SM_NO_MEMORY, "no memory for the rules");
	} else {
		err = replace(acls, next, reterr);
	}
	pthread_mutex_unlock(&acls->change);
	return err;
}

/* ---- life ---- */

static enum sm_err take_super_users(struct auth_acls *a, const char *text, struct sm_error *reterr)
{
	size_t count = 0;
	for (const char *at = text; *at; at++)
		count += *at == ';';
	a->super_users = calloc(count + 2, sizeof *a->super_users);
	count = 0;
	for (const char *at = text; a->super_users && *at;) {
		size_t size = strcspn(at, ";"), begin = strspn(at, " ");
		size_t end = size;
		while (end > begin && at[end - 1] == ' ')
			end--;
		if (end > begin) {
			if (!memchr(at + begin, ':', end - begin))
				return sm_fail(reterr, SM_INVALID, "super user '%.*s': write User:NAME, several with ; between them",
					       (int)(end - begin), at + begin);
			if (!(a->super_users[count++] = strndup(at + begin, end - begin)))
				return sm_fail(reterr, SM_NO_MEMORY, "no memory for the rules");
		}
		at += size + (at[size] == ';');
	}
	return a->super_users ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory for the rules");
}

enum sm_err auth_acls_open(const struct auth_acls_options *options, struct auth_acls **ret_acls, struct sm_error *reterr)
{
	struct auth_acls *a = calloc(1, sizeof *a);
	if (!a)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the rules");
	pthread_mutex_init(&a->lock, NULL);
	pthread_mutex_init(&a->change, NULL);
	a->allow_without_rules = options->allow_without_rules;
	a->path = strdup(options->path);
	a->now = list_new(AUTH_ACLS_MAX);
	enum sm_err err = a->path && a->now ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory for the rules");
	if (!err && !(err = take_super_users(a, options->super_users ? options->super_users : "", reterr)))
		err = read_file(a->path, a->now, reterr);
	if (err)
		auth_acls_free(a);
	else
		*ret_acls = a;
	return err;
}

void auth_acls_free(struct auth_acls *a)
{
	if (!a)
		return;
	for (char **s = a->super_users; s && *s; s++)
		free(*s);
	free(a->super_users);
	list_unref(a->now);
	pthread_mutex_destroy(&a->lock);
	pthread_mutex_destroy(&a->change);
	free(a->path);
	free(a);
}
