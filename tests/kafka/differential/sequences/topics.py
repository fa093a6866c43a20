"""Topics and what administrators ask: CreateTopics to DescribeLogDirs."""

def create(s, name, partitions=1, configs=(), version=7):
    """A topic on both; its id."""
    answer = s.call("create_topics", version, {"topics": [{
        "name": name, "num_partitions": partitions, "replication_factor": 1,
        "configs": [{"name": k, "value": v} for k, v in configs]}], "timeout_ms": 10000})
    s.topic_there(name, partitions)
    return answer.at("topics", 0, "topic_id")


def kept(s, name, partitions=1, configs=()):
    """A topic whose records have old times, which Kafka's retention would find in the middle of a run."""
    return create(s, name, partitions, [("retention.ms", "-1"), *configs])


def versions(s, rng, names):
    for version in range(5):
        s.call("api_versions", version, {"client_software_name": "test", "client_software_version": "1.0"})
    s.call("api_versions", 3, {"client_software_name": "", "client_software_version": "1.0"})
    s.call("api_versions", 4, {"client_software_name": "not a name!", "client_software_version": "-"})


def metadata(s, rng, names):
    topic = names("meta")
    topic_id = create(s, topic, 3)
    for version in range(14):
        s.call("metadata", version, {"topics": [{"name": topic}], "allow_auto_topic_creation": False})
        missing = names("none")
        s.call("metadata", version, {"topics": [{"name": missing}, {"name": topic}, {"name": "not/valid"}, {"name": ""}],
                                     "allow_auto_topic_creation": False})
        if version < 4:  # made all the same
            s.topic_there(missing, 1)
        s.call("metadata", version, {"topics": [], "allow_auto_topic_creation": False})
        s.call("metadata", version, {"topics": [{"name": topic}, {"name": topic}], "allow_auto_topic_creation": False})
        s.call("metadata", version, {"topics": None, "allow_auto_topic_creation": False})
        if version >= 8:
            s.call("metadata", version, {"topics": [{"name": topic}], "include_topic_authorized_operations": True,
                                         "include_cluster_authorized_operations": True, "allow_auto_topic_creation": False})
        if version >= 10:
            for name in (None, topic):
                s.call("metadata", version, {"topics": [{"name": name, "topic_id": topic_id}], "allow_auto_topic_creation": False})
            s.call("metadata", version, {"topics": [{"name": None, "topic_id": b"\7" * 16}], "allow_auto_topic_creation": False})
            s.call("metadata", version, {"topics": [{"name": topic}, {"name": names("x"), "topic_id": b"\7" * 16}],
                                         "allow_auto_topic_creation": False})
            s.call("metadata", version, {"topics": [{"name": topic}, {"name": None, "topic_id": topic_id}],
                                         "allow_auto_topic_creation": False})
            s.call("metadata", version, {"topics": [{"name": None}], "allow_auto_topic_creation": False})
    auto = names("auto")
    for version in (4, 9, 13):
        name = f"{auto}.{version}"
        s.call("metadata", version, {"topics": [{"name": name}], "allow_auto_topic_creation": True})
        s.topic_there(name, 1)
        s.call("metadata", version, {"topics": [{"name": name}], "allow_auto_topic_creation": True})
    s.call("metadata", 12, {"topics": [{"name": "bad name"}], "allow_auto_topic_creation": True})


