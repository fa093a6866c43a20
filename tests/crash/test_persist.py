"""platform: own -- event-sourced actors while they, the server, or both are killed: nothing acknowledged is lost, deliveries arrive. See README.md."""
import harness
import persist


def eight_kills_of_actors_and_server_lose_and_double_nothing():
    return persist.run_kills(8)


def eight_kills_with_losses_of_power_lose_and_double_nothing():
    return persist.run_kills(8, power_loss=True)


harness.main(eight_kills_of_actors_and_server_lose_and_double_nothing, eight_kills_with_losses_of_power_lose_and_double_nothing)
