/* Savina's benchmarks whose actors wait for each other or compute; savina.h says what they share. */
#ifndef ACTOR_SAVINA_WORK_H
#define ACTOR_SAVINA_WORK_H

#include "actor/savina.h"

/* ---- bank transaction: n transfers between m accounts, from a lower to a higher one; who sends money reads nothing else until the
 * receiver has confirmed. The result is the money in all accounts: m times the balance at the start. ---- */

#define SAVINA_BALANCE 1000000000ull

struct savina_account {
	struct savina_worker worker;
	uint64_t balance;
};
struct savina_bank {
	struct savina_sum sum;
	uint64_t random, left;
};

static inline enum sm_err savina_account_receive(struct sm_actor *self, void *state, struct sm_msg *msg);
static inline enum sm_err savina_account_waits(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_account *a = state;
	if (savina_of(msg)->kind != SAVINA_DONE)
		return sm_stash(self);
	sm_become(self, NULL);
	sm_unstash_all(self);
	return savina_send(a->worker.main_ref, SAVINA_DONE, a->worker.index, 0);
}
static inline enum sm_err savina_account_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_account *a = state;
	struct sm_ref **refs = a->worker.main->refs;
	const struct savina_msg *m = savina_of(msg);
	switch (m->kind) {
	case SAVINA_START: a->balance = SAVINA_BALANCE; return SM_OK;
	case SAVINA_TAKE: a->balance += m->number; return savina_send(refs[m->from], SAVINA_DONE, 0, 0);
	case SAVINA_GET: return savina_send(a->worker.main_ref, SAVINA_EXIT, 0, a->balance);
	default: /* send number to the account `from` */
		a->balance -= m->number;
		sm_become(self, savina_account_waits);
		return savina_send(refs[m->from], SAVINA_TAKE, a->worker.index, m->number);
	}
}
static inline uint64_t savina_random(uint64_t *state, uint64_t n)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % n;
}
static inline enum sm_err savina_transfer(struct savina_bank *s)
{
	const uint64_t m = s->sum.main.params->m;
	uint64_t from = savina_random(&s->random, m / 10 * 8), more = savina_random(&s->random, m - from);
	uint64_t amount = savina_random(&s->random, 1000);
	return savina_send(s->sum.main.refs[from], SAVINA_GO, (uint32_t)(from + (more ? more : 1)), amount);
}
static inline enum sm_err savina_bank_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_bank *s = state;
	struct savina_main *main = &s->sum.main;
	const uint64_t n = main->params->n, m = main->params->m;
	switch (savina_of(msg)->kind) {
	case SAVINA_DONE: return --s->left == 0 ? savina_to_all(main, SAVINA_GET) : SM_OK;
	case SAVINA_EXIT:
		if (savina_add(&s->sum, savina_of(msg)->number, m))
			savina_result(self, main, s->sum.sum, 0);
		return SM_OK;
	default: savina_keep_start(self, main, msg);
	}
	s->left = n;
	enum sm_err err = savina_spawn(self, main, (uint32_t)m, sizeof(struct savina_account), savina_account_receive, 2 * n);
	if (!err)
		err = savina_to_all(main, SAVINA_START);
	for (uint64_t i = 0; !err && i < n; i++)
		err = savina_transfer(s);
	return err;
}
/* m: at least 10. */
static inline enum sm_err savina_bank_transaction(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_bank_receive, sizeof(struct savina_bank), p->n, p, ret);
}

/* ---- sieve: the primes up to n, by a chain of actors with up to m primes each; the result is how many there are ---- */

