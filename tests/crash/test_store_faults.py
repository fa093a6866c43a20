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
            if "did not start" in str(error):
                raise  # that is none of the planted ones
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
    """Pictures of a client's rows, what a crash could make of them, and what the client says to that."""
    writer = store.Writer(1, 1)
    before, pictures = store.State(), []
    for _ in range(400):
        text, after = writer.next_op(before)
        pictures.append((text, before, after))
        before = after
    kinds = {"BEGIN BATCH": "half a batch", "BEGIN COUNTER": "half a counter batch", "UPDATE crash.counted": "a counter that counted twice",
             "UPDATE crash.collected SET l": "a list that is neither", "UPDATE crash.collected SET s": "a set that is neither",
             "UPDATE crash.collected SET m": "a map that is neither", "INSERT INTO crash.events": "a row that is neither",
             "UPDATE crash.newest": "an older value"}
    for start, what in kinds.items():
        changed = [(old, new) for text, old, new in pictures if text.startswith(start) and not old == new]
        missed = [1 for old, new in changed if accepted([old, new], broken(old, new)) or accepted([new], old)]
        refused = [1 for old, new in changed for right in (old, new) if not accepted([old, new], right)]
        if not changed or missed or refused:
            raise harness.Failure("%s: of %d %d are not found, %d right ones refused" % (what, len(changed), len(missed), len(refused)))
    return "%d kinds" % len(kinds)


def accepted(states, there):
    """Whether a client that knows these states takes what is there for one of them."""
    writer = store.Writer(1, 1)
    writer.read = lambda connection: there
    client = store.Client(writer, states[0])
    client.states = list(states)
    try:
        client.check(None)
        return True
    except harness.Failure:
        return False


def broken(old, new):
    """Neither of two pictures, in rows as they are read: of several changes one is missing, a single one has made something else."""
    wrong = new.next()
    changes = [(name, key) for name in new.TABLES for key in old[name].keys() | new[name].keys() if old[name].get(key) != new[name].get(key)]
    name, key = changes[0]
    if len(changes) == 1:
        wrong[name][key] = something_else(name, old[name].get(key), new[name].get(key))
    elif key in old[name]:
        wrong[name][key] = old[name][key]
    else:
        del wrong[name][key]
    return wrong


def something_else(name, old, new):
    if name == "counted":
        return tuple(n if n is None else n + n - (o or 0) for n, o in zip(new, old or (None, None)))
    if name == "collected":
        return without_an_element(old or ((), frozenset(), ()), new or old)
    if name in ("static", "newest"):
        return 0
    seq, text = new or old
    return seq, text + "x"


def without_an_element(old, new):
    """new without one that was there before too; where there is none, with one that nobody wrote."""
    parts = list(new)
    for at, part in enumerate(new):
        for element in part:
            if element in old[at]:
                parts[at] = type(part)(e for e in part if e != element)
                if tuple(parts) != old:
                    return tuple(parts)
                parts[at] = part
    parts[0] = new[0] + (0,)
    return tuple(parts)


harness.main(each_kind_of_wrong_table_is_found, an_acknowledgement_before_the_sync_is_found, half_a_batch_is_found,
             lwt_histories_show_an_acknowledgement_before_the_sync, the_same_program_without_a_fault_passes)
