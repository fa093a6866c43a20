#include "kafka/assignor.h"
#include <stdlib.h>

#define ROUNDS_MAX 16 /* of balancing; where subscriptions overlap in part, more would gain little */

const struct assignor *assignor__find(struct bytes name)
{
	static const struct assignor *const all[] = {&assignor__uniform, &assignor__range};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (bytes_equal(name, bytes_str(all[i]->name)))
			return all[i];
	}
	return NULL;
}

/* ---- who owns what ---- */

/* An assignment in the making: all partitions stand in one row, topic by topic. */
struct plan {
	const struct assign_input *in;
	uint32_t *first;       /* where a topic's partitions begin in owner */
	int32_t *owner;        /* of a partition: a member; -1: none */
	uint32_t *load;        /* partitions of a member */
	uint32_t *held;        /* partitions of a member in the topic that is looked at */
	uint32_t *subscribers; /* members, topic by topic */
	uint32_t *from;        /* where a topic's subscribers begin */
	uint32_t *order;       /* topics, in the order in which they are given out */
};

static void plan_done(struct plan *p)
{
	free(p->first);
	free(p->owner);
	free(p->load);
	free(p->held);
	free(p->subscribers);
	free(p->from);
	free(p->order);
}

static void list_subscribers(struct plan *p)
{
	const struct assign_input *in = p->in;
	for (uint32_t m = 0; m < in->member_count; m++) {
		for (uint32_t i = 0; i < in->members[m].topic_count; i++)
			p->from[in->members[m].topics[i] + 1]++;
	}
	for (uint32_t t = 0; t < in->topic_count; t++)
		p->from[t + 1] += p->from[t];
	for (uint32_t m = 0; m < in->member_count; m++) {
		for (uint32_t i = 0; i < in->members[m].topic_count; i++) {
			uint32_t t = in->members[m].topics[i];
			p->subscribers[p->from[t] + p->order[t]++] = m; /* order counts meanwhile how many stand there */
		}
	}
}

static enum sm_err plan_init(struct plan *p, const struct assign_input *in)
{
	size_t subscriptions = 0, partitions = 0;
	*p = (struct plan){.in = in, .first = calloc(in->topic_count + 1, sizeof *p->first)};
	if (!p->first)
		return SM_NO_MEMORY;
	for (uint32_t t = 0; t < in->topic_count; t++) {
		partitions += (size_t)in->topics[t].partitions;
		p->first[t + 1] = (uint32_t)partitions;
	}
	for (uint32_t m = 0; m < in->member_count; m++)
		subscriptions += in->members[m].topic_count;
	p->owner = malloc((partitions + 1) * sizeof *p->owner);
	p->load = calloc(in->member_count + 1, sizeof *p->load);
	p->held = calloc(in->member_count + 1, sizeof *p->held);
	p->subscribers = calloc(subscriptions + 1, sizeof *p->subscribers);
	p->from = calloc(in->topic_count + 2, sizeof *p->from);
	p->order = calloc(in->topic_count + 1, sizeof *p->order);
	if (!p->owner || !p->load || !p->held || !p->subscribers || !p->from || !p->order)
		return SM_NO_MEMORY;
	for (size_t i = 0; i < partitions; i++)
		p->owner[i] = -1;
	list_subscribers(p);
	return SM_OK;
}

/* The plan as each member's set: topics stand by id, so the sets come out sorted. */
static enum sm_err plan_hand_out(struct plan *p)
{
	const struct assign_input *in = p->in;
	for (uint32_t m = 0; m < in->member_count; m++) {
		struct partition_set *set = &in->members[m].after;
		*set = (struct partition_set){p->load[m] ? malloc(p->load[m] * sizeof *set->items) : NULL, 0};
		if (p->load[m] && !set->items)
			return SM_NO_MEMORY;
	}
	for (uint32_t t = 0; t < in->topic_count; t++) {
		for (int32_t i = 0; i < in->topics[t].partitions; i++) {
			int32_t owner = p->owner[p->first[t] + (uint32_t)i];
			if (owner < 0)
				continue;
			struct partition_set *set = &in->members[owner].after;
			set->items[set->count++] = (struct partition_id){in->topics[t].id, i};
		}
	}
	return SM_OK;
}

/* ---- uniform ---- */

static bool subscribes(const struct assign_member *m, uint32_t topic)
{
	uint32_t low = 0, high = m->topic_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (m->topics[middle] < topic)
			low = middle + 1;
		else
			high = middle;
	}
	return low < m->topic_count && m->topics[low] == topic;
}

/* Members keep what they had, as far as they still subscribe to it and it still exists. */
static void keep(struct plan *p)
{
	const struct assign_input *in = p->in;
	for (uint32_t m = 0; m < in->member_count; m++) {
		uint32_t t = 0;
		for (uint32_t i = 0; i < in->members[m].before->count; i++) {
			const struct partition_id *id = &in->members[m].before->items[i];
			while (t < in->topic_count && memcmp(&in->topics[t].id, &id->topic, sizeof id->topic) < 0)
				t++;
			if (t == in->topic_count || memcmp(&in->topics[t].id, &id->topic, sizeof id->topic) != 0)
				continue;
			if (id->partition >= in->topics[t].partitions || !subscribes(&in->members[m], t))
				continue;
			p->owner[p->first[t] + (uint32_t)id->partition] = (int32_t)m;
			p->load[m]++;
		}
	}
}

