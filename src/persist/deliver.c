/* At-least-once delivery: what is not confirmed, when it is sent again, and how it stands in a snapshot:
 *
 *  1 version (1), 8 last id, 4 count, and for each: 8 id, 1 bytes of to, to, 4 bytes of data, data; big-endian */
#include "base/logging.h"
#include "persist/persist_internal.h"
#include <stdlib.h>

#define VERSION 1

/* ---- the list ---- */

static struct delivery *delivery_new(uint64_t id, struct bytes to, struct bytes data)
{
	struct delivery *d = calloc(1, sizeof *d + to.size + 1 + data.size);
	if (!d)
		return NULL;
	char *at = (char *)(d + 1);
	if (to.size)
		memcpy(at, to.data, to.size);
	if (data.size)
		memcpy(at + to.size + 1, data.data, data.size);
	d->delivery = (struct sm_delivery){.id = id, .to = at, .data = {at + to.size + 1, data.size}};
	return d;
}

static enum sm_err add(struct deliveries *list, uint64_t id, struct bytes to, struct bytes data)
{
	if (list->count == list->cap) {
		uint32_t cap = list->cap ? list->cap * 2 : 8;
		struct delivery **grown = realloc(list->items, cap * sizeof(struct delivery *));
		if (!grown)
			return SM_NO_MEMORY;
		list->items = grown;
		list->cap = cap;
	}
	struct delivery *d = delivery_new(id, to, data);
	if (!d)
		return SM_NO_MEMORY;
	list->items[list->count++] = d;
	list->fresh++;
	if (id > list->last_id)
		list->last_id = id;
	return SM_OK;
}

void persist__deliveries_done(struct deliveries *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct deliveries){0};
}

