#!/usr/bin/python3
# platform: own
"""Rules (ACLs) made by kafka-python's admin client and felt by confluent-kafka and kcat: what is not allowed is refused, also after a
restart; who is a super user may everything."""
import os
import subprocess
import sys

import confluent_kafka
from kafka.admin import (ACL, ACLFilter, ACLOperation, ACLPermissionType, KafkaAdminClient, NewTopic, ResourcePattern,
                         ResourcePatternFilter, ACLResourcePatternType as Pattern, ResourceType)
import kafka.errors

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from common import SMACK, Server, expect, run, wait_for  # noqa: E402

CONFIG = '''
security.users = users
security.acls = yes
security.super_users = User:admin;User:root
kafka.sasl = SCRAM-SHA-256
'''
KafkaError = confluent_kafka.KafkaError


class Ruled(Server):
    def start(self):
        if not os.path.exists(os.path.join(self.dir, 'users')):
            with open(self.config, 'a', encoding='utf-8') as f:
                f.write(CONFIG)
            for name in ['admin', 'alice', 'bob']:
                subprocess.run([SMACK, 'user', 'add', name, '--config', self.config], input=name, text=True, check=True)
        super().start()


def settings(server, name, **more):
    return {'bootstrap.servers': server.kafka, 'security.protocol': 'SASL_PLAINTEXT', 'sasl.mechanism': 'SCRAM-SHA-256',
            'sasl.username': name, 'sasl.password': name, **more}


def admin(server, name):
    return KafkaAdminClient(bootstrap_servers=server.kafka, security_protocol='SASL_PLAINTEXT', sasl_mechanism='SCRAM-SHA-256',
                            sasl_plain_username=name, sasl_plain_password=name)


def rule(kind, name, operation, principal='User:alice', allow=True, pattern=Pattern.LITERAL):
    return ACL(principal, '*', operation, ACLPermissionType.ALLOW if allow else ACLPermissionType.DENY, ResourcePattern(kind, name, pattern))


def write(server, name, topic, **more):
    """The error of one record, or None."""
    errors = []
    producer = confluent_kafka.Producer(settings(server, name, **more))
    producer.produce(topic, b'v', callback=lambda e, m: errors.append(e.code() if e else None))
    producer.flush(20)
    expect(len(errors) == 1, 'no answer about the record')
    return errors[0]


def read(server, name, topic, group):
    """The first value, or the error."""
    consumer = confluent_kafka.Consumer(settings(server, name, **{'group.id': group, 'auto.offset.reset': 'earliest',
                                                                  'allow.auto.create.topics': False}))
    consumer.subscribe([topic])
    got = wait_for('a record or an error', lambda: consumer.poll(0.5), 30)
    consumer.close()
    return got.error().code() if got.error() else got.value()


def nothing_is_allowed_at_first(server):
    root = admin(server, 'admin')
    root.create_topics([NewTopic('orders', 1, 1), NewTopic('orders.new', 1, 1), NewTopic('secret', 1, 1)])
    root.close()
    expect(write(server, 'alice', 'orders') == KafkaError.TOPIC_AUTHORIZATION_FAILED, 'alice writes')
    expect(write(server, 'alice', 'unknown') == KafkaError.TOPIC_AUTHORIZATION_FAILED, 'alice makes a topic')
    expect(read(server, 'alice', 'orders', 'g') in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED),
           'alice reads')
    expect(write(server, 'admin', 'orders') is None, 'the super user writes')
    seen = confluent_kafka.Producer(settings(server, 'alice')).list_topics(timeout=20).topics
    expect(not seen, 'alice sees %s' % list(seen))


def only_who_may_makes_rules(server):
    alice = admin(server, 'alice')
    done = alice.create_acls([rule(ResourceType.TOPIC, 'orders', ACLOperation.ALL)])
    expect(not done['succeeded'] and len(done['failed']) == 1, done)
    alice.close()