struct savina_filter {
	struct savina_main main; /* its refs: the next filter, its child */
	struct sm_ref *first;    /* the main actor, who is told the number */
	uint32_t place;
	uint64_t count;
	uint32_t *primes;
};
struct savina_filter_arg {
	const struct savina_params *params;
	struct sm_ref *first;
	uint32_t place;
};
static inline enum sm_err savina_filter_init(struct sm_actor *self, void *state, void *arg)
{
	struct savina_filter *f = state;
	const struct savina_filter_arg *a = arg;
	f->main.params = a->params;
	f->first = a->first;
	f->place = a->place;
	free(arg);
	f->primes = calloc(f->main.params->m, sizeof *f->primes);
	return f->primes ? SM_OK : SM_NO_MEMORY;
}
static inline void savina_filter_done(struct sm_actor *self, void *state)
{
	free(((struct savina_filter *)state)->primes);
	savina_main_done(self, state);
}
static inline enum sm_err savina_filter_receive(struct sm_actor *self, void *state, struct sm_msg *msg);
static inline enum sm_err savina_filter_spawn(struct sm_actor *self, struct savina_main *s, struct sm_ref *first, uint32_t place)
{
	struct savina_filter_arg *arg = malloc(sizeof *arg);
	if (!arg || !(s->refs = calloc(1, sizeof *s->refs)))
		abort();
	*arg = (struct savina_filter_arg){s->params, first, place};
	struct sm_props props = {.state_size = sizeof(struct savina_filter),
				 .init = savina_filter_init,
				 .receive = savina_filter_receive,
				 .done = savina_filter_done,
				 .arg = arg,
				 .mailbox_max = (uint32_t)(s->params->n + 8),
				 .dispatcher = SM_DISPATCHER_ANY,
				 .supervision.decide = savina_decide};
	enum sm_err err = sm_spawn(sm_actor_system(self), self, &props, &s->refs[0]);
	if (err)
		free(arg);
	s->count = !err;
	return err;
}
static inline enum sm_err savina_filter_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_filter *f = state;
	const struct savina_msg *m = savina_of(msg);
	if (m->kind == SAVINA_EXIT)
		return f->main.count ? savina_send(f->main.refs[0], SAVINA_EXIT, 0, m->number + f->count)
				     : savina_send(f->first, SAVINA_DONE, f->place, m->number + f->count);
	for (uint64_t i = 0; i < f->count; i++)
		if (m->number % f->primes[i] == 0)
			return SM_OK;
	if (f->count < f->main.params->m) {
		f->primes[f->count++] = (uint32_t)m->number;
		return SM_OK;
	}
	enum sm_err err = f->main.count ? SM_OK : savina_filter_spawn(self, &f->main, f->first, f->place + 1);
	return err ? err : savina_send(f->main.refs[0], SAVINA_GO, 0, m->number);
}
static inline enum sm_err savina_sieve_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_main *s = state;
	if (savina_of(msg)->kind == SAVINA_DONE) {
		savina_result(self, s, savina_of(msg)->number, 0);
		return SM_OK;
	}
	savina_keep_start(self, s, msg);
	enum sm_err err = savina_filter_spawn(self, s, sm_self(self), 0);
	if (!err)
		err = savina_send(s->refs[0], SAVINA_GO, 0, 2);
	for (uint64_t i = 3; !err && i <= s->params->n; i += 2)
		err = savina_send(s->refs[0], SAVINA_GO, 0, i);
	return err ? err : savina_send(s->refs[0], SAVINA_EXIT, 0, 0);
}
static inline enum sm_err savina_sieve(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_sieve_receive, sizeof(struct savina_main), 1, p, ret);
}

/* ---- dining philosophers: m of them eat n times each; an arbiter has the forks, who is refused asks again. The result is how often they
 * have eaten, as the arbiter has counted; it fails if a fork is in two hands. ---- */

struct savina_table {
	struct savina_sum sum;
	bool *taken;
};
struct savina_philosopher {
	struct savina_worker worker;
	uint64_t eaten;
};
static inline enum sm_err savina_philosopher_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_philosopher *p = state;
	const struct savina_worker *w = &p->worker;
	if (savina_of(msg)->kind == SAVINA_TAKE) { /* both forks */
		enum sm_err err = savina_send(w->main_ref, SAVINA_DONE, w->index, 0);
		if (err || ++p->eaten == w->main->params->n)
			return err ? err : savina_send(w->main_ref, SAVINA_EXIT, w->index, p->eaten);
	}
	return savina_send(w->main_ref, SAVINA_GET, w->index, 0);
}
static inline enum sm_err savina_arbiter_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_table *t = state;
	struct savina_main *main = &t->sum.main;
	const uint32_t m = (uint32_t)main->params->m, left = savina_of(msg)->from, right = (left + 1) % m;
	switch (savina_of(msg)->kind) {
	case SAVINA_GET:
		if (t->taken[left] || t->taken[right])
			return savina_send(main->refs[left], SAVINA_GO, 0, 0);
		t->taken[left] = t->taken[right] = true;
		return savina_send(main->refs[left], SAVINA_TAKE, 0, 0);
	case SAVINA_DONE:
		if (!t->taken[left] || !t->taken[right])
			return SM_FAILED;
		t->taken[left] = t->taken[right] = false;
		return SM_OK;
	case SAVINA_EXIT:
		if (savina_add(&t->sum, savina_of(msg)->number, m))
			savina_result(self, main, t->sum.sum, 0);
		return SM_OK;
	default: savina_keep_start(self, main, msg);
	}
	if (!(t->taken = calloc(m, sizeof *t->taken)))
		return SM_NO_MEMORY;
	enum sm_err err = savina_spawn(self, main, m, sizeof(struct savina_philosopher), savina_philosopher_receive, 2);
	return err ? err : savina_to_all(main, SAVINA_GO);
}
static inline void savina_table_done(struct sm_actor *self, void *state)
{
	free(((struct savina_table *)state)->taken);
	savina_main_done(self, state);
}
static inline enum sm_err savina_philosophers(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run_with(system, savina_arbiter_receive, savina_table_done, sizeof(struct savina_table), 3 * p->m, p, ret);
}

