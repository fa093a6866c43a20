"""Consumer groups of the classic protocol and their offsets."""
import struct

from sequences.topics import create


def subscription(topics, user_data):
    """What consumers say of themselves: ConsumerProtocolSubscription 0. Kafka never answers one that it cannot read."""
    out = struct.pack(">hi", 0, len(topics))
    for topic in topics:
        out += struct.pack(">h", len(topic)) + topic.encode()
    return out + struct.pack(">i", len(user_data)) + user_data


def protocols(conn, topics=()):
    """Each member's own, so that it can be told from others whose ids differ."""
    return [{"name": "range", "metadata": subscription(topics, conn.encode())},
            {"name": "roundrobin", "metadata": subscription(topics, b"")}]


def join(s, group, version, member="", conn="main", wait=True, **more):
    body = {"group_id": group, "session_timeout_ms": 30000, "rebalance_timeout_ms": 30000, "member_id": member,
            "protocol_type": "consumer", "protocols": protocols(conn), **more}
    s.post("join_group", version, body, conn)
    return s.take(conn) if wait else None


def sync(s, group, version, generation, member, assignments=(), conn="main", wait=True, **more):
    s.post("sync_group", version, {"group_id": group, "generation_id": generation, "member_id": member,
                                   "assignments": [{"member_id": m, "assignment": a} for m, a in assignments],
                                   **({"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}), **more}, conn)
    return s.take(conn) if wait else None


def beat(s, group, version, generation, member, **more):
    s.call("heartbeat", version, {"group_id": group, "generation_id": generation, "member_id": member, **more})


def leave(s, group, version, member, instance=None):
    if version < 3:
        s.call("leave_group", version, {"group_id": group, "member_id": member})
    else:
        s.call("leave_group", version, {"group_id": group, "members": [{"member_id": member, "group_instance_id": instance}]})


def joined(s, group, version, conn="main", **more):
    """A first member of a group, however many requests that takes. Its id."""
    answer = join(s, group, version, conn=conn, **more)
    if answer.at("error_code") == 79:
        answer = join(s, group, version, answer.at("member_id"), conn, **more)
    return answer.at("member_id")


def describe(s, group, version=5):
    s.call("describe_groups", version, {"groups": [group]})


def alone(s, rng, names):
    """The life of a group of one, in all versions."""
    for version in range(10):
        group = names("group")
        member = joined(s, group, version)
        describe(s, group, min(version, 6))
        beat(s, group, min(version, 4), 1, member)
        sync(s, group, min(version, 5), 1, member, [(member, b"mine")])
        sync(s, group, min(version, 5), 1, member)
        describe(s, group, min(version, 6))
        beat(s, group, min(version, 4), 1, member)
        beat(s, group, min(version, 4), 2, member)
        beat(s, group, min(version, 4), 0, member)
        beat(s, group, min(version, 4), 1, "nobody")
        beat(s, group, min(version, 4), 1, "")
        beat(s, names("none"), min(version, 4), 1, member)
        beat(s, "", min(version, 4), 1, member)
        sync(s, group, min(version, 5), 3, member)
        sync(s, group, min(version, 5), 1, "nobody")
        sync(s, names("none"), min(version, 5), 1, member)
        if version >= 5:
            for wrong in ({"protocol_type": "other"}, {"protocol_name": "other"}, {"protocol_type": None}, {"protocol_name": None}):
                sync(s, group, 5, 1, member, **wrong)
        join(s, group, version, member)
        beat(s, group, min(version, 4), 1, member)
        beat(s, group, min(version, 4), 2, member)
        sync(s, group, min(version, 5), 2, member, [(member, b"again")])
        for wrong in ({"protocol_type": "other"}, {"protocols": [{"name": "other", "metadata": subscription([], b"")}]}, {"protocols": []},
                      {"protocol_type": ""}, {"session_timeout_ms": 100}, {"session_timeout_ms": 2 ** 31 - 1}, {"member_id": "nobody"}):
            join(s, group, version, **wrong)
        s.call("list_groups", min(version, 5), {})
        leave(s, group, min(version, 5), "nobody")
        leave(s, group, min(version, 5), member)
        leave(s, group, min(version, 5), member)
        leave(s, names("none"), min(version, 5), member)
        leave(s, "", min(version, 5), member)
        describe(s, group, min(version, 6))
        beat(s, group, min(version, 4), 2, member)
        join(s, "", version)
        join(s, names("new"), version, "unknown")
        join(s, names("bad"), version, protocols=[])
        join(s, names("bad"), version, protocol_type="")


def together(s, rng, names):
    """Two members: a join that waits for the other, a sync that waits for the leader, and how it ends."""
    for version in (0, 2, 4, 6, 9):
        group = names("pair")
        a = joined(s, group, version)
        sync(s, group, min(version, 5), 1, a, [(a, b"all")])
        if version >= 4:
            b = join(s, group, version, "", "b").at("member_id")
            join(s, group, version, b, "b", wait=False)
        else:
            join(s, group, version, "", "b", wait=False)
        s.until_state(group, "PreparingRebalance")
        beat(s, group, min(version, 4), 1, a)
        sync(s, group, min(version, 5), 1, a)
        describe(s, group)
        join(s, group, version, a)
        answer = s.take("b")
        b = answer.at("member_id")
        describe(s, group)
        beat(s, group, min(version, 4), 2, b)
        sync(s, group, min(version, 5), 2, b, (), "b", wait=False)
        sync(s, group, min(version, 5), 2, a, [(a, b"half"), (b, b"other half")])
        s.take("b")
        describe(s, group)
        leave(s, group, min(version, 5), a)
        beat(s, group, min(version, 4), 2, b)
        join(s, group, version, b, "b")
        leave(s, group, min(version, 5), b)
        describe(s, group)


def static(s, rng, names):
    """Members with an instance id (KIP-345)."""
    for version in range(5, 10):
        group = names("static")
        a = join(s, group, version, group_instance_id="one").at("member_id")
        sync(s, group, min(version, 5), 1, a, [(a, b"x")], group_instance_id="one")
        describe(s, group)
        beat(s, group, 4, 1, a, group_instance_id="one")
        beat(s, group, 4, 1, "other", group_instance_id="one")
        beat(s, group, 4, 1, a, group_instance_id="two")
        again = join(s, group, version, group_instance_id="one").at("member_id")
        describe(s, group)
        beat(s, group, 4, 1, a, group_instance_id="one")
        sync(s, group, min(version, 5), 1, a, group_instance_id="one")
        sync(s, group, min(version, 5), 1, again, group_instance_id="one")
        join(s, group, version, a, group_instance_id="one")
        join(s, group, version, "other", group_instance_id="one")
        join(s, group, version, "other", group_instance_id="two")
        s.call("leave_group", 4, {"group_id": group, "members": [{"member_id": "", "group_instance_id": "two"},
                                                                 {"member_id": a, "group_instance_id": "one"}]})
        s.call("leave_group", 4, {"group_id": group, "members": [{"member_id": "", "group_instance_id": "one"}]})
        describe(s, group)
        s.call("leave_group", 5, {"group_id": group, "members": []})


def commit(s, group, version, topics, generation=-1, member="", **more):
    s.call("offset_commit", version, {"group_id": group, "generation_id": generation, "member_id": member, "topics": [
        {"name": t, "partitions": [{"partition_index": p, "committed_offset": o, **m} for p, o, m in parts]} for t, parts in topics],
        **more})


def committed(s, group, version, topics, **more):
    asked = None if topics is None else [{"name": t, "partition_indexes": p} for t, p in topics]
    if version < 8:
        s.call("offset_fetch", version, {"group_id": group, "topics": asked, **more})
    else:
        s.call("offset_fetch", version, {"groups": [{"group_id": group, "topics": asked}], **more})


def offsets(s, rng, names):
    topic = names("t")
    create(s, topic, 3)
    none = names("none")
    for version in range(2, 10):
        group = names("commit")
        fetch_version = version
        committed(s, group, fetch_version, [(topic, [0, 1])])
        commit(s, group, version, [(topic, [(0, 5, {"committed_metadata": "note"}), (1, 0, {}), (9, 1, {})])])
        commit(s, group, version, [(none, [(0, 1, {})]), (topic, [(2, 7, {"committed_leader_epoch": 3} if version >= 6 else {})])])
        commit(s, group, version, [(topic, [(0, 6, {"committed_metadata": "x" * 4097}), (1, 1, {"committed_metadata": "x" * 4096})])])
        commit(s, group, version, [(topic, [(0, -1, {}), (1, -5, {})])])
        commit(s, group, version, [(topic, [(-1, 1, {})])])
        commit(s, group, version, [])
        commit(s, group, version, [(topic, [])])
        commit(s, "", version, [(topic, [(0, 3, {})])])
        commit(s, group, version, [(topic, [(0, 3, {})])], 1, "nobody")
        commit(s, group, version, [(topic, [(0, 3, {})])], -1, "nobody")
        commit(s, group, version, [(topic, [(0, 3, {})])], 5, "")
        commit(s, names("new"), version, [(topic, [(0, 3, {})])], 5, "nobody")
        committed(s, group, fetch_version, [(topic, [0, 1, 2, 9]), (none, [0])])
        committed(s, group, fetch_version, None)
        committed(s, group, fetch_version, [])
        committed(s, group, 1, [(topic, [2, 0])])
        committed(s, names("none"), fetch_version, None)
        committed(s, "", fetch_version, None)
        committed(s, group, fetch_version, [(topic, [0, 0])])
        describe(s, group, 6)
        s.call("list_groups", 4, {})
        member = joined(s, group, 5)
        sync(s, group, 3, 1, member, [(member, b"x")])
        commit(s, group, version, [(topic, [(0, 30, {})])])
        commit(s, group, version, [(topic, [(0, 31, {})])], 1, member)
        commit(s, group, version, [(topic, [(0, 32, {})])], 2, member)
        commit(s, group, version, [(topic, [(0, 33, {})])], 1, "nobody")
        committed(s, group, fetch_version, [(topic, [0])])
        s.call("delete_groups", 2, {"group_names": [group]})
        leave(s, group, 3, member)
        committed(s, group, fetch_version, [(topic, [0])])
        s.call("delete_groups", 2, {"group_names": [group]})
        committed(s, group, fetch_version, None)
    for version in (8, 9):
        s.call("offset_fetch", version, {"groups": [{"group_id": names("a"), "topics": None},
                                                    {"group_id": names("b"), "topics": [{"name": topic, "partition_indexes": [0]}]}]})
        s.call("offset_fetch", version, {"groups": []})
        if version == 9:
            s.call("offset_fetch", version, {"groups": [{"group_id": names("a"), "member_id": "m", "member_epoch": 3, "topics": None}]})


def listed(s, rng, names):
    group = names("listed")
    member = joined(s, group, 5)
    sync(s, group, 3, 1, member, [(member, b"x")])
    topic = names("t")
    create(s, topic)
    empty = names("empty")
    commit(s, empty, 7, [(topic, [(0, 3, {})])])
    for version in range(6):
        for states in ([], ["Stable"], ["Empty", "Dead"], ["stable"], ["nonsense"]) if version >= 4 else ([],):
            for types in ([], ["classic"], ["Consumer"], ["nonsense"], ["share"]) if version >= 5 else ([],):
                s.call("list_groups", version, {"states_filter": states, "types_filter": types})
    for version in range(7):
        for groups in ([], [group], [group, empty, names("none")], [""], [group, group]):
            s.call("describe_groups", version, {"groups": groups, **({"include_authorized_operations": True} if version >= 3 else {})})
    for version in range(3):
        s.call("delete_groups", version, {"group_names": [names("none"), group, ""]})
        s.call("delete_groups", version, {"group_names": []})
        gone = names("gone")
        commit(s, gone, 7, [(topic, [(0, 3, {})])])
        s.call("delete_groups", version, {"group_names": [gone, gone]})
        s.call("delete_groups", version, {"group_names": [gone]})
        describe(s, gone)
    leave(s, group, 3, member)


def offset_deleted(s, rng, names):
    topic, other = names("a"), names("b")
    create(s, topic, 2)
    create(s, other, 1)

    def delete(group, topics):
        s.call("offset_delete", 0, {"group_id": group, "topics": [
            {"name": t, "partitions": [{"partition_index": p} for p in parts]} for t, parts in topics]})
    group = names("group")
    delete(group, [(topic, [0])])
    delete("", [(topic, [0])])
    commit(s, group, 7, [(topic, [(0, 3, {}), (1, 4, {})]), (other, [(0, 5, {})])])
    delete(group, [(topic, [0, 7]), (names("none"), [0])])
    committed(s, group, 7, None)
    delete(group, [(topic, [0])])
    delete(group, [])
    delete(group, [(topic, [])])
    member = joined(s, group, 5, protocols=protocols("main", [topic]))
    sync(s, group, 3, 1, member, [(member, b"x")])
    delete(group, [(topic, [1]), (other, [0])])
    committed(s, group, 7, None)
    leave(s, group, 3, member)
    delete(group, [(topic, [1])])
    committed(s, group, 7, None)
    group = names("new")  # of the new protocol (KIP-848)
    commit(s, group, 7, [(topic, [(0, 3, {})]), (other, [(0, 5, {})])])
    new = {"group_id": group, "member_id": "new-member", "rebalance_timeout_ms": 30000, "subscribed_topic_names": [topic],
           "topic_partitions": []}
    s.call("consumer_group_heartbeat", 1, {**new, "member_epoch": 0})
    delete(group, [(topic, [0]), (other, [0])])
    committed(s, group, 9, None)
    s.call("consumer_group_heartbeat", 1, {**new, "member_epoch": -1})
    delete(group, [(topic, [0])])
    committed(s, group, 9, None)
    group = names("connect")
    commit(s, group, 7, [(topic, [(0, 3, {})])])
    member = joined(s, group, 5, protocol_type="connect")
    sync(s, group, 3, 1, member, [(member, b"x")])
    delete(group, [(topic, [0])])
    leave(s, group, 3, member)
    delete(group, [(topic, [0])])


ALL = [alone, together, static, offsets, listed, offset_deleted]
