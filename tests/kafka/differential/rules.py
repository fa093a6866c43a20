"""What may differ between Kafka's answer and smack's, and why. Everything else must be equal.

First what each broker gives out itself (ids, times, addresses), by API and field; then lists whose order means nothing; then ALLOWED:
real differences, each with its reason. A difference of ALLOWED that a client could notice stands in doc/compatibility.md too."""
import re
from collections import Counter

from compare import codes

# (API or *, field) -> rule. "ignore"; "id KIND": the same id on one side is the same on the other; "set or not"; "null or not".
FIELDS = {
    ("*", "throttle_time_ms"): "set or not",
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
    # smack's quorum has no log of its own. A partition that is not there has the leader 0, which is smack's id.
    ("describe_quorum", "topics.partitions.leader_id"): "ignore",
    ("describe_quorum", "topics.partitions.leader_epoch"): "set or not",
    ("describe_quorum", "topics.partitions.high_watermark"): "ignore",
    ("describe_quorum", "topics.partitions.current_voters.log_end_offset"): "ignore",
    ("describe_quorum", "topics.partitions.current_voters.last_fetch_timestamp"): "set or not",
    ("describe_quorum", "topics.partitions.current_voters.last_caught_up_timestamp"): "set or not",
    ("describe_quorum", "topics.partitions.current_voters.replica_id"): "id node",
    ("describe_quorum", "topics.partitions.current_voters.replica_directory_id"): "ignore",
    ("describe_quorum", "nodes.listeners.name"): "ignore",
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
    ("find_coordinator", "error_message"): "exact",
    # Texts for people: whether there is one.
    ("*", "error_message"): "null or not",
    ("*", "message"): "null or not",
    ("describe_configs", "results.configs.documentation"): "ignore",  # smack has none
    # Space on disks.
    ("*", "total_bytes"): "ignore",
    ("*", "usable_bytes"): "ignore",
    ("*", "log_dir"): "ignore",
}


def by(*names):
    return lambda item: tuple(str(item.get(n, "")) for n in names)


def by_entity(item):
    return sorted((e["entity_type"], str(e["entity_name"])) for e in item["entity"])


# The entries of an answer are in no order: Kafka's is mostly that of a hash table, with what was refused in front or behind. Both
# sides are sorted first, except in these lists and
# records.
IN_ORDER = {("delete_acls", "filter_results"), ("describe_topic_partitions", "topics"), ("describe_topic_partitions", "topics.partitions")}
NAMES = by("name", "topic", "topic_id", "group_id", "transactional_id", "resource_type", "resource_name", "partition_index", "index", "partition",
           "api_key", "error_code")