/* ---- logistic map: m series of n terms each; a series asks its computer for each term and goes on when it is there. The
 * result's value is the sum of the last terms. ---- */

static inline double savina_rate(uint64_t series)
{
	return 3.46 + (double)series * 0.0025;
}
static inline double savina_next_term(double term, double rate)
{
	return rate * term * (1 - term);
}

struct savina_series {
	struct savina_worker worker;
	double term;
	uint64_t wanted; /* terms */
	bool waits, asked;
};
struct savina_map {
	struct savina_main main; /* refs: the series, then their computers */
	uint64_t heard;
	double sum;
};

static inline enum sm_err savina_tell_value(struct sm_ref *to, enum savina_kind kind, uint32_t from, double value)
{
	struct sm_msg *msg = savina_new(kind, from, 0, value);
	enum sm_err err = sm_send(to, msg);
	if (err)
		sm_msg_free(msg);
	return err;
}
/* What comes while it waits is counted: with a stash, each of the n terms would stash all that are left. */
static inline enum sm_err savina_series_next(struct savina_series *s)
{
	const struct savina_worker *w = &s->worker;
	if (s->waits)
		return SM_OK;
	if (s->wanted) {
		s->wanted--;
		s->waits = true;
		return savina_tell_value(w->main->refs[w->main->params->m + w->index], SAVINA_TAKE, w->index, s->term);
	}
	return s->asked ? savina_tell_value(w->main_ref, SAVINA_DONE, w->index, s->term) : SM_OK;
}
/* A series, or the computer of one: by its index. */
static inline enum sm_err savina_series_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_series *s = state;
	const struct savina_msg *m = savina_of(msg);
	switch (m->kind) {
	case SAVINA_START: s->term = (s->worker.index + 1) * 0.0025; return SM_OK;
	case SAVINA_TAKE:
		return savina_tell_value(s->worker.main->refs[m->from], SAVINA_DONE, 0, savina_next_term(m->value, savina_rate(m->from)));
	case SAVINA_DONE:
		s->waits = false;
		s->term = m->value;
		break;
	case SAVINA_GET: s->asked = true; break;
	default: s->wanted++;
	}
	return savina_series_next(s);
}
static inline enum sm_err savina_map_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_map *s = state;
	const uint64_t n = s->main.params->n, m = s->main.params->m;
	if (savina_of(msg)->kind == SAVINA_DONE) {
		s->sum += savina_of(msg)->value;
		if (++s->heard == m)
			savina_result(self, &s->main, m, s->sum);
		return SM_OK;
	}
	savina_keep_start(self, &s->main, msg);
	enum sm_err err = savina_spawn(self, &s->main, (uint32_t)(2 * m), sizeof(struct savina_series), savina_series_receive, n);
	for (uint32_t i = 0; !err && i < m; i++)
		err = savina_send(s->main.refs[i], SAVINA_START, 0, 0);
	for (uint64_t i = 0; !err && i < n * m; i++)
		err = savina_send(s->main.refs[i % m], SAVINA_GO, 0, 0);
	for (uint32_t i = 0; !err && i < m; i++)
		err = savina_send(s->main.refs[i], SAVINA_GET, 0, 0);
	return err;
}
static inline enum sm_err savina_logistic_map(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_map_receive, sizeof(struct savina_map), p->m, p, ret);
}