def rules_allow(server):
    root = admin(server, 'admin')
    done = root.create_acls([
        rule(ResourceType.TOPIC, 'orders', ACLOperation.WRITE, pattern=Pattern.PREFIXED),
        rule(ResourceType.TOPIC, 'orders', ACLOperation.READ),
        rule(ResourceType.GROUP, 'readers', ACLOperation.READ),
        rule(ResourceType.TRANSACTIONAL_ID, 'alice-', ACLOperation.WRITE, pattern=Pattern.PREFIXED),
    ])
    expect(len(done['succeeded']) == 4, done)
    root.close()
    expect(write(server, 'alice', 'orders') is None, 'orders')
    expect(write(server, 'alice', 'orders.new') is None, 'by its prefix')
    expect(write(server, 'alice', 'orders', **{'enable.idempotence': True}) is None, 'idempotent')
    expect(write(server, 'alice', 'secret') == KafkaError.TOPIC_AUTHORIZATION_FAILED, 'secret')
    expect(write(server, 'bob', 'orders') == KafkaError.TOPIC_AUTHORIZATION_FAILED, 'bob')
    expect(read(server, 'alice', 'orders', 'readers') == b'v', 'the group may read')
    expect(read(server, 'alice', 'orders', 'others') == KafkaError.GROUP_AUTHORIZATION_FAILED, 'another group')
    seen = sorted(confluent_kafka.Producer(settings(server, 'alice')).list_topics(timeout=20).topics)
    expect(seen == ['orders', 'orders.new'], 'alice sees %s' % seen)


def transactions_need_their_id(server):
    producer = confluent_kafka.Producer(settings(server, 'alice', **{'transactional.id': 'alice-1'}))
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce('orders', b'in a transaction')
    producer.commit_transaction(20)
    other = confluent_kafka.Producer(settings(server, 'alice', **{'transactional.id': 'bob-1'}))
    try:
        other.init_transactions(20)
        raise AssertionError('alice takes another transactional id')
    except confluent_kafka.KafkaException as e:
        expect(e.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, e)


def a_rule_that_denies_wins_and_all_last(server):
    root = admin(server, 'admin')
    root.create_acls([rule(ResourceType.TOPIC, 'orders.new', ACLOperation.WRITE, principal='User:*', allow=False)])
    expect(write(server, 'alice', 'orders.new') == KafkaError.TOPIC_AUTHORIZATION_FAILED, 'denied')
    root.close()
    server.stop()
    server.start()
    expect(write(server, 'alice', 'orders.new') == KafkaError.TOPIC_AUTHORIZATION_FAILED, 'denied after a restart')
    expect(write(server, 'alice', 'orders') is None, 'allowed after a restart')


def rules_are_described_and_deleted(server):
    root = admin(server, 'admin')
    everything = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY,
                           ResourcePatternFilter(ResourceType.ANY, None, Pattern.ANY))
    acls, error = root.describe_acls(everything)
    expect(error is kafka.errors.NoError and len(acls) == 5, acls)
    alices = ACLFilter('User:alice', None, ACLOperation.ANY, ACLPermissionType.ANY,
                       ResourcePatternFilter(ResourceType.TOPIC, None, Pattern.ANY))
    deleted = root.delete_acls([alices])
    expect(len(deleted[0][1]) == 2, deleted)
    expect(len(root.describe_acls(everything)[0]) == 3, 'what is left')
    root.close()
    expect(write(server, 'alice', 'orders') == KafkaError.TOPIC_AUTHORIZATION_FAILED, 'no longer allowed')


def the_servers_own_commands_stay(server):
    expect('orders' in server.smack('topic', 'list'), 'smack topic list')


run([nothing_is_allowed_at_first, only_who_may_makes_rules, rules_allow, transactions_need_their_id, a_rule_that_denies_wins_and_all_last,
     rules_are_described_and_deleted, the_servers_own_commands_stay], Ruled())
