"""platform: own -- the clients of the store find the faults that are planted in smack-faults, and each kind of wrong table. See README.md."""
import harness
import store

TRIES = 6  # one try misses a fault now and then: the kill has to come within some 50 ms


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


harness.main(an_acknowledgement_before_the_sync_is_found)
