"""The long forms, run by `./dev test-crash`: the whole week each time, more kills, every way of losing power."""
import os
import random
import subprocess

import harness
import history


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


harness.main(a_segment_cut_at_every_byte_and_flipped_in_every_bit, fifty_kills_of_the_week_five_times, fifty_kills_while_the_week_is_sent_twice, two_hundred_and_forty_losses_of_power,
             sixty_losses_of_power_while_the_week_is_sent_twice, every_way_of_losing_power,
             histories_over_a_thousand_kills_and_two_thousand_losses_of_power)
