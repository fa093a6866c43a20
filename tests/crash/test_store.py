"""platform: own -- the store under SIGKILL and losses of power, through CQL: every client's tables are what its model says. See README.md."""
import harness
import store


def twenty_kills_lose_and_double_nothing():
    return store.run_kills(20)


def thirty_losses_of_power_lose_and_double_nothing():
    return store.run_kills(30, power_loss=True)


harness.main(twenty_kills_lose_and_double_nothing, thirty_losses_of_power_lose_and_double_nothing)
