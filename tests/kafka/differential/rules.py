"""What may differ between Kafka's answer and smack's, and why. Everything else must be equal.

First what each broker gives out itself (ids, times, addresses), by API and field; then lists whose order means nothing; then ALLOWED:
real differences, each with its reason. A difference of ALLOWED that a client could notice stands in doc/compatibility.md too."""
from collections import Counter

# (API or *, field) -> rule. "ignore"; "id KIND": the same id on one side is the same on the other; "set or not"; "null or not".
FIELDS = {
    ("*", "throttle_time_ms"): "ignore",
    # Where and who the broker is.
    ("*", "cluster_id"): "id cluster",
    ("*", "controller_id"): "id node",
    ("*", "node_id"): "id node",
    ("*", "broker_id"): "id node",
    ("*", "leader_id"): "id node",
    ("*", "replica_nodes"): "id node",
    ("*", "isr_nodes"): "id node",
    ("*", "host"): "null or not",
    ("*", "port"): "ignore",
    ("*", "client_host"): "ignore",  # Kafka puts a slash before the address
    # Given out by the broker.
    ("api_versions", "finalized_features_epoch"): "set or not",
    ("describe_configs", "results.resource_name"): "id name",
    ("list_config_resources", "config_resources.resource_name"): "id name",
    ("*", "topic_id"): "id topic",
    ("*", "producer_id"): "id producer",
    ("*", "member_id"): "id member",
    ("*", "leader"): "id member",
    ("fetch", "session_id"): "ignore",
    # Times of the broker's clock.
    ("*", "log_append_time_ms"): "set or not",
    ("*", "last_timestamp"): "set or not",
    ("*", "transaction_start_time_ms"): "set or not",
    # Texts for people: whether there is one.
    ("*", "error_message"): "null or not",
    ("*", "message"): "null or not",
    # Space on disks.
    ("*", "total_bytes"): "ignore",
    ("*", "usable_bytes"): "ignore",
    ("*", "log_dir"): "ignore",
}


def by(*names):
    return lambda item: tuple(str(item.get(n, "")) for n in names)


# The entries of an answer are in no order: Kafka's is mostly that of a hash table, with what was refused in front or behind. Both
# sides are sorted first, except in these lists and
# records.
IN_ORDER = {("describe_topic_partitions", "topics"), ("describe_topic_partitions", "topics.partitions")}
NAMES = by("name", "topic", "group_id", "transactional_id", "resource_type", "resource_name", "partition_index", "index", "partition",
           "api_key", "error_code")
ORDERS = {
    ("join_group", "members"): by("metadata"),
    ("describe_groups", "groups.members"): by("member_metadata"),
    ("describe_producers", "topics.partitions.active_producers"): by("last_sequence", "producer_epoch"),
    ("write_txn_markers", "markers"): by("topics"),
    ("leave_group", "members"): by("group_instance_id", "error_code"),
}

# Lists of which smack may have fewer items than Kafka; those that it has must be equal.
FEWER = {
    ("api_versions", "api_keys"): "the APIs that are not served are listed in doc/compatibility.md",
    ("api_versions", "supported_features"): "only features whose meaning holds are announced",
    ("api_versions", "finalized_features"): "only features whose meaning holds are announced",
}

ALLOWED = []


def allow(why):
    """Add a rule: a function of (api, version, request, difference, left, right)."""
    def add(function):
        ALLOWED.append((why, function))
        return function
    return add


class Rules:
    def __init__(self):
        self.used = Counter()

    @staticmethod
    def of(api, path):
        name = path.rsplit(".", 1)[-1]
        return FIELDS.get((api, path)) or FIELDS.get((api, name)) or FIELDS.get(("*", name))

    @staticmethod
    def order(api, path):
        """How the list is sorted before it is compared; None: as it is."""
        if (api, path) in IN_ORDER or path.endswith("batches"):
            return None
        return ORDERS.get((api, path), NAMES)

    @staticmethod
    def fewer(api, path):
        return (api, path) in FEWER

    def allowed(self, api, version, request, difference, left, right):
        for why, function in ALLOWED:
            if function(api, version, request, difference, left, right):
                self.used[why] += 1
                return True
        return False

    def unused(self):
        return [why for why, _ in ALLOWED if not self.used[why]]
