"""platform: own -- the clients of the store find the faults that are planted in smack-faults, and each kind of wrong table. See README.md."""
import harness
import lwt
import store

TRIES = 10  # one try misses a fault now and then: the kill has to come within some 50 ms


def find(fault, **run):
    program = harness.binary("smack-faults")
    for number in range(1, TRIES + 1):
        try:
            store.run_kills(15, power_loss=True, program=program, env={fault: "1"}, **run)
        except harness.Failure as error:
            return "found at try %d: %.300s" % (number, " ".join(str(error).split()))
    raise harness.Failure("not found in %d tries" % TRIES)


def an_acknowledgement_before_the_sync_is_found():
    return find("SMACK_FAULT_ACK_BEFORE_SYNC", mode="drop")


def half_a_batch_is_found():
    return find("SMACK_FAULT_SPLIT_BATCHES")


def the_same_program_without_a_fault_passes():
    return store.run_kills(8, power_loss=True, program=harness.binary("smack-faults"))


def lwt_histories_show_an_acknowledgement_before_the_sync():
    program = harness.binary("smack-faults")
    for number in range(1, TRIES + 1):
        try:
            lwt.run(15, power_loss=True, program=program, env={"SMACK_FAULT_ACK_BEFORE_SYNC": "1"}, mode="drop")
        except harness.Failure as error:
            return "found at try %d: %.200s" % (number, " ".join(str(error).split()))
    raise harness.Failure("not found in %d tries" % TRIES)


def each_kind_of_wrong_table_is_found():
    """A right picture of a client's rows, and what a crash could make of it."""
    writer = store.Writer(1, 1)
    before, pictures = store.State(), []
    for _ in range(400):
        text, after = writer.next_op(before)
        pictures.append((text, before, after))
        before = after
    kinds = {"BEGIN BATCH": "half a batch", "BEGIN COUNTER": "half a counter batch", "UPDATE crash.counted": "a counter that counted twice",
             "UPDATE crash.collected SET l": "an element of a list that is lost", "UPDATE crash.collected SET s": "an element of a set that is lost",
             "UPDATE crash.collected SET m": "an element of a map that is lost", "INSERT INTO crash.events": "a row that is lost",
             "UPDATE crash.newest": "an older value"}
    for start, what in kinds.items():
        changed = [(old, new) for text, old, new in pictures if text.startswith(start) and not old == new]
        missed = [1 for old, new in changed for wrong in (broken(old, new),) if wrong == new or wrong == old]
        if not changed or missed:
            raise harness.Failure("%s: %d of %d are not found" % (what, len(missed), len(changed)))
    return "%d kinds" % len(kinds)


def broken(old, new):
    """Between two pictures, or beyond the second: one of the changed rows as before, or changed twice as much."""
    wrong = new.next()
    changes = [(name, key) for name in new.TABLES for key in old[name].keys() | new[name].keys() if old[name].get(key) != new[name].get(key)]
    name, key = changes[0]
    if len(changes) > 1:
        wrong.tables[name][key] = old[name].get(key)
    elif name == "counted":
        wrong.tables[name][key] = tuple(n if n is None else n + n - (o or 0) for n, o in zip(new[name][key], old[name].get(key) or (None, None)))
    else:
        wrong.tables[name].pop(key, None)
        if key not in old[name]:
            wrong.tables[name][key] = ("something else",)
        else:
            wrong.tables[name][key] = old[name][key][:-1] if isinstance(old[name][key], tuple) else 0
    return wrong


harness.main(each_kind_of_wrong_table_is_found, an_acknowledgement_before_the_sync_is_found, half_a_batch_is_found,
             lwt_histories_show_an_acknowledgement_before_the_sync, the_same_program_without_a_fault_passes)
