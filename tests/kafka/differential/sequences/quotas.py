"""Client quotas: who has which, what may be set, and what an empty bucket of changes answers."""
from sequences.topics import create

USER, CLIENT, IP = "user", "client-id", "ip"
EXACT, DEFAULT, ANY = 0, 1, 2


def entity(pairs):
    return [{"entity_type": kind, "entity_name": name} for kind, name in pairs]


def alter(s, pairs, ops, version=1, check=False):
    """ops: (key, value), value None: remove."""
    return s.call("alter_client_quotas", version, {"validate_only": check, "entries": [
        {"entity": entity(pairs), "ops": [{"key": k, "value": v or 0.0, "remove": v is None} for k, v in ops]}]})


def describe(s, components, strict=False, version=1):
    s.quotas_settle()
    return s.call("describe_client_quotas", version, {"strict": strict, "components": [
        {"entity_type": kind, "match_type": how, "match": name} for kind, how, name in components]})


def quotas(s, rng, names):
    user, client = names("user"), names("client")
    everything = [[(USER, user)], [(CLIENT, client)], [(USER, user), (CLIENT, client)], [(USER, user), (CLIENT, None)],
                  [(USER, None), (CLIENT, client)], [(IP, "10.1.2.3")]]
    for version in (0, 1):
        for pairs in everything:
            key = "connection_creation_rate" if pairs[0][0] == IP else "consumer_byte_rate"
            alter(s, pairs, [(key, 1e9)], version)
            alter(s, pairs, [(key, 2e9)], version, check=True)
        alter(s, [(USER, user)], [("producer_byte_rate", 1e9), ("request_percentage", 12345.5), ("controller_mutation_rate", 1e6)], version)
        for strict in (False, True):
            for components in ([(USER, EXACT, user)], [(USER, EXACT, user), (CLIENT, DEFAULT, None)], [(CLIENT, EXACT, client)],
                               [(USER, EXACT, user), (CLIENT, ANY, None)], [(USER, ANY, None), (CLIENT, EXACT, client)],
                               [(IP, EXACT, "10.1.2.3")], [(USER, EXACT, names("nobody"))], [(USER, DEFAULT, None), (CLIENT, EXACT, client)],
                               [(IP, ANY, None), (USER, ANY, None)], [(USER, EXACT, None)], [(USER, DEFAULT, "x")], [(USER, ANY, "x")],
                               [(USER, 3, "x")], [(USER, -1, None)], [("", EXACT, "x")], [("group", EXACT, "x")],
                               [(USER, EXACT, "x"), (USER, EXACT, "x")], [(USER, EXACT, "")], [("USER", EXACT, user)]):
                describe(s, components, strict, version)
        for pairs in everything:
            key = "connection_creation_rate" if pairs[0][0] == IP else "consumer_byte_rate"
            alter(s, pairs, [(key, None)], version)
        describe(s, [(USER, EXACT, user)], False, version)
        alter(s, [(USER, user)], [("producer_byte_rate", None), ("request_percentage", None), ("controller_mutation_rate", None)], version)
        describe(s, [(USER, EXACT, user)], False, version)


def wrong(s, rng, names):
    user = names("user")
    for pairs in ([], [(USER, "")], [(CLIENT, "")], [(IP, "")], [("group", "x")], [("", "x")], [(USER, user), (IP, "10.0.0.1")],
                  [(CLIENT, user), (IP, None)], [(IP, "not an address")], [(IP, "300.1.2.3")], [(IP, "::1")], [(USER, user), (USER, user)],
                  [(USER, user), (CLIENT, "c"), (IP, "10.0.0.1")], [(USER, user), ("group", "x")]):
        for key in ("producer_byte_rate", "connection_creation_rate", "no_such_rate"):
            alter(s, pairs, [(key, 1e9)], check=True)
        alter(s, pairs, [], check=True)
    for pairs in ([(USER, user)], [(CLIENT, user)], [(IP, "10.0.0.9")]):
        for key in ("producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate",
                    "no_such_rate", "", "SCRAM-SHA-256"):
            for value in (0.0, -1.0, 0.5, 1.0000001, 1e20, 3e9, 1e300, float("inf"), None):
                s.call("alter_client_quotas", 1, {"validate_only": True, "entries": [
                    {"entity": entity(pairs), "ops": [{"key": key, "value": value or 0.0, "remove": value is None}]}]})
    alter(s, [(USER, user)], [("producer_byte_rate", 1e9), ("producer_byte_rate", 2e9)], check=True)
    alter(s, [(USER, user)], [("producer_byte_rate", 1e9), ("producer_byte_rate", None)], check=True)
    alter(s, [(USER, user)], [("producer_byte_rate", 1e9), ("no_such_rate", 1.0)])
    describe(s, [(USER, EXACT, user)])
    one = {"entity": entity([(USER, user)]), "ops": [{"key": "producer_byte_rate", "value": 1e9}]}
    two = {"entity": entity([(USER, user)]), "ops": [{"key": "consumer_byte_rate", "value": 1e9}]}
    bad = {"entity": entity([(USER, user)]), "ops": [{"key": "consumer_byte_rate", "value": -1.0}]}
    other = {"entity": entity([(CLIENT, user)]), "ops": [{"key": "consumer_byte_rate", "value": 1e9}]}
    for entries in ([one, two], [bad, one], [one, bad], [one, other], [bad, other], [one, one], []):
        s.call("alter_client_quotas", 1, {"entries": entries})
        describe(s, [(USER, EXACT, user)])
        describe(s, [(CLIENT, EXACT, user)])
        alter(s, [(USER, user)], [("producer_byte_rate", None), ("consumer_byte_rate", None)])
        alter(s, [(CLIENT, user)], [("producer_byte_rate", None), ("consumer_byte_rate", None)])


def spent(s, rng, names):
    """Of changes of topics: the bucket holds eleven seconds' worth and may be overdrawn once."""
    topic, client = names("grown"), "differential"
    create(s, topic, 2)
    made = [names("made") for _ in range(8)]
    alter(s, [(CLIENT, client)], [("controller_mutation_rate", 2.0)])
    s.quotas_settle()
    one = {"name": made[0], "num_partitions": 60, "replication_factor": 1}
    s.call("create_topics", 7, {"topics": [one], "timeout_ms": 10000}, conn="spent")
    s.drop("spent")
    for version in range(2, 8):
        s.call("create_topics", version, {"topics": [{"name": made[1], "num_partitions": 1, "replication_factor": 1}], "validate_only": True,
                                          "timeout_ms": 10000}, conn="spent")
        s.drop("spent")
    for version in range(4):
        s.call("create_partitions", version, {"topics": [{"name": topic, "count": 3, "assignments": None}], "timeout_ms": 10000,
                                              "validate_only": True}, conn="spent")
        s.drop("spent")
    for version in (5, 6):
        s.call("delete_topics", version, {"topic_names": [topic], "topics": [{"name": topic}], "timeout_ms": 10000}, conn="spent")
        s.drop("spent")
    alter(s, [(CLIENT, client)], [("controller_mutation_rate", None)])
    s.quotas_settle()
    s.topic_there(made[0], 60)
    s.call("delete_topics", 6, {"topics": [{"name": made[0]}], "timeout_ms": 10000})


ALL = [quotas, wrong, spent]
