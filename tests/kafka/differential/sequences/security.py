"""Rules (ACLs) and SCRAM credentials. Both brokers have an authorizer, and who asks is a super user."""
ANY, TOPIC, GROUP, CLUSTER, TXN, TOKEN, USER = 1, 2, 3, 4, 5, 6, 7
P_ANY, MATCH, LITERAL, PREFIXED = 1, 2, 3, 4
EVERY, READ, WRITE, CREATE, DESCRIBE = 2, 3, 4, 5, 8
DENY, ALLOW = 2, 3


def rule(name, **more):
    return dict({"resource_type": TOPIC, "resource_name": name, "resource_pattern_type": LITERAL, "principal": "User:alice", "host": "*",
                 "operation": READ, "permission_type": ALLOW}, **more)


def asked(name=None, **more):
    return dict({"resource_type_filter": TOPIC, "resource_name_filter": name, "pattern_type_filter": LITERAL, "principal_filter": None,
                 "host_filter": None, "operation": ANY, "permission_type": ANY}, **more)


def acls(s, rng, names):
    for version in range(1, 4):
        a, b, prefix = names("a"), names("b"), names("pre")
        rules = [rule(a), rule(a, operation=WRITE, permission_type=DENY), rule(a, principal="User:bob", host="10.0.0.1"), rule(b, operation=EVERY),
                 rule(prefix, resource_pattern_type=PREFIXED), rule(a, resource_type=GROUP), rule(a, resource_type=TXN, operation=DESCRIBE),
                 rule("kafka-cluster", resource_type=CLUSTER, operation=CREATE, principal="User:" + a)]
        s.call("create_acls", version, {"creations": rules + rules[:1]})
        s.acls_settle()
        s.call("create_acls", version, {"creations": rules[:2]})
        s.call("create_acls", version, {"creations": []})
        queries = [asked(a), asked(b), asked(prefix), asked(prefix, pattern_type_filter=PREFIXED), asked(prefix + "x", pattern_type_filter=MATCH),
                   asked(a, pattern_type_filter=P_ANY), asked(a, resource_type_filter=ANY), asked(a, operation=READ), asked(a, operation=EVERY),
                   asked(a, permission_type=DENY), asked(a, principal_filter="User:bob"), asked(a, host_filter="10.0.0.1"), asked(names("none")),
                   asked(a, principal_filter="User:none"), asked(None, principal_filter="User:" + a, resource_type_filter=CLUSTER),
                   asked("", pattern_type_filter=LITERAL), asked(a, principal_filter=""), asked(a, host_filter="")]
        for query in queries:
            s.call("describe_acls", version, query)
        for number in (0, 8, 15, 99, -1, 5):
            for field in ("resource_type_filter", "pattern_type_filter", "operation", "permission_type"):
                s.call("describe_acls", version, asked(names("odd"), **{field: number}))

        def remove(*filters):
            s.call("delete_acls", version, {"filters": list(filters)})
            s.acls_settle()
        remove(asked(a, operation=WRITE), asked(a, operation=WRITE))
        remove(asked(names("none")))
        remove()
        for number in (0, 99, -1):
            for field in ("resource_type_filter", "pattern_type_filter", "operation", "permission_type"):
                remove(asked(names("odd"), **{field: number}))
        remove(asked(b), asked(names("odd"), operation=0))
        remove(asked(a, resource_type_filter=ANY, pattern_type_filter=P_ANY), asked(b), asked(prefix + "x", pattern_type_filter=MATCH),
               asked(None, principal_filter="User:" + a, resource_type_filter=CLUSTER))
        for name in (a, b):
            s.call("describe_acls", version, asked(name, resource_type_filter=ANY, pattern_type_filter=P_ANY))


