"""platform: own -- SIGTERM while events come in: the server ends by itself and has all that it acknowledged. See README.md."""
import random
import time

import harness


def stop_under_load_loses_nothing():
    week = harness.Week(days=3)
    clients = harness.Clients(week)
    server = harness.Server()
    slowest = 0
    try:
        for number in range(1, 7):
            server.start()
            clients.begin(server, len(week.requests) * number // 6)
            time.sleep(random.uniform(0.02, 0.2))
            slowest = max(slowest, server.stop())
            clients.end()
        server.start()
        while clients.left():
            clients.begin(server, len(week.requests))
            while clients.sending():
                time.sleep(0.01)
            clients.end()
        line = harness.verify(server, clients)
        slowest = max(slowest, server.stop())
    finally:
        server.done()
    return "slowest of 7 stops %.1f s; %s" % (slowest, line)


harness.main(stop_under_load_loses_nothing)
