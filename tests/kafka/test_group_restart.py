#!/usr/bin/python3
# platform: own
"""Consumer groups over restarts: members of both protocols go on where they were, without a rebalance, also after a kill; ListGroups and
DescribeGroups show what was there before; what is deleted stays away."""
import os
import sys
import time

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'differential'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from client import Connection  # noqa: E402
from common import Server, expect, run, wait_for  # noqa: E402
from layouts import APIS  # noqa: E402


class Fixed(Server):
    """On one port for Kafka, so that clients find it again."""

    fixed = False

    def start(self):
        super().start()
        if self.fixed:
            return
        self.fixed = True
        port = self.kafka.rsplit(':', 1)[1]
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write('kafka.advertise = 127.0.0.1:%s\n[listener again]\naddress = 127.0.0.1\nport = %s\n' % (port, port))


def ask(server, api, version, body):
    host, port = server.kafka.rsplit(':', 1)
    c = Connection((host, int(port)))
    c.send(APIS[api], version, body)
    answer = c.receive()
    c.close()
    return answer


def groups(server):
    return {g['group_id']: (g['group_type'], g['group_state'], g['protocol_type']) for g in ask(server, 'list_groups', 5, {})['groups']}


def heartbeat(server, member, epoch, owned=None, **more):
    said = {'group_id': 'new', 'member_id': member, 'member_epoch': epoch, 'topic_partitions': owned, 'subscribed_topic_names': None,
            'rebalance_timeout_ms': -1, **more}
    if epoch == 0:
        said.update(rebalance_timeout_ms=30000, subscribed_topic_names=['t'], topic_partitions=[])
    return ask(server, 'consumer_group_heartbeat', 1, said)


def partitions(answer):
    return sorted(p for t in (answer['assignment'] or {'topic_partitions': []})['topic_partitions'] for p in t['partitions'])


def topics_are_there(server):
    admin = AdminClient({'bootstrap.servers': server.kafka})
    admin.create_topics([NewTopic('t', 4, 1)])['t'].result(30)


def classic(server, member='', generation=None, instance=None):
    """Join and sync as the only member."""
    while generation is None:
        joined = ask(server, 'join_group', 7, {'group_id': 'old', 'session_timeout_ms': 30000, 'rebalance_timeout_ms': 30000,
                                               'member_id': member, 'group_instance_id': instance, 'protocol_type': 'consumer',
                                               'protocols': [{'name': 'range', 'metadata': b'subscribed'}]})
        member = joined['member_id']
        if joined['error_code'] == 0:
            generation = joined['generation_id']
        else:
            expect(joined['error_code'] == 79, joined)
    synced = ask(server, 'sync_group', 3, {'group_id': 'old', 'generation_id': generation, 'member_id': member, 'group_instance_id': instance,
                                           'assignments': [{'member_id': member, 'assignment': b'assigned'}]})
    expect(synced['error_code'] == 0 and synced['assignment'] == b'assigned', synced)
    return member, generation


