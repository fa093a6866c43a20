"""platform: own -- the HTTP edge under load, in the short form. See README.md."""
import edge
import harness


def two_thousand_idle_connections():
    return edge.idle(2000)


def two_hundred_slow_connections_beside_good_ones():
    return edge.slow(200, good=16)


def few_descriptors():
    return edge.few_descriptors()


def a_log_that_stands_still_while_memory_is_short():
    return edge.stalled_log(20)


harness.main(two_thousand_idle_connections, two_hundred_slow_connections_beside_good_ones, few_descriptors,
             a_log_that_stands_still_while_memory_is_short)
