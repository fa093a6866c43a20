#!/usr/bin/env python3
"""A table that is made through the Unix socket is told to drivers that are connected over CQL."""
import os
import subprocess
import time

from cassandra.cluster import Cluster

cluster = Cluster([os.environ["CASSANDRA_CONTACT_POINTS"]], port=int(os.environ["CASSANDRA_PORT"]), protocol_version=4, connect_timeout=60,
                  control_connection_timeout=60)
cluster.connect()
subprocess.check_call([os.environ["SMACK"], "cql", "-e",
    "CREATE KEYSPACE told WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}; CREATE TABLE told.t (a int PRIMARY KEY)"])
deadline = time.monotonic() + 60
while "told" not in cluster.metadata.keyspaces or "t" not in cluster.metadata.keyspaces["told"].tables:
    if time.monotonic() > deadline:
        raise SystemExit("the driver was not told of told.t")
    time.sleep(0.05)
cluster.shutdown()
print("ok")
