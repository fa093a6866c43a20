"""platform: own -- SIGKILL at random moments of the ingest; what was not acknowledged is sent again. See README.md."""
import harness


def fifty_kills_of_the_week_lose_and_double_nothing():
    return harness.run_kills(50)


def kills_while_everything_is_sent_twice_double_nothing():
    return harness.run_kills(15, times=2, days=2)


harness.main(fifty_kills_of_the_week_lose_and_double_nothing, kills_while_everything_is_sent_twice_double_nothing)
