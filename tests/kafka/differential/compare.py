"""Compares two answers field by field. What may differ stands in rules.py."""
import gzip

import records

UNKNOWN = object()


class Aliases:
    """Ids that each side gives out itself: the same on one side must be the same on the other."""

    def __init__(self):
        self.pairs = {}

    def same(self, kind, left, right):
        known = self.pairs.setdefault(kind, ({}, {}))
        return known[0].setdefault(left, right) == right and known[1].setdefault(right, left) == left


class Difference:
    def __init__(self, path, left, right):
        self.path, self.left, self.right = path, left, right

    def __str__(self):
        return f"{self.path}: Kafka {short(self.left)}, smack {short(self.right)}"


def short(value):
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:150]}... ({len(text)})"


class Comparer:
    """rules: rules.Rules. One for a whole run: it counts, and remembers the ids."""

    def __init__(self, rules):
        self.rules, self.aliases, self.fields = rules, Aliases(), 0

    def compare(self, api, version, request, left, right):
        """The differences that no rule allows. left, right: dicts, or text for what happened instead of an answer."""
        found = []
        self.value(api, "", "", left, right, found)
        return [d for d in found if not self.rules.allowed(api, version, request, d, left, right)]

    def value(self, api, path, at, left, right, found):
        """path: the field's names, for the rules; at: with indexes, for people."""
        rule = self.rules.of(api, path)
        if rule == "ignore":
            return
        if isinstance(left, dict) and isinstance(right, dict):
            for name in list(left) + [n for n in right if n not in left]:
                inner = f"{path}.{name}" if path else name
                self.value(api, inner, f"{at}.{name}" if at else name, left.get(name, UNKNOWN), right.get(name, UNKNOWN), found)
        elif isinstance(left, list) and isinstance(right, list):
            self.lists(rule, api, path, at, left, right, found)
        else:
            self.fields += 1
            if not self.plain(rule, path, left, right):
                found.append(Difference(at, left, right))

    def plain(self, rule, path, left, right):
        if rule == "id topic" and left == right and left in self.aliases.pairs.get("topic", ({}, {}))[1]:
            return True  # renamed already
        if rule and rule.startswith("id ") and self.is_id(left) and self.is_id(right):
            return self.aliases.same(rule[3:], left, right)
        if rule == "set or not":
            return (left in (None, -1, 0)) == (right in (None, -1, 0))
        if rule == "null or not":
            return (left is None) == (right is None)
        return left == right

    def renamed(self, item):
        """With the id of its topic as smack calls it: lists are sorted by that."""
        if isinstance(item, dict) and "topic_id" in item and "topic" in self.aliases.pairs:
            item = dict(item, topic_id=self.aliases.pairs["topic"][0].get(item["topic_id"], item["topic_id"]))
        return item

    @staticmethod
    def is_id(value):
        return value not in (None, "", -1, bytes(16))

    def lists(self, rule, api, path, at, left, right, found):
        key = self.rules.order(api, path)
        left, right = merged(told(api, left)), merged(told(api, right))
        left = [self.renamed(i) for i in left]
        if key and all(isinstance(i, dict) for i in left + right):
            left, right = sorted(left, key=key), sorted(right, key=key)
        elif key and not rule:
            left, right = sorted(left, key=str), sorted(right, key=str)
        if self.rules.fewer(api, path):
            here = {key(i) for i in right}
            left = [i for i in left if key(i) in here]
        if len(left) != len(right):
            found.append(Difference(at + "[]", [brief(i) for i in left], [brief(i) for i in right]))
            return
        for i, (a, b) in enumerate(zip(left, right)):
            self.value(api, path, f"{at}[{i}]", a, b, found)


# Those list all topics; the broker's own are there when they are first needed, in each broker at another time.
LISTS = {"metadata", "describe_log_dirs", "list_config_resources", "describe_topic_partitions", "elect_leaders"}
OWN = {"__consumer_offsets", "__transaction_state"}


def says_nothing(item):
    if set(item) - {"name", "topic", "topic_id", "producer_id", "partitions", "topics"}:
        return False
    lists = [item[n] for n in ("partitions", "topics") if isinstance(item.get(n), list)]
    return lists and not any(codes(item)) and all(isinstance(i, dict) and says_nothing(i) for one in lists for i in one)


def told(api, items):
    """Without the topics of which nothing is said, which Kafka mostly leaves out, and without the broker's own in lists of all."""
    out = []
    for item in items:
        if isinstance(item, dict):
            if says_nothing(item):
                continue
            if api in LISTS and (item.get("name", item.get("topic")) in OWN or item.get("resource_name") in OWN):
                continue
        out.append(item)
    return out


def merged(items):
    """A topic that stands there twice, once for its partitions that were refused: as one."""
    out = {}
    for i, item in enumerate(items):
        key = i
        if isinstance(item, dict) and isinstance(item.get("partitions"), list):
            key = str({k: v for k, v in item.items() if k != "partitions"})
        if key in out:
            item = dict(item, partitions=out[key]["partitions"] + item["partitions"])
        out[key] = item
    return list(out.values())


def codes(answer):
    """All error codes in an answer."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name == "error_code":
                yield value
            else:
                yield from codes(value)
    elif isinstance(answer, list):
        for item in answer:
            yield from codes(item)


def brief(item):
    """An item of a list by its first fields."""
    return {k: v for k, v in list(item.items())[:3]} if isinstance(item, dict) else item


def open_records(answer):
    """Record batches in an answer, in place of their bytes."""
    if isinstance(answer, dict):
        return {k: opened(v) if k == "records" else open_records(v) for k, v in answer.items()}
    if isinstance(answer, list):
        return [open_records(v) for v in answer]
    return answer


def opened(data):
    if not data:
        return data
    batches, left = records.parse(data)
    for b in batches:
        if b["attributes"] & records.CONTROL:
            b["base_timestamp"] = b["max_timestamp"] = "the broker's clock"
        # Packed by another hand: what is in them counts.
        if b["attributes"] & 7 == records.GZIP:
            b["records"], b["length"] = gzip.decompress(b["records"]), "packed"
    return {"batches": batches, "cut": left}