ACL = by("resource_type", "pattern_type", "resource_name", "principal", "host", "operation", "permission_type")
ORDERS = {
    ("join_group", "members"): by("metadata"),
    ("describe_groups", "groups.members"): by("member_assignment", "member_metadata"),
    # Both give out ids in the order in which they are asked for them.
    ("describe_producers", "topics.partitions.active_producers"): lambda item: item["producer_id"],
    ("write_txn_markers", "markers"): by("topics"),
    ("describe_client_quotas", "entries"): by_entity,
    ("describe_client_quotas", "entries.entity"): by("entity_type"),
    ("describe_client_quotas", "entries.values"): by("key"),
    ("alter_client_quotas", "entries"): by_entity,
    ("alter_client_quotas", "entries.entity"): by("entity_type"),
    ("describe_user_scram_credentials", "results"): by("user"),
    ("describe_user_scram_credentials", "results.credential_infos"): by("mechanism"),
    ("alter_user_scram_credentials", "results"): by("user"),
    ("delete_acls", "filter_results"): by("matching_acls", "error_code"),
    ("delete_acls", "filter_results.matching_acls"): ACL,
    ("describe_acls", "resources.acls"): ACL,
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


def names(found, name):
    return re.sub(r"\[\d+\]", "", found.path).rsplit(".", 1)[-1] == name


@allow("Kafka fails with UNKNOWN_SERVER_ERROR, without a text, where smack names the fault")
def _(api, version, request, found, left, right):
    return -1 in codes(left) and -1 not in codes(right) and any(codes(right))


@allow("smack says in words what is wrong where Kafka gives the code only")
def _(api, version, request, found, left, right):
    return names(found, "error_message") and found.left is None and any(codes(left)) and any(codes(right))


@allow("Kafka never answers, since a thread of its own failed; smack refuses")
def _(api, version, request, found, left, right):
    return left == "says nothing" and (any(codes(right)) or right == "closes the connection")


@allow("smack's own defaults: segments of 128 MiB, which are kept for ever unless log.retention says otherwise; flushed at once")
def _(api, version, request, found, left, right):
    return api in ("describe_configs", "create_topics") and names(found, "value") and (found.left, found.right) in (
        ("1073741824", "134217728"), ("604800000", "-1"), ("9223372036854775807", "0"), ("9223372036854775807", "1"))


@allow("min.insync.replicas is a default of the cluster in Kafka (KIP-966), of the broker in smack")
def _(api, version, request, found, left, right):
    return (names(found, "config_source") and (found.left, found.right) == (3, 5)) or (
        names(found, "synonyms[]") and found.left and found.left[0]["name"] == "min.insync.replicas")


@allow("the broker's configs are read-only in smack, and fewer")
def _(api, version, request, found, left, right):
    return api == "describe_configs" and any(r["resource_type"] == 4 for r in request["resources"]) and (
        names(found, "read_only") or names(found, "config_source"))


@allow("a topic that is only checked gets an id in Kafka's answer, which nobody ever sees again")
def _(api, version, request, found, left, right):
    return api == "create_topics" and request.get("validate_only") and names(found, "topic_id") and found.right == bytes(16)


@allow("Kafka 4.1 refuses segment.bytes below 1 MiB, smack below 14")
def _(api, version, request, found, left, right):
    return api in ("create_topics", "alter_configs", "incremental_alter_configs") and "'100000'" in str(request)


@allow("a topic that Metadata makes is in that answer; Kafka answers once that it is unknown")
def _(api, version, request, found, left, right):
    return api == "metadata" and (version < 4 or request.get("allow_auto_topic_creation", True)) and request["topics"] is not None and (
        3 in codes(left))


@allow("the time of a marker is that of the broker's clock")
def _(api, version, request, found, left, right):
    return api == "list_offsets" and names(found, "timestamp") and min(found.left, found.right) > 10 ** 12 and (
        abs(found.left - found.right) < 60000)


@allow("the record with the newest time is in smack one that is still readable after DeleteRecords")
def _(api, version, request, found, left, right):
    return api == "list_offsets" and "trimmed" in str(request) and "'timestamp': -3" in str(request) and names(found, "offset")


@allow("__consumer_offsets has 8 partitions in smack, 50 in Kafka; __transaction_state 1 and 50")
def _(api, version, request, found, left, right):
    return api == "describe_transactions" and names(found, "partitions") | names(found, "partitions[]") and "__consumer_offsets" in str(right)


@allow("smack takes no credential with which nobody could log in: salts have 1 to 64 bytes, a salted password has its hash's size")
def _(api, version, request, found, left, right):
    return api == "alter_user_scram_credentials" and any(
        not 1 <= len(u["salt"]) <= 64 or len(u["salted_password"]) != (32 if u["mechanism"] == 1 else 64) for u in request["upsertions"])


@allow("patterns are POSIX's in smack, RE2's in Kafka: some that one takes the other refuses")
def _(api, version, request, found, left, right):
    return api == "list_transactions" and "{" in (request.get("transactional_id_pattern") or "")


@allow("a Fetch answer ends with whole batches; Kafka's may end with a part of one")
def _(api, version, request, found, left, right):
    return names(found, "cut") and found.right == 0


@allow("what no reader could make sense of, smack refuses: bytes behind the batch, unknown attributes, offsets that do not count up")
def _(api, version, request, found, left, right):
    return api == "produce" and "-unread-" in str(request)


@allow("what smack refuses before it asks the log is refused without the log's start")
def _(api, version, request, found, left, right):
    return api == "produce" and names(found, "log_start_offset") and found.right == -1 and 87 in codes(right)


@allow("an offset below 0 takes a commit back in smack; Kafka keeps the number")
def _(api, version, request, found, left, right):
    return api == "offset_fetch" and "-5" in str(left) and (names(found, "committed_offset") or names(found, "partitions[]"))


@allow("a partition that one ListOffsets asks for twice is answered twice by smack, refused by Kafka")
def _(api, version, request, found, left, right):
    return api == "list_offsets" and names(found, "partitions[]") and 42 in codes(left)


@allow("what DeleteRecords has hidden takes space until its segment goes: each goes in its own time")
def _(api, version, request, found, left, right):
    return api == "describe_log_dirs" and names(found, "partition_size") and "walk.walk" in str(right)


@allow("of several faults in one item another one is named")
def _(api, version, request, found, left, right):
    return "walk.walk" in str(request) and api in ("create_topics", "alter_configs", "incremental_alter_configs", "create_partitions") and (
        names(found, "error_code") and found.left and found.right) or (
            api == "txn_offset_commit" and (found.left, found.right) == (47, 49))


class Rules:
    def __init__(self):
        self.used, self.apis = Counter(), {}

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
                self.apis.setdefault(why, set()).add(api)
                return True
        return False

    def unused(self):
        return [why for why, _ in ALLOWED if not self.used[why]]