CREATE_CONFIGS = [
    ("retention.ms", "1000"), ("retention.ms", "-2"), ("retention.ms", "x"), ("cleanup.policy", "compact"), ("cleanup.policy", "never"),
    ("cleanup.policy", "compact,delete"), ("compression.type", "lz4"), ("compression.type", "LZ4"), ("compression.type", "brotli"),
    ("max.message.bytes", "1000"), ("max.message.bytes", "-1"), ("segment.bytes", "1048576"), ("segment.bytes", "13"), ("segment.bytes", "100000"),
    ("min.insync.replicas", "0"), ("min.insync.replicas", "2"), ("message.timestamp.type", "LogAppendTime"),
    ("message.timestamp.type", "log"), ("no.such.config", "1"), ("preallocate", "true"), ("preallocate", "yes"),
    ("retention.bytes", "1048576"), ("min.cleanable.dirty.ratio", "0.1"), ("min.cleanable.dirty.ratio", "1.1"), ("segment.ms", "0"),
    ("retention.ms", ""), ("retention.ms", None), ("unclean.leader.election.enable", "true"), ("flush.ms", "100"),
    ("delete.retention.ms", "5000"), ("compression.zstd.level", "23"), ("compression.gzip.level", "9"), ("retention.ms", " 1000 "),
    ("preallocate", "TRUE"), ("index.interval.bytes", "100"), ("segment.jitter.ms", "5"), ("file.delete.delay.ms", "0"),
    ("cleanup.policy", ""), ("cleanup.policy", "delete,delete"), ("message.timestamp.before.max.ms", "5"),
    ("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "0"),
]


def created(s, rng, names):
    for version in range(2, 8):
        name = names("new")
        one = {"name": name, "num_partitions": 2, "replication_factor": 1}
        s.call("create_topics", version, {"topics": [one], "validate_only": True, "timeout_ms": 10000})
        s.call("create_topics", version, {"topics": [one], "timeout_ms": 10000})
        s.topic_there(name, 2)
        s.call("create_topics", version, {"topics": [one], "timeout_ms": 10000})
        s.call("create_topics", version, {"topics": [one], "validate_only": True, "timeout_ms": 10000})
        for wrong in ({"num_partitions": 0}, {"num_partitions": -2}, {"replication_factor": 0}, {"replication_factor": -2},
                      {"name": "a/b"}, {"name": ""}, {"name": ".."}, {"name": "x" * 250}, {"num_partitions": -1},
                      {"replication_factor": -1}, {"assignments": [{"partition_index": 0, "broker_ids": [1]}]},
                      {"num_partitions": -1, "replication_factor": -1, "assignments": [{"partition_index": 1, "broker_ids": [s.node]}]},
                      {"num_partitions": -1, "replication_factor": -1, "assignments": [{"partition_index": 0, "broker_ids": [99]}]},
                      {"num_partitions": -1, "replication_factor": -1,
                       "assignments": [{"partition_index": 0, "broker_ids": [s.node, s.node]}]},
                      {"num_partitions": -1, "replication_factor": -1, "assignments": [{"partition_index": 0, "broker_ids": []}]},
                      {"num_partitions": -1, "replication_factor": -1, "assignments": [{"partition_index": 0, "broker_ids": [s.node]}]}):
            s.call("create_topics", version, {"topics": [dict(one, **{"name": names("wrong"), **wrong})], "validate_only": True,
                                              "timeout_ms": 10000})
        twice = {"name": names("twice"), "num_partitions": 1, "replication_factor": 1}
        s.call("create_topics", version, {"topics": [twice, twice, {"name": names("beside"), "num_partitions": 1,
                                                                    "replication_factor": 1}], "validate_only": True})
        s.call("create_topics", version, {"topics": []})
    for key, value in rng.sample(CREATE_CONFIGS, 12):
        s.call("create_topics", rng.randint(2, 7), {"validate_only": True, "topics": [{
            "name": names("conf"), "num_partitions": 1, "replication_factor": 1, "configs": [{"name": key, "value": value}]}]})
    dotted = names("a.b")
    create(s, dotted)
    s.call("create_topics", 7, {"topics": [{"name": dotted.replace(".", "_"), "num_partitions": 1, "replication_factor": 1}]})


def all_configs(s, rng, names):
    for key, value in CREATE_CONFIGS:
        s.call("create_topics", 7, {"validate_only": True, "topics": [{
            "name": names("conf"), "num_partitions": 1, "replication_factor": 1, "configs": [{"name": key, "value": value}]}]})


def deleted(s, rng, names):
    for version in range(1, 7):
        topic = names("gone")
        topic_id = create(s, topic)
        if version < 6:
            s.call("delete_topics", version, {"topic_names": [names("none")], "timeout_ms": 10000})
            s.call("delete_topics", version, {"topic_names": [topic, topic] if version == 3 else [topic], "timeout_ms": 10000})
            if version == 3:
                s.call("delete_topics", version, {"topic_names": [topic], "timeout_ms": 10000})
        else:
            for wrong in ([{"name": None}], [{"name": topic, "topic_id": topic_id}], [{"name": None, "topic_id": b"\6" * 16}],
                          [{"name": names("none")}], [{"name": "a/b"}], []):
                s.call("delete_topics", version, {"topics": wrong, "timeout_ms": 10000})
            s.call("delete_topics", version, {"topics": [{"name": None, "topic_id": topic_id}], "timeout_ms": 10000})
        s.topic_gone(topic)
        s.call("metadata", 12, {"topics": [{"name": topic}], "allow_auto_topic_creation": False})
        s.call("metadata", 12, {"topics": [{"name": None, "topic_id": topic_id}], "allow_auto_topic_creation": False})
    topic = names("both")
    topic_id = create(s, topic)
    s.call("delete_topics", 6, {"topics": [{"name": topic}, {"name": None, "topic_id": topic_id}], "timeout_ms": 10000})
    s.call("delete_topics", 6, {"topics": [{"name": topic}, {"name": topic}], "timeout_ms": 10000})


def grown(s, rng, names):
    for version in range(4):
        topic = names("grow")
        create(s, topic, 2)

        def grow(count, assignments=None, check=False, name=topic):
            s.call("create_partitions", version, {"topics": [{"name": name, "count": count, "assignments": assignments}],
                                                  "timeout_ms": 10000, "validate_only": check})
        for count in (2, 1, 0, -1, 20000):
            grow(count, check=True)
        grow(3, name=names("none"))
        grow(3, name="a/b")
        grow(4, check=True)
        grow(4, [{"broker_ids": [s.node]}])
        grow(4, [{"broker_ids": [s.node]}, {"broker_ids": [99]}])
        grow(4, [{"broker_ids": [s.node]}, {"broker_ids": []}])
        grow(4, [])
        grow(4, [{"broker_ids": [s.node]}, {"broker_ids": [s.node]}], check=True)
        grow(4, [{"broker_ids": [s.node]}, {"broker_ids": [s.node]}])
        s.topic_there(topic, 4)
        one = {"name": topic, "count": 6, "assignments": None}
        s.call("create_partitions", version, {"topics": [one, one], "timeout_ms": 10000})
        s.call("create_partitions", version, {"topics": [], "timeout_ms": 10000})
        s.call("metadata", 9, {"topics": [{"name": topic}], "allow_auto_topic_creation": False})


def configs(s, rng, names):
    topic = names("conf")
    create(s, topic, 1, [("retention.ms", "86400000"), ("cleanup.policy", "compact")])
    for version in range(1, 5):
        for keys in (["retention.ms", "cleanup.policy", "max.message.bytes"], ["no.such"], []):
            for flag in (False, True):
                s.call("describe_configs", version, {"resources": [
                    {"resource_type": 2, "resource_name": topic, "configuration_keys": keys}],
                    "include_synonyms": flag, "include_documentation": False})
        s.call("describe_configs", version, {"resources": [
            {"resource_type": 2, "resource_name": topic, "configuration_keys": None}]})
        for kind, name in ((2, names("none")), (2, "a/b"), (2, ""), (4, "99"), (4, "x"), (0, "x"), (3, "x"), (8, "x"), (99, "")):
            s.call("describe_configs", version, {"resources": [
                {"resource_type": kind, "resource_name": name, "configuration_keys": ["retention.ms"]}]})
        s.call("describe_configs", version, {"resources": [{"resource_type": 4, "resource_name": s.node_text,
                                                            "configuration_keys": ["num.partitions", "message.max.bytes"]}]})
        s.call("describe_configs", version, {"resources": []})


def described(s, topic):
    s.call("describe_configs", 4, {"resources": [{"resource_type": 2, "resource_name": topic, "configuration_keys": [
        "retention.ms", "cleanup.policy", "max.message.bytes", "segment.bytes", "compression.type"]}]})


def altered(s, rng, names):
    topic = names("alter")
    create(s, topic)
    pool = [c for c in CREATE_CONFIGS]
    for version in range(3):
        def alter(pairs, check=False, kind=2, name=topic):
            answer = s.call("alter_configs", version, {"validate_only": check, "resources": [{
                "resource_type": kind, "resource_name": name, "configs": [{"name": k, "value": v} for k, v in pairs]}]})
            s.config_settles(topic)
            return answer
        alter([("retention.ms", str(1000000 + version))])
        described(s, topic)
        alter([("max.message.bytes", "5000"), ("cleanup.policy", "compact")], check=True)
        alter([("max.message.bytes", str(5000 + version))])
        described(s, topic)
        alter([])
        described(s, topic)
        for pair in rng.sample(pool, 6):
            alter([pair], check=True)
        for kind, name in ((2, names("none")), (2, "a/b"), (2, ""), (4, "99"), (4, "x"), (0, "x"), (3, "x"), (99, "")):
            alter([("retention.ms", "1000")], kind=kind, name=name, check=True)
        alter([("retention.ms", "1"), ("retention.ms", "2")], check=True)
        one = {"resource_type": 2, "resource_name": topic, "configs": [{"name": "retention.ms", "value": "7"}]}
        if version == 2:  # Kafka never answers
            s.call("alter_configs", version, {"resources": [one, one]})
        s.call("alter_configs", version, {"resources": []})


def incremented(s, rng, names):
    topic = names("incr")
    create(s, topic)
    for version in range(2):
        def alter(triples, check=False, kind=2, name=topic):
            s.call("incremental_alter_configs", version, {"validate_only": check, "resources": [{
                "resource_type": kind, "resource_name": name,
                "configs": [{"name": k, "config_operation": o, "value": v} for k, o, v in triples]}]})
            s.config_settles(topic)
        alter([("retention.ms", 0, "1234567")])
        described(s, topic)
        alter([("cleanup.policy", 2, "compact")])
        described(s, topic)
        alter([("cleanup.policy", 3, "delete"), ("segment.bytes", 0, "2000000")])
        described(s, topic)
        alter([("cleanup.policy", 1, None), ("retention.ms", 1, "ignored"), ("segment.bytes", 1, None)])
        described(s, topic)
        for triple in (("retention.ms", 2, "1"), ("retention.ms", 3, "1"), ("retention.ms", 9, "1"), ("retention.ms", -1, "1"),
                       ("retention.ms", 0, None), ("no.such", 0, "1"), ("no.such", 1, None), ("cleanup.policy", 2, None),
                       ("cleanup.policy", 3, "compact"), ("cleanup.policy", 2, "delete"), ("cleanup.policy", 2, "never"),
                       ("cleanup.policy", 3, "delete"), ("retention.ms", 1, None), ("max.message.bytes", 0, "x"),
                       ("leader.replication.throttled.replicas", 2, "0:1"), ("leader.replication.throttled.replicas", 0, "junk"),
                       ("compression.type", 2, "lz4")):
            alter([triple], check=True)
        alter([("retention.ms", 0, "1"), ("retention.ms", 0, "2")], check=True)
        alter([("retention.ms", 0, "1"), ("retention.ms", 1, None)], check=True)
        alter([])
        for kind, name in ((2, names("none")), (2, "a/b"), (2, ""), (4, "99"), (4, "x"), (0, "x"), (3, "x"), (99, "")):
            alter([("retention.ms", 0, "1000")], kind=kind, name=name, check=True)
        one = {"resource_type": 2, "resource_name": topic, "configs": [{"name": "retention.ms", "config_operation": 0, "value": "7"}]}
        s.call("incremental_alter_configs", version, {"resources": [one, one]})
        s.call("incremental_alter_configs", version, {"resources": []})


def pages(s, rng, names):
    a, b = names("page.a"), names("page.b")
    create(s, a, 5)
    create(s, b, 3)

    def page(topics, limit=2000, cursor=None):
        return s.call("describe_topic_partitions", 0, {"topics": [{"name": t} for t in topics], "response_partition_limit": limit,
                                                       "cursor": cursor})
    page([a])
    page([b, a])
    page([a, a])
    page([names("none"), a, "a/b", ""])
    for limit in (1, 2, 5, 6, 8, 0, -1, 5000):
        page([a, b], limit)
    for cursor in ((a, 0), (a, 3), (a, 5), (a, 9), (b, 1), (a + "a", 0), ("zzzz", 0), (a, -1)):
        for limit in (2, 100):
            page([a, b], limit, {"topic_name": cursor[0], "partition_index": cursor[1]})


def cluster(s, rng, names):
    for version in range(3):
        for operations in (False, True):
            for endpoint in (1, 2, 3, 0):
                s.call("describe_cluster", version, {"include_cluster_authorized_operations": operations, "endpoint_type": endpoint})
    for version in range(2):
        s.call("list_config_resources", version, {"resource_types": []})
        for kind in ((2,), (4,), (8,), (16,), (32,), (0,), (2, 4), (99,), (2, 2), (1,), (3,)):
            if version:
                s.call("list_config_resources", version, {"resource_types": list(kind)})
    topic = names("moving")
    create(s, topic)
    for topics in (None, [], [{"name": topic, "partition_indexes": [0]}], [{"name": names("none"), "partition_indexes": [0]}],
                   [{"name": topic, "partition_indexes": [5]}], [{"name": "a/b", "partition_indexes": []}]):
        s.call("list_partition_reassignments", 0, {"topics": topics})


def one_broker(s, rng, names):
    """Elections, moves and the quorum, where there is one broker."""
    topic, none = names("alone"), names("none")
    create(s, topic, 2)
    for version in range(3):
        for kind in (0, 1, -1, 5) if version else (0,):
            for partitions in ([0], [0, 1], [7], [-1, 0], []):
                s.call("elect_leaders", version, {"election_type": kind, "topic_partitions": [{"topic": topic, "partitions": partitions}], "timeout_ms": 5000})
            s.call("elect_leaders", version, {"election_type": kind, "topic_partitions": [{"topic": none, "partitions": [0]}], "timeout_ms": 5000})
            s.call("elect_leaders", version, {"election_type": kind, "topic_partitions": [], "timeout_ms": 5000})
            s.call("elect_leaders", version, {"election_type": kind, "topic_partitions": None, "timeout_ms": 5000})
    for version in range(2):
        for allow in (True, False):
            for replicas in ([s.node], None, [], [99], [s.node, s.node], [s.node, 99]):
                s.call("alter_partition_reassignments", version, {"timeout_ms": 5000, "allow_replication_factor_change": allow, "topics": [
                    {"name": topic, "partitions": [{"partition_index": 0, "replicas": replicas}]}]})
        for name, partition in ((topic, 9), (topic, -1), (none, 0)):
            s.call("alter_partition_reassignments", version, {"timeout_ms": 5000, "topics": [
                {"name": name, "partitions": [{"partition_index": partition, "replicas": [s.node]}]}]})
        s.call("alter_partition_reassignments", version, {"timeout_ms": 5000, "topics": []})
    for version in (1, 2):
        for name, partitions in ((topic, [0]), (topic, []), (topic, [9]), (none, [0])):
            s.call("alter_replica_log_dirs", version, {"dirs": [{"path": "/no/such/directory", "topics": [{"name": name, "partitions": partitions}]}]})
        s.call("alter_replica_log_dirs", version, {"dirs": []})
    for version in range(3):
        for name, partition in (("__cluster_metadata", 0), ("__cluster_metadata", 1), (topic, 0), (none, 0)):
            s.call("describe_quorum", version, {"topics": [{"topic_name": name, "partitions": [{"partition_index": partition}]}]})
        s.call("describe_quorum", version, {"topics": []})
        s.call("describe_quorum", version, {"topics": [{"topic_name": "__cluster_metadata", "partitions": []}]})


def log_dirs(s, rng, names):
    topic = names("dirs")
    create(s, topic, 3)
    for version in range(1, 5):
        for partitions in ([0], [0, 1, 2], [2, 9], [], [-1], [0, 0]):
            s.call("describe_log_dirs", version, {"topics": [{"topic": topic, "partitions": partitions}]})
        s.call("describe_log_dirs", version, {"topics": [{"topic": names("none"), "partitions": [0]}]})
        s.call("describe_log_dirs", version, {"topics": []})
        s.call("describe_log_dirs", version, {"topics": None})


def coordinators(s, rng, names):
    for version in range(7):
        for kind in (0, 1, 2, 3, -1) if version else (0,):
            for key in (names("group"), ""):
                if version < 4:
                    s.call("find_coordinator", version, {"key": key, "key_type": kind})
                else:
                    s.call("find_coordinator", version, {"coordinator_keys": [key], "key_type": kind})
        if version >= 4:
            s.call("find_coordinator", version, {"coordinator_keys": [], "key_type": 0})
            s.call("find_coordinator", version, {"coordinator_keys": ["x", "x", "y"], "key_type": 0})


ALL = [versions, metadata, created, all_configs, deleted, grown, configs, altered, incremented, pages, cluster, one_broker, log_dirs, coordinators]
