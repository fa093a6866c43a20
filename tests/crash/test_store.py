"""platform: own -- the store under SIGKILL and losses of power, through CQL: every client's tables are what its model says. See README.md."""
import harness
import store


def thirty_kills_lose_and_double_nothing():
    return store.run_kills(30)


def forty_losses_of_power_lose_and_double_nothing():
    return store.run_kills(40, power_loss=True)


harness.main(thirty_kills_lose_and_double_nothing, forty_losses_of_power_lose_and_double_nothing)
