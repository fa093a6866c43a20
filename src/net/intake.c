/* While the process is beyond its memory's budget (base/memory.h), large frames are read one at a time: each that is read to its end can be
 * answered, and its memory comes back. The others wait in their sockets. A peer that stops in the middle, or takes too long, loses the
 * turn to another. */
#include "base/clock.h"
#include "base/memory.h"
#include "net/net_internal.h"

static _Atomic(struct net_conn *) holder; /* compared only */
static atomic_uint_fast64_t since_ms, last_ms;

bool net__intake_may(struct net_conn *conn)
{
	if (!memory_tight())
		return true;
	struct net_conn *now_it = atomic_load(&holder);
	uint64_t now = clock_monotonic_ns(&clock_system) / 1000000;
	if (now_it == conn) {
		atomic_store(&last_ms, now);
		return true;
	}
	if (now_it && now - atomic_load(&last_ms) < NET_INTAKE_STALL_MS && now - atomic_load(&since_ms) < NET_INTAKE_TURN_MS)
		return false;
	if (!atomic_compare_exchange_strong(&holder, &now_it, conn))
		return false;
	atomic_store(&since_ms, now);
	atomic_store(&last_ms, now);
	return true;
}

void net__intake_done(struct net_conn *conn)
{
	struct net_conn *expected = conn;
	if (atomic_load_explicit(&holder, memory_order_relaxed) == conn) /* mostly nobody has the turn */
		atomic_compare_exchange_strong(&holder, &expected, NULL);
}
