"""platform: own -- producers, transactions and readers while the server is killed, and a checker of what they have seen. See README.md."""
import copy
import random

import harness
import history


def example():
    """A right history, and what the log holds."""
    h = history.History()
    h.sent = [("a 0", 0), ("a 1", 0), ("t 0 0", 0), ("t 0 1", 1), ("t 1 0", 0), ("a 2", 1)]
    h.acknowledged = {"a 0": (0, 0), "a 1": (0, 1), "a 2": (1, 2)}
    h.transactions = {("t", 0): ["committed", ["t 0 0", "t 0 1"]], ("t", 1): ["aborted", ["t 1 0"]]}
    everything = {0: [(0, "a 0"), (1, "a 1"), (2, "t 0 0"), (4, "t 1 0")], 1: [(0, "t 0 1"), (2, "a 2")]}
    committed = {0: everything[0][:3], 1: everything[1][:]}
    h.reads = [(True, {0: committed[0][1:], 1: []}), (False, copy.deepcopy(everything))]
    return h, everything, committed


def the_checker_finds_each_kind_of_fault():
    h, everything, committed = example()
    if history.check(h, everything, committed):
        raise harness.Failure("a right history is refused: %s" % history.check(h, everything, committed))

    def lost(h, e, c):
        e[0].remove((1, "a 1")), c[0].remove((1, "a 1")), h.reads.clear()

    def twice(h, e, c):
        e[0].append((6, "a 0")), c[0].append((6, "a 0"))

    def reordered(h, e, c):
        for x in (e, c):
            x[0][0], x[0][1] = (0, "a 1"), (1, "a 0")
        h.acknowledged.clear(), h.reads.clear()

    def invented(h, e, c):
        e[1].append((3, "b 0")), c[1].append((3, "b 0"))

    def offset_given_twice(h, e, c):
        h.acknowledged["a 2"] = (0, 0)

    def half_a_transaction(h, e, c):
        e[1].remove((0, "t 0 1")), c[1].remove((0, "t 0 1")), h.reads.clear()

    def commit_lost(h, e, c):
        for x in (e, c):
            x[0].remove((2, "t 0 0")), x[1].remove((0, "t 0 1"))
        h.reads.clear()

    def aborted_seen(h, e, c):
        c[0].append((4, "t 1 0"))

    def aborted_read(h, e, c):
        h.reads[0][1][0].append((4, "t 1 0"))

    def read_and_gone(h, e, c):
        h.reads[1][1][1].append((3, "a 3"))

    def passed_over(h, e, c):
        h.reads[1][1][0].remove((1, "a 1"))

    def withheld(h, e, c):
        c[1].remove((2, "a 2"))

    missed = []
    faults = (lost, twice, reordered, invented, offset_given_twice, half_a_transaction, commit_lost, aborted_seen, aborted_read, read_and_gone,
              passed_over, withheld)
    for fault in faults:
        h, everything, committed = example()
        fault(h, everything, committed)
        if not history.check(h, everything, committed):
            missed.append(fault.__name__)
    if missed:
        raise harness.Failure("not found: " + ", ".join(missed))
    return "%d kinds" % len(faults)


def fifteen_kills():
    return history.run(15, random.SystemRandom().getrandbits(32))


def fifteen_losses_of_power():
    return history.run(15, random.SystemRandom().getrandbits(32), power_loss=True)


harness.main(the_checker_finds_each_kind_of_fault, fifteen_kills, fifteen_losses_of_power)
