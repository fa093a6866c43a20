/* What a message to another system costs, over a Unix socket, both systems in this process: a round trip, and messages one way; in us and
 * ns each. */
#include "base/clock.h"
#include <smack/remoting.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call)                                                            \
	do {                                                                   \
		enum sm_err err_ = (call);                                     \
		if (err_) {                                                    \
			fprintf(stderr, "%s: %s\n", #call, sm_err_name(err_)); \
			exit(1);                                               \
		}                                                              \
	} while (0)

struct payload {
	struct sm_msg msg;
	uint8_t bytes[100];
};
static void payload_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type payload_type = {"payload", payload_done};
static struct sm_msg *payload_new(void)
{
	struct payload *p = calloc(1, sizeof *p);
	p->msg.type = &payload_type;
	return &p->msg;
}
static enum sm_err payload_write(const struct sm_msg *msg, struct sm_writer *out)
{
	sm_write_bytes(out, ((const struct payload *)msg)->bytes, 100);
	return SM_OK;
}
static enum sm_err payload_read(struct sm_reader *in, uint16_t version, struct sm_msg **ret_msg)
{
	uint32_t size;
	const void *bytes = sm_read_bytes(in, &size);
	if (size != 100)
		return SM_CORRUPT;
	struct payload *p = (struct payload *)payload_new();
	memcpy(p->bytes, bytes, 100);
	*ret_msg = &p->msg;
	return SM_OK;
}
static const struct sm_serializer serializer = {1, 1, 1, &payload_type, payload_write, payload_read};

static atomic_ulong counted;
static enum sm_err echo(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->ask_id)
		sm_reply(self, msg, payload_new());
	else
		atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed);
	return SM_OK;
}

#define ASKS 50000u
static atomic_bool finished;
struct asker {
	struct sm_ref *to;
	uint32_t left;
};
static enum sm_err asker_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct asker **)state = arg;
	return SM_OK;
}
static enum sm_err ask_next(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct asker *a = *(struct asker **)state;
	uint64_t id;
	if (a->left-- == 0)
		atomic_store(&finished, true);
	else
		CHECK(sm_ask(self, a->to, payload_new(), 60000, &id));
	return SM_OK;
}

static void report(const char *what, uint64_t started, uint64_t n)
{
	printf("%-44s %9.1f ns\n", what, (double)(clock_monotonic_ns(&clock_system) - started) / (double)n);
}

static void round_trips(struct sm_system *system, struct sm_ref *to)
{
	struct asker asker = {to, ASKS};
	struct sm_ref *ref;
	struct sm_props props = {.state_size = sizeof(void *), .init = asker_init, .receive = ask_next, .arg = &asker};
	CHECK(sm_spawn(system, NULL, &props, &ref));
	uint64_t started = clock_monotonic_ns(&clock_system);
	CHECK(sm_send(ref, payload_new()));
	while (!atomic_load(&finished))
		nanosleep(&(struct timespec){0, 100000}, NULL);
	report("ask and answer over a Unix socket, 100 bytes", started, ASKS);
	sm_unref(ref);
}

#define MESSAGES 1000000u
static void one_way(struct sm_ref *to)
{
	uint64_t started = clock_monotonic_ns(&clock_system);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		struct sm_msg *msg = payload_new();
		while (sm_send(to, msg) == SM_FULL)
			nanosleep(&(struct timespec){0, 50000}, NULL);
	}
	while (atomic_load(&counted) < MESSAGES)
		nanosleep(&(struct timespec){0, 100000}, NULL);
	report("one way over a Unix socket, 100 bytes", started, MESSAGES);
}

int main(void)
{
	char dir[] = "/tmp/smack-bench-XXXXXX", path[64], address[600];
	struct sm_system *here, *there;
	struct sm_remoting *near, *far;
	struct sm_ref *actor, *ref;
	struct sm_error error;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 1};
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof path, "%s/s", dir);
	struct sm_remoting_options o = {.name = "far", .unix_path = path, .serializers = &serializer, .serializer_count = 1};
	CHECK(sm_system_new(&options, &here, &error));
	CHECK(sm_system_new(&options, &there, &error));
	CHECK(sm_remoting_new(there, &o, &far, &error));
	o.name = "near";
	o.unix_path = NULL;
	CHECK(sm_remoting_new(here, &o, &near, &error));
	struct sm_props props = {.name = "echo", .receive = echo, .mailbox_max = 2 * MESSAGES};
	CHECK(sm_spawn(there, NULL, &props, &actor));
	snprintf(address, sizeof address, "%s/root/echo", sm_remoting_address(far));
	CHECK(sm_resolve_wait(near, address, 10000, &ref, &error));
	round_trips(here, ref);
	one_way(ref);
	sm_unref(ref);
	sm_unref(actor);
	sm_remoting_free(near);
	sm_remoting_free(far);
	CHECK(sm_system_stop(here, 10000));
	CHECK(sm_system_stop(there, 10000));
	rmdir(dir);
	return 0;
}
