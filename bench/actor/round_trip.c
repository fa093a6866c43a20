/* A message to another core and back: between actors on two dispatchers, and between two threads with nothing but a queue each and the same
 * way to wait: awake for 10 us, then asleep until an eventfd wakes an epoll. Prints ns a round trip as JSON; asleep: the queue's when it
 * never waits awake. */
#include <errno.h>
#include <pthread.h>
#include <smack/actor.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define AWAKE_NS 10000

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void check(int failed, const char *what)
{
	if (!failed)
		return;
	perror(what);
	exit(1);
}

/* ---- the bare queue: D. Vyukov's, as in the actors' mailbox, with one message ---- */

struct node {
	_Atomic(struct node *) next;
};
struct queue {
	_Alignas(64) _Atomic(struct node *) in;
	_Alignas(64) struct node *out;
	struct node stub;
	int event, epoll;
	_Alignas(64) atomic_bool asleep;
};

static void queue_open(struct queue *q)
{
	*q = (struct queue){.out = &q->stub, .event = eventfd(0, EFD_NONBLOCK), .epoll = epoll_create1(0)};
	atomic_store(&q->in, &q->stub);
	struct epoll_event event = {.events = EPOLLIN};
	check(q->event < 0 || epoll_ctl(q->epoll, EPOLL_CTL_ADD, q->event, &event) != 0, "eventfd");
}

static void queue_close(struct queue *q)
{
	close(q->event);
	close(q->epoll);
}

static void link_in(struct queue *q, struct node *n)
{
	atomic_store_explicit(&n->next, NULL, memory_order_relaxed);
	struct node *before = atomic_exchange_explicit(&q->in, n, memory_order_acq_rel);
	atomic_store_explicit(&before->next, n, memory_order_release);
}

static void push(struct queue *q, struct node *n)
{
	const uint64_t one = 1;
	link_in(q, n);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&q->asleep, memory_order_relaxed) && atomic_exchange(&q->asleep, false))
		check(write(q->event, &one, sizeof one) != sizeof one, "write");
}

static struct node *pop(struct queue *q)
{
	struct node *n = q->out, *next = atomic_load_explicit(&n->next, memory_order_acquire);
	if (n == &q->stub) {
		if (!next)
			return NULL;
		q->out = n = next;
		next = atomic_load_explicit(&n->next, memory_order_acquire);
	}
	if (!next) {
		if (n != atomic_load_explicit(&q->in, memory_order_acquire))
			return NULL;
		link_in(q, &q->stub);
		if (!(next = atomic_load_explicit(&n->next, memory_order_acquire)))
			return NULL;
	}
	q->out = next;
	return n;
}

static void sleep_on(struct queue *q)
{
	struct epoll_event event;
	uint64_t count;
	check(epoll_wait(q->epoll, &event, 1, -1) < 0 && errno != EINTR, "epoll_wait");
	check(read(q->event, &count, sizeof count) < 0 && errno != EAGAIN, "read");
}

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static struct node *take(struct queue *q, uint64_t awake_ns)
{
	struct node *n;
	while (!(n = pop(q))) {
		for (uint64_t until = now_ns() + awake_ns; awake_ns;) {
			for (int i = 0; i < 32 && !(n = pop(q)); i++)
				relax();
			if (n)
				return n;
			if (now_ns() >= until)
				break;
		}
		atomic_store(&q->asleep, true);
		if ((n = pop(q))) {
			atomic_store(&q->asleep, false);
			return n;
		}
		sleep_on(q);
	}
	return n;
}

struct pair {
	struct queue there, back;
	uint64_t trips, awake_ns;
};

static void *echo(void *arg)
{
	struct pair *p = arg;
	for (uint64_t i = 0; i < p->trips; i++)
		push(&p->back, take(&p->there, p->awake_ns));
	return NULL;
}

static double bare(uint64_t trips, uint64_t awake_ns)
{
	static struct pair p;
	static struct node node;
	pthread_t thread;
	queue_open(&p.there);
	queue_open(&p.back);
	p.trips = trips;
	p.awake_ns = awake_ns;
	check(pthread_create(&thread, NULL, echo, &p), "pthread_create");
	uint64_t started = now_ns();
	for (uint64_t i = 0; i < trips; i++) {
		push(&p.there, &node);
		take(&p.back, awake_ns);
	}
	double each = (double)(now_ns() - started) / (double)trips;
	pthread_join(thread, NULL);
	queue_close(&p.there);
	queue_close(&p.back);
	return each;
}

/* ---- actors ---- */

static const struct sm_msg_type token_type = {"token", NULL, NULL};
static struct sm_msg token = {.type = &token_type};
static uint64_t left;
static atomic_bool finished;
static struct sm_ref *actors[2];

static enum sm_err hop(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (left-- == 0) {
		atomic_store(&finished, true);
		return SM_OK;
	}
	return sm_send(actors[sm_self(self) == actors[0]], msg);
}

static double between_actors(uint64_t trips)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 2, .pool_threads = 1};
	check(sm_system_new(&options, &system, NULL), "sm_system_new");
	for (int i = 0; i < 2; i++) {
		struct sm_props props = {.receive = hop, .dispatcher = i};
		check(sm_spawn(system, NULL, &props, &actors[i]), "sm_spawn");
	}
	left = 2 * trips;
	uint64_t started = now_ns();
	check(sm_send(actors[0], &token), "sm_send");
	while (!atomic_load(&finished))
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	double each = (double)(now_ns() - started) / (double)trips;
	for (int i = 0; i < 2; i++)
		sm_unref(actors[i]);
	check(sm_system_stop(system, 10000), "sm_system_stop");
	return each;
}

int main(void)
{
	double spinning = bare(500000, AWAKE_NS), asleep = bare(20000, 0), actor = between_actors(500000);
	printf("{\"bare\": %.1f, \"bare_asleep\": %.1f, \"actors\": %.1f}\n", spinning, asleep, actor);
	return 0;
}
