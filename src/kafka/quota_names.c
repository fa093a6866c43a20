/* The host names of quotas, looked up at the start: a resolver that is slow, or does not answer, must not be waited for once a name. */
#include "kafka/quota.h"
#include "base/clock.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Shared by the threads and by who waits; the last of them frees it, which may be long after the wait was given up. */
struct lookups {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	quota_resolver resolve;
	uint32_t refs, next, done, count;
	struct lookup {
		char *name;
		size_t size;
		char address[46];
		enum quota_name_state state;
	} items[];
};

bool kafka__quota_resolve(struct bytes name, char out[46])
{
	static const int families[] = {AF_INET, AF_INET6};
	char *text = name.size && !memchr(name.data, 0, name.size) ? strndup((const char *)name.data, name.size) : NULL;
	bool found = false;
	for (int i = 0; text && i < 2 && !found; i++) {
		struct addrinfo hints = {.ai_family = families[i], .ai_socktype = SOCK_STREAM}, *all = NULL;
		if (getaddrinfo(text, NULL, &hints, &all) == 0 && all)
			found = getnameinfo(all->ai_addr, all->ai_addrlen, out, 46, NULL, 0, NI_NUMERICHOST) == 0;
		if (all)
			freeaddrinfo(all);
	}
	free(text);
	return found;
}

static void lookups_free(struct lookups *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		free(l->items[i].name);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void unref_and_unlock(struct lookups *l)
{
	bool last = --l->refs == 0;
	pthread_mutex_unlock(&l->lock);
	if (last)
		lookups_free(l);
}

static void *look_up(void *arg)
{
	struct lookups *l = arg;
	pthread_mutex_lock(&l->lock);
	while (l->next < l->count) {
		struct lookup *item = &l->items[l->next++];
		char address[46] = "";
		pthread_mutex_unlock(&l->lock);
		bool found = l->resolve(bytes_of(item->name, item->size), address);
		pthread_mutex_lock(&l->lock);
		item->state = found ? QUOTA_NAME_FOUND : QUOTA_NAME_UNKNOWN;
		if (found)
			memcpy(item->address, address, sizeof address);
		l->done++;
		pthread_cond_signal(&l->changed);
	}
	unref_and_unlock(l);
	return NULL;
}

static struct lookups *lookups_new(const struct quota_name *names, uint32_t count, quota_resolver resolve)
{
	struct lookups *l = calloc(1, sizeof *l + count * sizeof *l->items);
	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	clock_cond_init(&l->changed);
	l->resolve = resolve;
	l->refs = 1;
	for (; l->count < count; l->count++) {
		struct lookup *item = &l->items[l->count];
		struct bytes name = names[l->count].name;
		if (!(item->name = malloc(name.size + 1))) {
			lookups_free(l);
			return NULL;
		}
		memcpy(item->name, name.data, name.size);
		item->size = name.size;
	}
	return l;
}

static void start_threads(struct lookups *l)
{
	pthread_attr_t detached;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (uint32_t i = 0; i < l->count && i < KAFKA_QUOTA_RESOLVERS; i++) {
		pthread_t thread;
		pthread_mutex_lock(&l->lock);
		l->refs++;
		bool started = pthread_create(&thread, &detached, look_up, l) == 0;
		if (!started)
			l->refs--;
		pthread_mutex_unlock(&l->lock);
		if (!started)
			break; /* the others do it */
	}
	pthread_attr_destroy(&detached);
}

enum sm_err quota_names__resolve(struct quota_name *names, uint32_t count, quota_resolver resolve, uint32_t bound_ms)
{
	uint64_t deadline_ns = clock_deadline_ns(bound_ms);
	struct lookups *l = lookups_new(names, count, resolve);
	if (!l)
		return SM_NO_MEMORY;
	start_threads(l);
	pthread_mutex_lock(&l->lock);
	while (l->refs > 1 && l->done < l->count && clock_cond_wait_until(&l->changed, &l->lock, deadline_ns))
		;
	for (uint32_t i = 0; i < count; i++) {
		names[i].state = l->items[i].state;
		memcpy(names[i].address, l->items[i].address, sizeof names[i].address);
	}
	l->next = l->count; /* what has not begun need not begin */
	unref_and_unlock(l);
	return SM_OK;
}
