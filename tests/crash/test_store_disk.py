"""platform: own -- the store on a disk that fails: calls that fail, full disks, flipped bits, all through CQL. See README.md."""
import errno
import random

import flips
import harness
import store


def some_calls(most, count):
    return sorted(random.SystemRandom().sample(range(1, most), count))


def a_failing_call_ends_the_writes_and_loses_nothing():
    return store.run_failing_calls([1, 2, 3] + some_calls(60, 5), errno.EIO)


def a_full_disk_is_waited_for_and_loses_nothing():
    return store.run_failing_calls([1, 2] + some_calls(60, 3), errno.ENOSPC)


def a_flipped_bit_in_the_log_is_told():
    return flips.in_the_log(30)


def a_flipped_bit_in_a_file_of_tables_is_told_or_does_no_harm():
    return flips.in_the_tables(40)


harness.main(a_failing_call_ends_the_writes_and_loses_nothing, a_full_disk_is_waited_for_and_loses_nothing, a_flipped_bit_in_the_log_is_told,
             a_flipped_bit_in_a_file_of_tables_is_told_or_does_no_harm)
