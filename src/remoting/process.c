/* Child processes behind a reference: started, watched, started again, stopped and waited for.
 *
 *   STARTING -> RUNNING -> ENDING (its connection has ended; it will, too)       -> BACKOFF -> STARTING, or the end
 *      |           `-----> STOPPING (main is told to stop, then SIGTERM, SIGKILL) -> the end
 */
#include "base/logging.h"
#include "remoting/remoting_internal.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum process_at { PROCESS_NEW, PROCESS_STARTING, PROCESS_RUNNING, PROCESS_ENDING, PROCESS_STOPPING, PROCESS_BACKOFF };
struct process {
	struct process *next;
	struct sm_remoting *r;
	uint64_t id;
	struct sm_ref *ref; /* counted */
	char *name, **argv;
	struct sm_process_props props; /* its texts are not kept */
	enum process_at at;
	pid_t pid;         /* 0: none lives */
	struct peer *peer; /* NULL: not connected */
	struct sm_ref *main;
	uint64_t due_ns; /* of what the state waits for */
	int signals;     /* sent */
	uint32_t failures, delay_ms;
	uint64_t window_ns; /* when it began; 0: no failure yet */
};
struct begin {
	struct sm_msg msg;
	struct process *process; /* NULL: taken */
};

static void process_free(struct process *p)
{
	for (char **arg = p->argv; arg && *arg; arg++)
		free(*arg);
	free(p->argv);
	free(p->name);
	sm_unref(p->main);
	sm_unref(p->ref);
	free(p);
}

static void begin_done(struct sm_msg *msg)
{
	struct begin *b = (struct begin *)msg;
	if (b->process) { /* the core has ended; on another thread nobody has the address yet */
		if (actor_current_dispatcher() == (int)b->process->r->dispatcher)
			actor_foreign_end(b->process->ref, SM_CLOSED);
		process_free(b->process);
	}
	free(b);
}
const struct sm_msg_type remoting__msg_process = {"remoting process", begin_done};

static void wait_ms(struct process *p, uint32_t ms)
{
	p->due_ns = actor_now_ns(p->r->self) + ms * 1000000ull;
}

static void reap_soon(struct process *p)
{
	(void)!sm_timer_start(p->r->self, REMOTING_TIMER_REAP, REMOTING_REAP_MS, 0); /* else the next tick looks */
}

/* ---- the end ---- */

static void finish(struct process *p, enum sm_err why)
{
	struct sm_remoting *r = p->r;
	struct process **at = &r->processes;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	r->process_count--;
	struct remote_ref *rr = actor_foreign_own(p->ref);
	remoting__forget_name(r, rr->path);
	actor_foreign_end(p->ref, why);
	process_free(p);
	remoting__stopped_if_done(r);
}

static void fails(struct process *p, const char *how)
{
	const struct sm_supervision *s = &p->props.supervision;
	uint64_t now = actor_now_ns(p->r->self);
	if (!p->window_ns || (s->window_ms && now - p->window_ns > s->window_ms * 1000000ull)) {
		p->window_ns = now;
		p->failures = 0;
		p->delay_ms = s->backoff_min_ms;
	}
	bool stops = p->r->stopping || actor_foreign_stop_wanted(p->ref);
	bool again = !stops && p->failures < s->restarts_max;
	p->failures++;
	if (again)
		LOG_WARN("remoting", "process %s %s; it is started again (%u of %u) in %u ms at most", p->name, how, p->failures,
			 s->restarts_max, p->delay_ms);
	else
		LOG_ERROR("remoting", "process %s %s; it is not started again", p->name, how);
	if (p->props.ended)
		p->props.ended(p->props.arg, how, again);
	if (!again) {
		finish(p, stops ? SM_OK : SM_FAILED);
		return;
	}
	uint32_t delay = p->delay_ms, jitter = s->jitter_percent > 100 ? 100 : s->jitter_percent;
	delay -= (uint32_t)(remoting__random() % ((uint64_t)delay * jitter / 100 + 1));
	p->delay_ms = p->delay_ms * 2ull < s->backoff_max_ms  ? p->delay_ms * 2
		      : s->backoff_max_ms > s->backoff_min_ms ? s->backoff_max_ms
							      : s->backoff_min_ms;
	p->at = PROCESS_BACKOFF;
	wait_ms(p, delay);
	reap_soon(p);
}

static void describe(int status, char out[160])
{
	if (WIFSIGNALED(status))
		snprintf(out, 160, "was killed by signal %d (%s)", WTERMSIG(status),
			 sigdescr_np(WTERMSIG(status)) ? sigdescr_np(WTERMSIG(status)) : "?");
	else if (WEXITSTATUS(status) == 127)
		snprintf(out, 160, "exited with status 127 (a program that cannot be started ends so, after a line on stderr)");
	else
		snprintf(out, 160, "exited with status %d", WEXITSTATUS(status));
}

