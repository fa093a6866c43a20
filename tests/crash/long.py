"""The long forms, run by `./dev test-crash`: the whole week each time, more kills, every way of losing power."""
import errno
import os
import random
import subprocess

import edge
import flips
import harness
import history
import lwt
import persist
import store


def fifty_kills_of_the_week_five_times():
    return "; ".join(harness.run_kills(50) for _ in range(5))


def fifty_kills_while_the_week_is_sent_twice():
    return harness.run_kills(50, times=2)


def two_hundred_and_forty_losses_of_power():
    return "; ".join(harness.run_kills(60, power_loss=True) for _ in range(4))


def sixty_losses_of_power_while_the_week_is_sent_twice():
    return harness.run_kills(60, power_loss=True, times=2)


def every_way_of_losing_power():
    return "; ".join(mode + ": " + harness.run_kills(20, power_loss=True, mode=mode) for mode in ("drop", "tear", "scramble", "keep"))


def a_segment_cut_at_every_byte_and_flipped_in_every_bit():
    """1 MiB and 64 KiB of it: log/image_test.c."""
    done = subprocess.run([harness.binary("log-image_test")], env=dict(os.environ, SMACK_TEST_LONG="1"), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise harness.Failure(done.stdout[-2000:])
    return "log/image_test"


def histories_over_a_thousand_kills_and_two_thousand_losses_of_power():
    seeds = [random.SystemRandom().getrandbits(32) for _ in range(6)]
    return "; ".join(history.run(500, seed, power_loss=i >= 2) for i, seed in enumerate(seeds))


def the_store_over_three_hundred_kills_and_six_hundred_losses_of_power():
    return "; ".join([store.run_kills(100) for _ in range(3)] + [store.run_kills(100, power_loss=True) for _ in range(6)])


def the_store_loses_its_power_at_each_of_six_hundred_calls():
    return store.run_kills(600, power_loss=True, every_call=True)


def the_store_s_calls_fail_one_after_the_other():
    calls = list(range(1, 151))
    return "EIO: %s; ENOSPC: %s" % (store.run_failing_calls(calls, errno.EIO), store.run_failing_calls(calls, errno.ENOSPC))


def a_thousand_bits_flip_in_the_store():
    return "log: %s; tables: %s" % ("; ".join(flips.in_the_log(100) for _ in range(5)), "; ".join(flips.in_the_tables(100) for _ in range(5)))


def conditional_statements_over_three_hundred_kills_and_three_hundred_losses_of_power():
    return "; ".join(lwt.run(50, power_loss=i >= 6) for i in range(12))


def ten_thousand_idle_connections():
    return edge.idle(10000)


def a_thousand_slow_connections_beside_good_ones():
    return edge.slow(1000)


def a_log_that_stands_still_for_ten_minutes():
    return edge.stalled_log(600)


def event_sourced_actors_over_two_hundred_kills_and_two_hundred_losses_of_power():
    return "; ".join(persist.run_kills(50, power_loss=i >= 4) for i in range(8))


harness.main(a_segment_cut_at_every_byte_and_flipped_in_every_bit, fifty_kills_of_the_week_five_times, fifty_kills_while_the_week_is_sent_twice, two_hundred_and_forty_losses_of_power,
             sixty_losses_of_power_while_the_week_is_sent_twice, every_way_of_losing_power,
             histories_over_a_thousand_kills_and_two_thousand_losses_of_power, the_store_over_three_hundred_kills_and_six_hundred_losses_of_power,
             the_store_loses_its_power_at_each_of_six_hundred_calls, the_store_s_calls_fail_one_after_the_other, a_thousand_bits_flip_in_the_store,
             conditional_statements_over_three_hundred_kills_and_three_hundred_losses_of_power, ten_thousand_idle_connections,
             a_thousand_slow_connections_beside_good_ones, a_log_that_stands_still_for_ten_minutes,
             event_sourced_actors_over_two_hundred_kills_and_two_hundred_losses_of_power)