/* ---- all of them, with the figure that each must give ---- */

struct savina_benchmark {
	const char *name;
	enum sm_err (*run)(struct sm_system *system, const struct savina_params *params, struct savina_result *ret_result);
	struct savina_result (*expected)(const struct savina_params *params);
	struct savina_params paper; /* the parameters in the paper */
	struct savina_params small;
	uint64_t (*messages)(const struct savina_params *params); /* for its price */
};

static inline struct savina_result savina_is_n(const struct savina_params *p)
{
	return (struct savina_result){p->n, 0};
}
static inline struct savina_result savina_is_product(const struct savina_params *p)
{
	return (struct savina_result){p->n * p->m, 0};
}
static inline struct savina_result savina_is_place(const struct savina_params *p)
{
	return (struct savina_result){p->n % p->m, 0};
}
static inline struct savina_result savina_is_twice(const struct savina_params *p)
{
	return (struct savina_result){2 * p->n, 0};
}
static inline struct savina_result savina_is_money(const struct savina_params *p)
{
	return (struct savina_result){p->m * SAVINA_BALANCE, 0};
}
static inline struct savina_result savina_is_primes(const struct savina_params *p)
{
	uint64_t primes = 0;
	for (uint64_t i = 2; i <= p->n; i++) {
		uint64_t divisor = 2;
		while (divisor * divisor <= i && i % divisor)
			divisor++;
		primes += divisor * divisor > i;
	}
	return (struct savina_result){primes, 0};
}
static inline struct savina_result savina_is_terms(const struct savina_params *p)
{
	double sum = 0;
	for (uint64_t i = 0; i < p->m; i++) {
		double term = (double)(i + 1) * 0.0025;
		for (uint64_t k = 0; k < p->n; k++)
			term = savina_next_term(term, savina_rate(i));
		sum += term;
	}
	return (struct savina_result){p->m, sum};
}

static inline uint64_t savina_times_1(const struct savina_params *p)
{
	return p->n;
}
static inline uint64_t savina_times_2(const struct savina_params *p)
{
	return 2 * p->n;
}
static inline uint64_t savina_times_4(const struct savina_params *p)
{
	return 4 * p->n;
}
static inline uint64_t savina_times_m(const struct savina_params *p)
{
	return p->n * p->m;
}
static inline uint64_t savina_times_2m(const struct savina_params *p)
{
	return 2 * p->n * p->m;
}
static inline uint64_t savina_times_3m(const struct savina_params *p)
{
	return 3 * p->n * p->m;
}

/* messages: those that the benchmark cannot do without; refusals and retries are not counted. Of the sieve, the numbers; of
 * fork-join create, the actors. */
static const struct savina_benchmark savina_benchmarks[] = {
	{"ping-pong", savina_ping_pong, savina_is_n, {40000, 0}, {20, 0}, savina_times_2},
	{"counting", savina_counting, savina_is_n, {1000000, 0}, {100, 0}, savina_times_1},
	{"fork-join throughput", savina_fork_join_throughput, savina_is_product, {10000, 60}, {10, 6}, savina_times_m},
	{"fork-join create", savina_fork_join_create, savina_is_n, {40000, 0}, {20, 0}, savina_times_1},
	{"thread ring", savina_thread_ring, savina_is_place, {100000, 100}, {77, 10}, savina_times_1},
	{"big", savina_big_run, savina_is_product, {20000, 120}, {10, 8}, savina_times_2m},
	{"chameneos", savina_chameneos, savina_is_twice, {200000, 100}, {50, 7}, savina_times_4},
	{"bank transaction", savina_bank_transaction, savina_is_money, {50000, 1000}, {100, 20}, savina_times_4},
	{"sieve", savina_sieve, savina_is_primes, {100000, 1000}, {200, 5}, savina_times_1},
	{"dining philosophers", savina_philosophers, savina_is_product, {10000, 20}, {5, 5}, savina_times_3m},
	{"logistic map", savina_logistic_map, savina_is_terms, {25000, 10}, {20, 4}, savina_times_3m},
};
#define SAVINA_BENCHMARKS (sizeof savina_benchmarks / sizeof *savina_benchmarks)

#endif
