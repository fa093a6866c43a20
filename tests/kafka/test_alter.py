#!/usr/bin/python3
# platform: own
"""Topics that change while clients use them: configs, partitions, where they begin; and that all of it survives a kill."""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from common import Server, expect, run, wait_for  # noqa: E402
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic  # noqa: E402
from kafka import KafkaAdminClient  # noqa: E402
from kafka.admin import ConfigResource as PlainResource, ConfigResourceType  # noqa: E402


ADMINS = {}  # a client that nobody holds drops its answers


def admin(server):
    return ADMINS.setdefault(server.kafka, AdminClient({'bootstrap.servers': server.kafka}))


def made(server, name, partitions=1):
    for future in admin(server).create_topics([NewTopic(name, partitions, 1)]).values():
        future.result()


def config(server, topic, name):
    resource = ConfigResource('topic', topic)
    return admin(server).describe_configs([resource])[resource].result()[name].value


def alter(server, topic, **values):
    resource = ConfigResource('topic', topic, set_config={k.replace('_', '.'): v for k, v in values.items()})
    return admin(server).alter_configs([resource])[resource]


def produce(server, topic, count, size=10, partition=0):
    failed = []
    producer = Producer({'bootstrap.servers': server.kafka, 'linger.ms': 0, 'message.max.bytes': 4000000})
    for i in range(count):
        producer.produce(topic, b'%d' % i + b'x' * size, partition=partition, on_delivery=lambda e, m: failed.append(e) if e else None)
    expect(producer.flush(30) == 0, 'not delivered')
    return failed


def configs_are_changed_in_force_and_kept(server):
    made(server, 'changing')
    expect(not produce(server, 'changing', 1, 500000), 'half a megabyte')
    alter(server, 'changing', max_message_bytes='1000', retention_ms='86400000').result()
    expect(config(server, 'changing', 'max.message.bytes') == '1000', 'shown')
    errors = produce(server, 'changing', 1, 5000)
    expect(errors and errors[0].name() == 'MSG_SIZE_TOO_LARGE', errors)
    # All that is not named goes back to its default.
    alter(server, 'changing', retention_ms='3600000').result()
    expect(config(server, 'changing', 'max.message.bytes') == '1048588', 'the default again')
    expect(not produce(server, 'changing', 1, 5000), 'allowed again')
    for wrong in ({'retention_ms': 'soon'}, {'no_such_config': '1'}):
        try:
            alter(server, 'changing', **wrong).result()
            raise AssertionError('%s was taken' % wrong)
        except KafkaException as error:
            expect(error.args[0].name() == 'INVALID_CONFIG', error)
    expect(config(server, 'changing', 'retention.ms') == '3600000', 'as before the mistakes')
    server.kill()
    server.start()
    expect(config(server, 'changing', 'retention.ms') == '3600000', 'kept')


def the_plain_client_changes_configs_too(server):
    made(server, 'plain')
    client = KafkaAdminClient(bootstrap_servers=server.kafka)
    client.alter_configs([PlainResource(ConfigResourceType.TOPIC, 'plain', configs={'segment.bytes': '1048576'})])
    expect(config(server, 'plain', 'segment.bytes') == '1048576', 'kafka-python')
    client.close()


def partitions_grow(server):
    made(server, 'growing', 2)
    expect(not produce(server, 'growing', 10, partition=1), 'before')
    admin(server).create_partitions([NewPartitions('growing', 5)])['growing'].result()
    metadata = admin(server).list_topics('growing').topics['growing']
    expect(sorted(metadata.partitions) == [0, 1, 2, 3, 4], metadata.partitions)
    expect(not produce(server, 'growing', 10, partition=4), 'the new one')
    for count in (5, 3):
        try:
            admin(server).create_partitions([NewPartitions('growing', count)])['growing'].result()
            raise AssertionError('%d partitions were taken' % count)
        except KafkaException as error:
            expect(error.args[0].name() == 'INVALID_PARTITIONS', error)
    server.kill()
    server.start()
    expect(watermarks(server, 'growing', 1) == (0, 10) and watermarks(server, 'growing', 4) == (0, 10), 'kept')
    server.smack('topic', 'alter', 'growing', '--partitions', '6', '--config', 'retention.ms=1000000')
    expect('6' in server.smack('topic', 'describe', 'growing'), 'smack topic alter')
    expect(config(server, 'growing', 'retention.ms') == '1000000', 'smack topic alter')
    server.smack('topic', 'alter', 'growing', '--config', 'retention.ms=')
    expect(config(server, 'growing', 'retention.ms') == '-1', 'back to the default')
    expect('no topic' in server.smack('topic', 'alter', 'none', '--partitions', '6', status=1), 'unknown')


def watermarks(server, topic, partition):
    consumer = Consumer({'bootstrap.servers': server.kafka, 'group.id': 'x'})
    found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    consumer.close()
    return found


def delete_records(server, topic, partition, offset):
    """(partition, low watermark, error), by the wire: Debian's clients have no call for it."""
    name = topic.encode()
    body = struct.pack('>hhih', 21, 1, 1, -1) + struct.pack('>ih', 1, len(name)) + name + struct.pack('>iiqi', 1, partition, offset, 5000)
    host, port = server.kafka.rsplit(':', 1)
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(struct.pack('>i', len(body)) + body)
        answer = connection.makefile('rb')
        data = answer.read(struct.unpack('>i', answer.read(4))[0])
    return struct.unpack('>iqh', data[-14:])


def records_are_deleted_up_to_an_offset(server):
    made(server, 'shrinking')
    expect(not produce(server, 'shrinking', 100), 'produced')
    expect(delete_records(server, 'shrinking', 0, 40) == (0, 40, 0), 'deleted')
    expect(watermarks(server, 'shrinking', 0) == (40, 100), watermarks(server, 'shrinking', 0))
    expect(delete_records(server, 'shrinking', 0, 10) == (0, 40, 0), 'never backwards')
    expect(delete_records(server, 'shrinking', 0, 101)[2] == 1, 'beyond the end')
    expect(delete_records(server, 'shrinking', 7, 1)[2] == 3, 'no such partition')
    consumer = Consumer({'bootstrap.servers': server.kafka, 'group.id': 'y', 'auto.offset.reset': 'earliest'})
    consumer.assign([TopicPartition('shrinking', 0, 0)])  # before the start: the reset takes it there
    first = wait_for('a record', lambda: consumer.poll(1))
    while first.error():
        first = wait_for('a record', lambda: consumer.poll(1))
    expect(first.offset() == 40, first.offset())
    consumer.close()
    server.kill()
    server.start()
    expect(watermarks(server, 'shrinking', 0) == (40, 100), 'kept')
    expect(delete_records(server, 'shrinking', 0, -1) == (0, 100, 0), 'all')
    expect(not produce(server, 'shrinking', 1), 'and on')
    expect(watermarks(server, 'shrinking', 0) == (100, 101), 'and on')


run([configs_are_changed_in_force_and_kept, the_plain_client_changes_configs_too, partitions_grow, records_are_deleted_up_to_an_offset],
    Server())
