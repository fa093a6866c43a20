"""platform: own -- a log whose syncs stand still for 20 s while memory is short. See README.md."""
import edge
import harness


def a_log_that_stands_still_while_memory_is_short():
    return edge.stalled_log(20)


harness.main(a_log_that_stands_still_while_memory_is_short)