def members_go_on(server):
    member, generation = classic(server)
    a = heartbeat(server, 'member-a', 0)
    expect(a['error_code'] == 0 and partitions(a) == [0, 1, 2, 3], a)
    topic = a['assignment']['topic_partitions'][0]['topic_id']
    b = heartbeat(server, 'member-b', 0, instance_id='static-b')
    expect(b['error_code'] == 0 and partitions(b) == [], b)  # all is still with the first
    a = heartbeat(server, 'member-a', a['member_epoch'])
    kept = partitions(a)
    expect(len(kept) == 2, a)
    for end in (server.stop, server.kill):
        end()
        server.start()
        expect(groups(server) == {'old': ('classic', 'Stable', 'consumer'), 'new': ('consumer', 'Reconciling', 'consumer')}, groups(server))
        beat = ask(server, 'heartbeat', 3, {'group_id': 'old', 'generation_id': generation, 'member_id': member})
        expect(beat['error_code'] == 0, beat)
        described = ask(server, 'describe_groups', 5, {'groups': ['old']})['groups'][0]
        expect([(m['member_id'], m['member_metadata'], m['member_assignment']) for m in described['members']] ==
               [(member, b'subscribed', b'assigned')], described)
        one = ask(server, 'consumer_group_describe', 1, {'group_ids': ['new']})['groups'][0]
        expect(sorted((m['member_id'], m['instance_id'], m['member_epoch']) for m in one['members']) ==
               [('member-a', None, a['member_epoch']), ('member-b', 'static-b', b['member_epoch'])], one)
    # The first gives back what it must: both come to their targets, in the same epochs as without restarts.
    a = heartbeat(server, 'member-a', a['member_epoch'], [{'topic_id': topic, 'partitions': kept}])
    expect(a['error_code'] == 0, a)
    b = heartbeat(server, 'member-b', b['member_epoch'], [], instance_id='static-b')
    expect(b['error_code'] == 0 and sorted(partitions(b) + kept) == [0, 1, 2, 3], (a, b))
    expect(b['member_epoch'] == a['member_epoch'], (a, b))
    server.kill()
    server.start()
    expect(groups(server)['new'][1] == 'Stable', groups(server))
    again = heartbeat(server, 'member-a', a['member_epoch'], [{'topic_id': topic, 'partitions': kept}])
    expect(again['error_code'] == 0 and again['member_epoch'] == a['member_epoch'], again)


def what_is_empty_or_deleted_stays_so(server):
    for member in ('member-a', 'member-b'):
        left = heartbeat(server, member, -1, **({'instance_id': 'static-b'} if member == 'member-b' else {}))
        expect(left['error_code'] == 0, left)
    server.kill()
    server.start()
    expect(groups(server)['new'] == ('consumer', 'Empty', 'consumer'), groups(server))
    expect(ask(server, 'delete_groups', 2, {'group_names': ['new', 'old']})['results'] ==
           [{'group_id': 'new', 'error_code': 0}, {'group_id': 'old', 'error_code': 68}], 'delete')
    member = ask(server, 'describe_groups', 5, {'groups': ['old']})['groups'][0]['members'][0]['member_id']
    expect(ask(server, 'leave_group', 2, {'group_id': 'old', 'member_id': member})['error_code'] == 0, 'leave')
    server.kill()
    server.start()
    expect(groups(server) == {'old': ('classic', 'Empty', 'consumer')}, groups(server))
    expect(ask(server, 'delete_groups', 2, {'group_names': ['old']})['results'][0]['error_code'] == 0, 'delete')
    server.stop()
    server.start()
    expect(groups(server) == {}, groups(server))


def a_client_goes_on_without_a_rebalance(server):
    told = []
    c = confluent_kafka.Consumer({'bootstrap.servers': server.kafka, 'group.id': 'client', 'session.timeout.ms': 45000,
                                  'heartbeat.interval.ms': 500, 'auto.offset.reset': 'earliest', 'reconnect.backoff.max.ms': 500})
    c.subscribe(['t'], on_assign=lambda _, p: told.append(len(p)), on_revoke=lambda _, p: told.append(-len(p)))
    wait_for('the assignment', lambda: c.poll(0.1) or told == [4])
    state = ask(server, 'describe_groups', 5, {'groups': ['client']})['groups'][0]
    server.kill()
    server.start()
    p = confluent_kafka.Producer({'bootstrap.servers': server.kafka})
    p.produce('t', b'after the restart')
    p.flush(20)
    seen = []

    def poll():
        m = c.poll(0.2)
        if m is not None and not m.error():
            seen.append(m.value())
        return seen
    wait_for('the record', poll, 60)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        c.poll(0.1)
    expect(told == [4], 'rebalanced: %s' % told)
    now = ask(server, 'describe_groups', 5, {'groups': ['client']})['groups'][0]
    expect([m['member_id'] for m in now['members']] == [m['member_id'] for m in state['members']], (state, now))
    c.close()


run([topics_are_there, members_go_on, what_is_empty_or_deleted_stays_so, a_client_goes_on_without_a_rebalance], Fixed())