/* The place of the first with a greater id, or count. */
static uint32_t first_after(const struct deliveries *list, uint64_t id)
{
	uint32_t low = 0, high = list->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (list->items[middle]->delivery.id <= id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Its place, or count. */
static uint32_t find(const struct deliveries *list, uint64_t id)
{
	uint32_t after = first_after(list, id);
	return after && list->items[after - 1]->delivery.id == id ? after - 1 : list->count;
}

/* ---- what handlers call ---- */

enum sm_err sm_deliver(struct sm_actor *self, const char *to, struct sm_bytes data, uint64_t *ret_id)
{
	struct persistent *p = persist__current(self);
	if (!p || p->calling != CALLING_EVENT || !to)
		return SM_INVALID;
	if (!p->entity->props.deliver)
		return SM_UNSUPPORTED;
	if (strlen(to) > PERSIST_ID_MAX || data.size > PERSIST_GROUP_BYTES_MAX)
		return SM_TOO_LARGE;
	struct deliveries *list = &p->deliveries;
	enum sm_err err = add(list, list->last_id + 1, bytes_str(to), bytes_of(data.data, data.size));
	if (!err && ret_id)
		*ret_id = list->last_id;
	return err;
}

bool sm_confirm(struct sm_actor *self, uint64_t id)
{
	struct persistent *p = persist__current(self);
	struct deliveries *list = p && p->calling == CALLING_EVENT ? &p->deliveries : NULL;
	uint32_t at = list ? find(list, id) : 0;
	if (!list || at == list->count)
		return false;
	free(list->items[at]);
	if (at >= list->count - list->fresh)
		list->fresh--;
	memmove(list->items + at, list->items + at + 1, (list->count - at - 1) * sizeof *list->items);
	list->count--;
	return true;
}

uint32_t sm_delivery_room(struct sm_actor *self)
{
	struct persistent *p = persist__current(self);
	uint32_t max = p ? p->entity->props.delivery.unconfirmed_max : 0;
	return p && p->deliveries.count < max ? max - p->deliveries.count : 0;
}

bool sm_is_unconfirmed(struct sm_actor *self, uint64_t id)
{
	struct persistent *p = persist__current(self);
	return p && find(&p->deliveries, id) < p->deliveries.count;
}

/* ---- sending ---- */

static enum sm_err deliver_one(struct persistent *p, struct delivery *d)
{
	d->sent_ns = actor_now_ns(p->self);
	d->delivery.attempt++;
	struct persist_call call = persist__enter(p, CALLING_OTHER);
	p->entity->props.deliver(p->self, persist__user(p), &d->delivery);
	persist__leave(p, call);
	if (d->delivery.attempt != p->entity->props.delivery.warn_after)
		return SM_OK;
	LOG_WARN("persist", "%s: delivery %llu of %s to %s is not confirmed after %u attempts", sm_actor_path(p->self),
		 (unsigned long long)d->delivery.id, p->entity->props.id, d->delivery.to, d->delivery.attempt);
	struct sm_persist_signal signal = {.kind = SM_PERSIST_UNCONFIRMED, .sequence = p->sequence, .delivery = &d->delivery};
	return persist__signal(p, &signal);
}

/* Twice an interval it is looked for those that are due. */
static enum sm_err timer(struct persistent *p)
{
	struct deliveries *list = &p->deliveries;
	uint64_t half_ms = (p->entity->props.delivery.interval_ms + 1) / 2;
	if (!list->count == !list->timer)
		return SM_OK;
	list->timer = list->count > 0;
	if (list->timer)
		return sm_timer_start(p->self, PERSIST_TIMER, half_ms, half_ms);
	sm_timer_stop(p->self, PERSIST_TIMER);
	return SM_OK;
}

enum sm_err persist__deliver_fresh(struct persistent *p)
{
	struct deliveries *list = &p->deliveries;
	enum sm_err err = SM_OK;
	uint32_t burst = p->entity->props.delivery.burst_max, first = list->count - list->fresh;
	list->fresh = 0;
	for (uint32_t i = first; i < list->count && burst-- && !err; i++)
		err = deliver_one(p, list->items[i]);
	return err ? err : timer(p);
}

enum sm_err persist__deliver_again(struct persistent *p)
{
	struct deliveries *list = &p->deliveries;
	const struct sm_delivery_options *options = &p->entity->props.delivery;
	uint64_t now = actor_now_ns(p->self), burst = options->burst_max;
	enum sm_err err = SM_OK;
	if (!p->was_ready)
		return SM_OK;
	uint32_t count = list->count - list->fresh, at = first_after(list, list->turn);
	for (uint32_t i = 0; i < count && burst && !err; i++, at++) {
		struct delivery *d = list->items[at % count];
		if (d->delivery.attempt && now - d->sent_ns < options->interval_ms * 1000000)
			continue;
		burst--;
		list->turn = d->delivery.id;
		err = deliver_one(p, d);
	}
	return err ? err : timer(p);
}

/* ---- in a snapshot ---- */

void persist__deliveries_put(struct buf *out, const struct deliveries *list)
{
	buf_u8(out, VERSION);
	buf_be64(out, list->last_id);
	buf_be32(out, list->count);
	for (uint32_t i = 0; i < list->count; i++) {
		const struct sm_delivery *d = &list->items[i]->delivery;
		buf_be64(out, d->id);
		buf_u8(out, (uint8_t)strlen(d->to));
		buf_append_str(out, d->to);
		buf_be32(out, (uint32_t)d->data.size);
		buf_append(out, d->data.data, d->data.size);
	}
}

enum sm_err persist__deliveries_take(struct bytes data, struct deliveries *list, struct bytes *ret_rest)
{
	struct byte_reader r = byte_reader(data);
	struct deliveries fresh = {0};
	uint64_t before = 0;
	if (!data.size)
		return SM_CORRUPT;
	if (reader_u8(&r) != VERSION)
		return SM_VERSION;
	uint64_t last_id = reader_be64(&r);
	uint32_t count = reader_be32(&r);
	enum sm_err err = r.failed ? SM_CORRUPT : SM_OK;
	for (uint32_t i = 0; i < count && !err; i++) {
		uint64_t id = reader_be64(&r);
		struct bytes to, body;
		to.size = reader_u8(&r);
		to.data = reader_take(&r, to.size);
		body.size = reader_be32(&r);
		body.data = reader_take(&r, body.size);
		if (r.failed || id <= before || id > last_id || memchr(to.data, 0, to.size))
			err = SM_CORRUPT;
		else
			err = add(&fresh, id, to, body);
		before = id;
	}
	if (err) {
		persist__deliveries_done(&fresh);
		return err;
	}
	fresh.last_id = last_id;
	persist__deliveries_done(list);
	*list = fresh;
	*ret_rest = bytes_of(r.at, reader_left(&r));
	return SM_OK;
}
