"""platform: own -- conditional statements while the server is killed are linearizable; and the checker knows what is not. See README.md."""
import itertools
import random

import harness
import linear
import lwt
from linear import INFINITY, Operation


def op(kind, begin, end, old=None, new=None, applied=None, seen=None):
    return Operation(kind, old, new, begin, end, applied, seen)


def create(begin, end, new, applied=True, seen=None):
    return op("create", begin, end, None, new, applied, seen)


def swap(begin, end, old, new, applied=True, seen=None):
    return op("swap", begin, end, old, new, applied, seen)


def read(begin, end, seen):
    return op("read", begin, end, seen=seen)


RIGHT = {
    "one after the other": [create(0, 1, 1), swap(2, 3, 1, 2), read(4, 5, 2), swap(6, 7, 1, 3, False, 2)],
    "reads of both sides of a swap under way": [create(0, 1, 1), swap(2, 9, 1, 2), read(3, 4, 1), read(5, 6, 2)],
    "of two at once one is applied": [create(0, 5, 1), create(0, 5, 2, False, 1), read(6, 7, 1)],
    "no answer, and it happened": [create(0, 1, 1), swap(2, INFINITY, 1, 2), read(3, 4, 1), read(5, 6, 2)],
    "no answer, and it did not": [create(0, 1, 1), swap(2, INFINITY, 1, 2), read(3, 4, 1), swap(5, 6, 1, 3), read(7, 8, 3)],
    "no answer, and it happened much later": [create(0, 1, 1), swap(2, INFINITY, 1, 2), read(50, 60, 1), read(70, 80, 2)],
    "deleted and made again": [create(0, 1, 1), op("delete", 2, 3, 1, None, True), read(4, 5, None), create(6, 7, 2), read(8, 9, 2)],
}
WRONG = {
    "a read of what was replaced": [create(0, 1, 1), swap(2, 3, 1, 2), read(4, 5, 1)],
    "a write that is lost": [create(0, 1, 1), swap(2, 3, 1, 2), swap(4, 5, 1, 3)],
    "made twice": [create(0, 1, 1), create(2, 3, 2)],
    "replaced twice at once": [create(0, 1, 1), swap(2, 9, 1, 2), swap(2, 9, 1, 3)],
    "read before it was written": [create(0, 1, 1), read(2, 3, 2), swap(4, 5, 1, 2)],
    "read new, then old": [create(0, 1, 1), swap(2, 9, 1, 2), read(3, 4, 2), read(5, 6, 1)],
    "refused, and what it says was not there": [create(0, 1, 1), swap(2, 3, 5, 2, False, 7)],
    "refused though it was right": [create(0, 1, 1), swap(2, 3, 1, 2, False, 1)],
    "no answer, seen, and gone": [create(0, 1, 1), swap(2, INFINITY, 1, 2), read(3, 4, 2), read(5, 6, 1)],
    "no answer, and it happened twice": [create(0, 1, 1), swap(2, INFINITY, 1, 2), read(3, 4, 2), swap(5, 6, 2, 3), op("delete", 7, 8, 3, None, True),
                                         read(9, 10, 2)],
    "gone after a restart": [create(0, 1, 1), read(2, 3, 1), read(4, 5, None)],
    "deleted, and there again": [create(0, 1, 1), op("delete", 2, 3, 1, None, True), read(4, 5, 1)],
}


def the_checker_knows_right_from_wrong():
    for name, history in RIGHT.items():
        if linear.check(history) is not None:
            raise harness.Failure("refused: %s" % name)
    for name, history in WRONG.items():
        if linear.check(history) is None:
            raise harness.Failure("passed: %s" % name)
        # a fault is found among much that is right
        padded = [create(-20, -19, -1), op("delete", -10, -9, -1, None, True)]
        if linear.check(padded + history) is None:
            raise harness.Failure("passed behind others: %s" % name)
    return "%d right, %d wrong" % (len(RIGHT), len(WRONG))


def by_hand(history):
    """All orders of all choices: the definition, for few operations."""
    answered = [o for o in history if o.end != INFINITY]
    others = [o for o in history if o.end == INFINITY and o.kind != "read"]
    for count in range(len(others) + 1):
        for happened in itertools.combinations(others, count):
            for order in itertools.permutations(answered + list(happened)):
                if any(b.end < a.begin for i, a in enumerate(order) for b in order[i + 1 :]):
                    continue
                state = None
                for o in order:
                    possible, state = o.step(state)
                    if not possible:
                        break
                else:
                    return True
    return not answered


def random_history(chance):
    """Some operations on a register that now and then answers wrongly."""
    history, state, values = [], None, [None]
    for at in range(chance.randint(2, 6)):
        kind = chance.choice(("read", "create", "swap", "swap", "delete"))
        o = Operation(kind, chance.choice(values[1:] or [1]) if kind in ("swap", "delete") else None,
                      at + 10 if kind in ("create", "swap") else None, at - chance.random() * 2, at + chance.random() * 2)
        right = state is None if kind == "create" else state == o.old
        if kind != "read" and right:
            o.applied = True
            state = o.new
            values.append(o.new)
        elif chance.random() < 0.5:
            o.seen = chance.choice(values)
            o.applied = None if kind == "read" else False
        else:
            o.seen = state
            o.applied = None if kind == "read" else False
        if chance.random() < 0.15:
            o.end = INFINITY
        history.append(o)
    return history


def it_agrees_with_the_definition():
    chance, counts = random.Random(20200402), {True: 0, False: 0}
    for _ in range(3000):
        history = random_history(chance)
        fine = linear.check(history) is None
        if fine != by_hand(history):
            raise harness.Failure("%s by the search, not by the definition: %s" % (fine, history))
        counts[fine] += 1
    if min(counts.values()) < 200:
        raise harness.Failure("the histories are all alike: %s" % counts)
    return "%d linearizable, %d not" % (counts[True], counts[False])


def fifteen_kills():
    return lwt.run(15)


def fifteen_losses_of_power():
    return lwt.run(15, power_loss=True)


if __name__ == "__main__":
    harness.main(the_checker_knows_right_from_wrong, it_agrees_with_the_definition, fifteen_kills, fifteen_losses_of_power)