def wrong_acls(s, rng, names):
    a = names("a")
    for version in range(1, 4):
        for more in ({"resource_type": 0}, {"resource_type": ANY}, {"resource_type": 9}, {"resource_type": -1}, {"resource_type": CLUSTER},
                     {"resource_type": TOKEN}, {"resource_type": USER, "operation": 13}, {"resource_pattern_type": 0},
                     {"resource_pattern_type": P_ANY}, {"resource_pattern_type": MATCH}, {"resource_pattern_type": 5}, {"resource_name": ""},
                     {"principal": "alice"}, {"principal": ""}, {"principal": "User:"}, {"principal": ":alice"}, {"principal": "Group:x"},
                     {"host": ""}, {"operation": 0}, {"operation": ANY}, {"operation": 99}, {"operation": -1}, {"operation": CREATE},
                     {"permission_type": 0}, {"permission_type": ANY}, {"permission_type": 4}, {"host": "not an address"},
                     {"resource_name": "kafka-cluster", "resource_type": CLUSTER, "operation": READ},
                     {"resource_type": GROUP, "operation": CREATE}, {"resource_type": TXN, "operation": READ}):
            s.call("create_acls", version, {"creations": [rule(a, **more)]})
            s.acls_settle()
            s.call("delete_acls", version, {"filters": [asked(a, resource_type_filter=ANY, pattern_type_filter=P_ANY)]})
            s.acls_settle()
        s.call("create_acls", version, {"creations": [rule(a), rule(a, operation=0), rule(a, host="")]})
        s.acls_settle()
        s.call("delete_acls", version, {"filters": [asked(a)]})
        s.acls_settle()


def credential(name, mechanism=1, iterations=4096, size=None, salt=b"0123456789abcdef"):
    size = size if size is not None else (32 if mechanism == 1 else 64)
    return {"name": name, "mechanism": mechanism, "iterations": iterations, "salt": salt, "salted_password": bytes(range(size))}


def scram(s, rng, names):
    user, other = names("user"), names("other")

    def alter(deletions=(), upsertions=()):
        s.call("alter_user_scram_credentials", 0, {"deletions": [{"name": n, "mechanism": m} for n, m in deletions],
                                                   "upsertions": list(upsertions)})
        s.scram_settles()

    def describe(*users):
        s.call("describe_user_scram_credentials", 0, {"users": [{"name": u} for u in users]})
    describe(user)
    alter(upsertions=[credential(user), credential(other, 2, 8192)])
    describe(user)
    describe(user, other, names("nobody"))
    describe(user, user)
    describe("")
    alter(upsertions=[credential(user, 2)])
    describe(user)
    alter(upsertions=[credential(user, 1, 5000)])
    describe(user)
    alter(deletions=[(user, 2)])
    alter(deletions=[(user, 2)])
    describe(user)
    alter(deletions=[(names("nobody"), 1)])
    alter(deletions=[(user, 1), (other, 1)])
    alter(deletions=[(user, 1)], upsertions=[credential(user, 2)])
    alter(deletions=[(user, 1), (user, 1)])
    alter(upsertions=[credential(user), credential(user)])
    alter(upsertions=[credential(user), credential(user, 2)])
    describe(user, other)
    for wrong in (credential(""), credential(user, 0), credential(user, 3), credential(user, -1), credential(user, 1, 0), credential(user, 1, -1),
                  credential(user, 1, 4095), credential(user, 1, 4096), credential(user, 1, 16384), credential(user, 1, 16385),
                  credential(user, 2, 4095), credential(user, 1, 4096, 0), credential(user, 1, 4096, 31), credential(user, 1, 4096, 64),
                  credential(user, 1, 4096, None, b""), credential(user, 1, 4096, None, b"x"), credential(user, 1, 4096, None, b"x" * 65)):
        alter(upsertions=[wrong])
        alter(upsertions=[wrong, credential(other)])
    for deletion in (("", 1), (user, 0), (user, 3), (user, -1), (user, 1)):
        alter(deletions=[deletion])
    alter()
    describe(user, other)
    alter(deletions=[(user, 1), (other, 2)])
    alter(deletions=[(user, 2), (other, 1)])
    describe(user, other)


ALL = [acls, wrong_acls, scram]
