#!/usr/bin/env python3
"""A table that is made through the Unix socket is told to drivers that are connected over CQL."""
import os
import subprocess
import time

from cassandra.cluster import Cluster

cluster = Cluster([os.environ["CASSANDRA_CONTACT_POINTS"]], port=int(os.environ["CASSANDRA_PORT"]), protocol_version=4, connect_timeout=60,
                  control_connection_timeout=60)
cluster.connect()


def make(statement, known):
    """One at a time: of two changes the driver may look at the second first, and forgets a table whose keyspace it does not know yet."""
    subprocess.check_call([os.environ["SMACK"], "cql", "-e", statement])
    deadline = time.monotonic() + 60
    while not known():
        if time.monotonic() > deadline:
            raise SystemExit("the driver was not told: " + statement)
        time.sleep(0.05)


make("CREATE KEYSPACE told WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}", lambda: "told" in cluster.metadata.keyspaces)
make("CREATE TABLE told.t (a int PRIMARY KEY)", lambda: "t" in cluster.metadata.keyspaces["told"].tables)
cluster.shutdown()
print("ok")