/* What was connected with it is over. */
static void cut_off(struct process *p)
{
	struct sm_remoting *r = p->r;
	struct peer *peer = r->peers;
	while (peer && peer->process != p)
		peer = peer->next;
	p->peer = NULL;
	sm_unref(p->main);
	p->main = NULL;
	if (peer) {
		peer->process = NULL;
		remoting__peer_gone(peer, SM_UNAVAILABLE, "its process has ended");
	}
}

static void has_ended(struct process *p, int status, bool known)
{
	char how[160] = "has ended, and its status went to somebody else's wait";
	bool asked = p->at == PROCESS_STOPPING;
	p->pid = 0;
	p->signals = 0;
	cut_off(p);
	if (known)
		describe(status, how);
	if (!asked && (!known || !WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
		fails(p, how);
		return;
	}
	if (asked && known && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		LOG_WARN("remoting", "process %s was stopped and %s", p->name, how);
	if (p->props.ended)
		p->props.ended(p->props.arg, how, false);
	finish(p, SM_OK);
}

/* ---- the beginning ---- */

static void start(struct process *p)
{
	struct sm_remoting *r = p->r;
	struct sm_error error;
	struct dial *dial = calloc(1, sizeof *dial);
	if (!dial) {
		fails(p, "cannot be started: no memory");
		return;
	}
	dial->msg.type = &remoting__msg_dialled;
	dial->r = r;
	dial->process_id = p->id;
	if (remoting__process_start(p->argv, &p->pid, &dial->fd, &error)) {
		free(dial);
		fails(p, error.text);
		return;
	}
	p->at = PROCESS_STARTING;
	wait_ms(p, p->props.start_ms);
	remoting__adopt(r, dial, NULL);
}

void remoting__process_begin(struct sm_remoting *r, struct sm_msg *msg)
{
	struct begin *b = (struct begin *)msg;
	struct process *p = b->process;
	b->process = NULL;
	p->next = r->processes;
	r->processes = p;
	p->id = ++r->next_id;
	if (r->stopping || ++r->process_count > REMOTING_PROCESSES_MAX) {
		r->process_count += r->stopping;
		LOG_ERROR("remoting", "process %s is not started: %s", p->name,
			  r->stopping ? "the remoting ends" : "there are as many as there may be");
		finish(p, r->stopping ? SM_CLOSED : SM_FULL);
		return;
	}
	start(p);
}

struct process *remoting__process_of(struct sm_remoting *r, uint64_t id)
{
	struct process *p = r->processes;
	while (p && p->id != id)
		p = p->next;
	return p;
}

void remoting__process_joined(struct process *p, struct peer *peer)
{
	peer->process = p;
	p->peer = peer;
}

void remoting__process_main(struct process *p, struct sm_ref *main)
{
	sm_unref(p->main);
	p->main = main;
	if (p->at != PROCESS_STARTING)
		return;
	p->at = PROCESS_RUNNING;
	LOG_INFO("remoting", "process %s runs, pid %d", p->name, (int)p->pid);
	actor_foreign_resume(p->ref);
}

void remoting__process_link_lost(struct process *p)
{
	p->peer = NULL;
	if (p->at == PROCESS_RUNNING || p->at == PROCESS_STARTING) {
		p->at = PROCESS_ENDING;
		wait_ms(p, p->props.stop_ms);
	}
	reap_soon(p);
}

/* ---- messages ---- */

bool remoting__process_ready(struct process *p)
{
	return p->at == PROCESS_RUNNING && p->peer && p->peer->link && !remoting__link_full(p->peer->link);
}

void remoting__process_drained(struct process *p)
{
	actor_foreign_resume(p->ref);
}

static void begin_stop(struct process *p, enum system_kind kind)
{
	if (p->at == PROCESS_STOPPING)
		return;
	struct remote_ref *main = p->main ? remoting__remote(p->main) : NULL;
	if (main && p->peer) {
		struct bytes name = bytes_of(main->path, main->path_size);
		remoting__peer_tell(p->peer, kind, 0, 0, &name, 1);
		wait_ms(p, p->props.stop_ms);
	} else {
		wait_ms(p, 0); /* there is nobody to be told */
	}
	p->at = PROCESS_STOPPING;
	p->signals = 0;
	reap_soon(p);
}

void remoting__process_message(struct process *p, struct sm_ref *ref, enum actor_foreign_sort sort, struct sm_msg *msg)
{
	if (sort == ACTOR_FOREIGN_STOP || sort == ACTOR_FOREIGN_STOP_NOW) {
		sm_msg_free(msg);
		begin_stop(p, sort == ACTOR_FOREIGN_STOP ? SYSTEM_STOP : SYSTEM_STOP_NOW);
		return;
	}
	struct remote_ref *main = remoting__remote(p->main);
	remoting__outbound(p->peer, ref, bytes_of(main->path, main->path_size), sort, msg);
}

/* ---- time passes ---- */

static void signal_next(struct process *p)
{
	int sig = p->at == PROCESS_STOPPING && p->signals == 0 ? SIGTERM : SIGKILL;
	p->signals++;
	LOG_WARN("remoting", "process %s, pid %d, does not end: it gets %s", p->name, (int)p->pid, sig == SIGTERM ? "SIGTERM" : "SIGKILL");
	kill(p->pid, sig);
	wait_ms(p, p->props.stop_ms);
}

static void process_tick(struct process *p, uint64_t now_ns)
{
	int status = 0;
	pid_t got = p->pid ? waitpid(p->pid, &status, WNOHANG) : 0;
	if (got > 0 || (got < 0 && errno == ECHILD)) {
		has_ended(p, status, got > 0);
		return;
	}
	bool due = now_ns >= p->due_ns;
	switch (p->at) {
	case PROCESS_BACKOFF:
		if (p->r->stopping || actor_foreign_stop_wanted(p->ref))
			finish(p, SM_OK);
		else if (due)
			start(p);
		else
			reap_soon(p);
		return;
	case PROCESS_STARTING:
		if (due) {
			LOG_WARN("remoting", "process %s, pid %d, has not joined within %u ms: it is killed", p->name, (int)p->pid,
				 p->props.start_ms);
			p->at = PROCESS_ENDING;
			wait_ms(p, 0);
			reap_soon(p);
		}
		return;
	case PROCESS_ENDING:
	case PROCESS_STOPPING:
		if (due)
			signal_next(p);
		reap_soon(p);
		return;
	case PROCESS_NEW:
	case PROCESS_RUNNING: return;
	}
}

void remoting__processes_tick(struct sm_remoting *r, uint64_t now_ns)
{
	for (struct process *p = r->processes, *next; p; p = next) {
		next = p->next;
		process_tick(p, now_ns);
	}
}

void remoting__processes_stop(struct sm_remoting *r)
{
	for (struct process *p = r->processes, *next; p; p = next) {
		next = p->next;
		if (p->at == PROCESS_BACKOFF)
			finish(p, SM_OK);
		else
			begin_stop(p, SYSTEM_STOP);
	}
}

void remoting__processes_kill(struct sm_remoting *r)
{
	while (r->processes) {
		struct process *p = r->processes;
		if (p->pid) {
			kill(p->pid, SIGKILL);
			waitpid(p->pid, NULL, 0);
		}
		p->pid = 0;
		finish(p, SM_CLOSED);
	}
}

/* ---- spawning ---- */

static char **argv_copy(const char *const *argv)
{
	size_t count = 0;
	while (argv[count])
		count++;
	char **copy = calloc(count + 1, sizeof *copy);
	for (size_t i = 0; copy && i < count; i++)
		if (!(copy[i] = strdup(argv[i]))) {
			while (i)
				free(copy[--i]);
			free(copy);
			return NULL;
		}
	return copy;
}

static struct process *process_new(struct sm_remoting *r, const struct sm_process_props *props)
{
	static _Atomic uint64_t number;
	char path[64];
	struct process *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->r = r;
	p->props = *props;
	p->props.start_ms = props->start_ms ? props->start_ms : REMOTING_START_MS;
	p->props.stop_ms = props->stop_ms ? props->stop_ms : REMOTING_STOP_MS;
	p->name = strdup(props->name);
	p->argv = argv_copy(props->argv);
	int size = snprintf(path, sizeof path, "/process#%llu", (unsigned long long)++number);
	p->ref = actor_foreign_new(r->system, r->dispatcher, &remoting__foreign_ops, sizeof(struct remote_ref) + (size_t)size + 1,
				   props->mailbox_max ? props->mailbox_max : r->options.mailbox_max);
	struct remote_ref *rr = p->ref ? actor_foreign_own(p->ref) : NULL;
	if (rr) { /* before others can find it */
		rr->r = r;
		rr->ref = p->ref;
		rr->process = p;
		rr->path_size = (size_t)size;
		memcpy(rr->path, path, (size_t)size + 1);
	}
	if (!p->name || !p->argv || !rr || remoting__remember_name(r, path, p->ref)) {
		process_free(p);
		return NULL;
	}
	return p;
}

enum sm_err sm_spawn_process(struct sm_remoting *remoting, const struct sm_process_props *props, struct sm_ref **ret_ref,
			     struct sm_error *reterr)
{
	if (!props->name || !props->argv || !props->argv[0])
		return sm_fail(reterr, SM_INVALID, "a process needs a name and a program");
	struct begin *b = calloc(1, sizeof *b);
	struct process *p = b ? process_new(remoting, props) : NULL;
	if (!p) {
		free(b);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for process %s", props->name);
	}
	b->msg.type = &remoting__msg_process;
	b->process = p;
	struct sm_ref *ref = sm_ref_get(p->ref);
	pthread_mutex_lock(&remoting->lock);
	if (remoting->stop_ms_max < p->props.stop_ms)
		remoting->stop_ms_max = p->props.stop_ms;
	pthread_mutex_unlock(&remoting->lock);
	if (actor_send_quiet(remoting->core, &b->msg)) {
		struct remote_ref *rr = actor_foreign_own(ref);
		remoting__forget_name(remoting, rr->path);
		begin_done(&b->msg);
		sm_unref(ref);
		return sm_fail(reterr, SM_CLOSED, "process %s is not started: the remoting has ended", props->name);
	}
	*ret_ref = ref;
	return SM_OK;
}
