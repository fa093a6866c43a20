"""platform: own -- the process and its power are gone: what no sync covered is dropped, torn or scrambled. See README.md."""
import harness


def twenty_losses_of_power_lose_and_double_nothing():
    return harness.run_kills(20, power_loss=True, days=2)


harness.main(twenty_losses_of_power_lose_and_double_nothing)
