"""platform: own -- the crash tests find the faults that are planted in smack-faults. See README.md."""
import harness

TRIES = 6  # one try misses a fault now and then: the kill has to come within some 50 ms


def find(what, fault, sign="", **run):
    program = harness.binary("smack-faults")
    for number in range(1, TRIES + 1):
        try:
            harness.run_kills(program=program, env={fault: "1"}, days=2, **run)
        except harness.Failure as error:
            if sign not in str(error):
                continue
            return "%s: found at try %d: %.300s" % (what, number, " ".join(str(error).split()))
    raise harness.Failure("%s: not found in %d tries" % (what, TRIES))


def power_loss_finds_an_acknowledgement_before_the_sync():
    return find("acknowledged before the sync", "SMACK_FAULT_ACK_BEFORE_SYNC", kills=10, power_loss=True, patience=3)


def it_finds_the_lost_events_themselves_when_all_that_was_not_synced_is_dropped():
    return find("acknowledged before the sync", "SMACK_FAULT_ACK_BEFORE_SYNC", "acknowledged events are lost", kills=10, power_loss=True,
                mode="drop", patience=3)


def kills_find_a_batch_that_is_counted_twice():
    return find("counted twice", "SMACK_FAULT_COUNT_TWICE", kills=20)


def kills_find_it_also_when_everything_is_sent_twice():
    return find("counted twice", "SMACK_FAULT_COUNT_TWICE", kills=20, times=2)


def power_loss_finds_it_too():
    return find("counted twice", "SMACK_FAULT_COUNT_TWICE", kills=20, power_loss=True)


def the_same_program_without_a_fault_passes():
    return harness.run_kills(5, power_loss=True, days=1, program=harness.binary("smack-faults"))


TESTS = (power_loss_finds_an_acknowledgement_before_the_sync,
         it_finds_the_lost_events_themselves_when_all_that_was_not_synced_is_dropped, kills_find_a_batch_that_is_counted_twice,
         kills_find_it_also_when_everything_is_sent_twice, power_loss_finds_it_too, the_same_program_without_a_fault_passes)

if __name__ == "__main__":
    harness.main(*TESTS)