/* Those with most partitions a subscriber come first, then those with fewer subscribers: who can take only these is filled while
 * the others can still even it out. */
static int compare_topics(const void *a, const void *b, void *arg)
{
	const struct plan *p = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	uint64_t x_subscribers = p->from[x + 1] - p->from[x], y_subscribers = p->from[y + 1] - p->from[y];
	uint64_t x_weight = (uint64_t)p->in->topics[x].partitions * y_subscribers;
	uint64_t y_weight = (uint64_t)p->in->topics[y].partitions * x_subscribers;
	if (x_weight != y_weight)
		return x_weight > y_weight ? -1 : 1;
	if (x_subscribers != y_subscribers)
		return x_subscribers < y_subscribers ? -1 : 1;
	return (x > y) - (x < y);
}

static uint32_t least_loaded(const struct plan *p, uint32_t topic)
{
	uint32_t best = p->subscribers[p->from[topic]];
	for (uint32_t i = p->from[topic] + 1; i < p->from[topic + 1]; i++) {
		if (p->load[p->subscribers[i]] < p->load[best])
			best = p->subscribers[i];
	}
	return best;
}

static void fill(struct plan *p)
{
	for (uint32_t k = 0; k < p->in->topic_count; k++) {
		uint32_t t = p->order[k];
		if (p->from[t] == p->from[t + 1])
			continue;
		for (uint32_t i = p->first[t]; i < p->first[t + 1]; i++) {
			if (p->owner[i] >= 0)
				continue;
			uint32_t m = least_loaded(p, t);
			p->owner[i] = (int32_t)m;
			p->load[m]++;
		}
	}
}

/* The subscriber with most partitions of those that hold some of this topic; -1: nobody does. */
static int32_t most_loaded(const struct plan *p, uint32_t topic)
{
	int32_t best = -1;
	for (uint32_t i = p->from[topic]; i < p->from[topic + 1]; i++) {
		uint32_t m = p->subscribers[i];
		if (p->held[m] && (best < 0 || p->load[m] > p->load[best]))
			best = (int32_t)m;
	}
	return best;
}

/* Move partitions of one topic from who has most to who has least. Returns whether any moved. */
static bool balance_topic(struct plan *p, uint32_t topic)
{
	bool moved = false;
	for (uint32_t i = p->from[topic]; i < p->from[topic + 1]; i++)
		p->held[p->subscribers[i]] = 0;
	for (uint32_t i = p->first[topic]; i < p->first[topic + 1]; i++)
		p->held[p->owner[i]]++;
	for (;;) {
		int32_t most = most_loaded(p, topic);
		uint32_t least = least_loaded(p, topic);
		if (most < 0 || p->load[most] <= p->load[least] + 1)
			return moved;
		uint32_t i = p->first[topic + 1] - 1;
		while (p->owner[i] != most)
			i--;
		p->owner[i] = (int32_t)least;
		p->held[most]--;
		p->load[most]--;
		p->held[least]++;
		p->load[least]++;
		moved = true;
	}
}

static enum sm_err assign_uniform(const struct assign_input *in)
{
	struct plan p;
	enum sm_err err = plan_init(&p, in);
	if (err)
		goto done;
	keep(&p);
	for (uint32_t t = 0; t < in->topic_count; t++)
		p.order[t] = t;
	qsort_r(p.order, in->topic_count, sizeof *p.order, compare_topics, &p);
	fill(&p);
	bool moved = true;
	for (int round = 0; moved && round < ROUNDS_MAX; round++) {
		moved = false;
		for (uint32_t k = 0; k < in->topic_count; k++) {
			uint32_t t = p.order[k];
			if (p.from[t + 1] - p.from[t] >= 2)
				moved |= balance_topic(&p, t);
		}
	}
	err = plan_hand_out(&p);
done:
	plan_done(&p);
	return err;
}

const struct assignor assignor__uniform = {"uniform", assign_uniform};

/* ---- range ---- */

/* Static members first, by instance, so that they keep their place; then the others by id. */
static int compare_members(const void *a, const void *b, void *arg)
{
	const struct assign_input *in = arg;
	const struct assign_member *x = &in->members[*(const uint32_t *)a], *y = &in->members[*(const uint32_t *)b];
	if (!x->instance != !y->instance)
		return x->instance ? -1 : 1;
	return x->instance ? strcmp(x->instance, y->instance) : strcmp(x->id, y->id);
}

static void cut(struct plan *p, uint32_t topic)
{
	uint32_t count = p->from[topic + 1] - p->from[topic], at = p->first[topic];
	uint32_t *members = &p->subscribers[p->from[topic]];
	if (!count)
		return;
	qsort_r(members, count, sizeof *members, compare_members, (void *)(uintptr_t)p->in);
	uint32_t each = (uint32_t)p->in->topics[topic].partitions / count, more = (uint32_t)p->in->topics[topic].partitions % count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t run = each + (i < more);
		p->load[members[i]] += run;
		for (; run; run--)
			p->owner[at++] = (int32_t)members[i];
	}
}

static enum sm_err assign_range(const struct assign_input *in)
{
	struct plan p;
	enum sm_err err = plan_init(&p, in);
	for (uint32_t t = 0; !err && t < in->topic_count; t++)
		cut(&p, t);
	if (!err)
		err = plan_hand_out(&p);
	plan_done(&p);
	return err;
}

const struct assignor assignor__range = {"range", assign_range};
