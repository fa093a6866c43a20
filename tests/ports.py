#!/usr/bin/python3
"""ports.py [COUNT]: prints the first of so many free ports in a row. They lie below those that the system gives to clients' own connections: a port
of these that is free while its server is down may be taken meanwhile, be it by the very connection that waits for the server."""
import random
import socket
import sys


def lowest_of_clients():
    with open('/proc/sys/net/ipv4/ip_local_port_range', encoding='ascii') as f:
        return int(f.read().split()[0])


given = set()


def free_ports(count=1):
    first, end = 10240, max(lowest_of_clients(), 12000)
    while True:
        port = random.SystemRandom().randrange(first, end - count)
        ports, sockets = range(port, port + count), []
        if not given.isdisjoint(ports):
            continue
        try:
            for p in ports:
                sockets.append(socket.socket())
                sockets[-1].bind(('127.0.0.1', p))
            given.update(ports)
            return port
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()


if __name__ == '__main__':
    print(free_ports(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
