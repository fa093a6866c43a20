"""platform: own -- the HTTP edge under load, in the short form. See README.md."""
import edge
import harness


def a_thousand_idle_connections():
    return edge.idle(1000)


def two_hundred_slow_connections_beside_good_ones():
    return edge.slow(200, good=16)


def few_descriptors():
    return edge.few_descriptors()


harness.main(a_thousand_idle_connections, two_hundred_slow_connections_beside_good_ones, few_descriptors)
