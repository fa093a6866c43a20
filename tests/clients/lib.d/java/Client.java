import java.time.Duration;
import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/** Topics, all codecs, idempotence, a group with a member that leaves, static members, admin calls: by Kafka's own client. */
public class Client {
    static String broker;

    static void expect(boolean condition, String text) {
        if (!condition)
            throw new AssertionError(text);
    }

    static Properties properties(Object... pairs) {
        Properties p = new Properties();
        p.put("bootstrap.servers", broker);
        for (int i = 0; i < pairs.length; i += 2)
            p.put(pairs[i], pairs[i + 1]);
        return p;
    }

    static KafkaConsumer<String, String> consumer(String group, Object... more) {
        Properties p = properties(more);
        p.put("group.id", group);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    static Set<String> produce(String topic) throws Exception {
        Set<String> want = new HashSet<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            try (KafkaProducer<String, String> producer =
                     new KafkaProducer<>(properties("compression.type", codec, "acks", "all"), new StringSerializer(), new StringSerializer())) {
                for (int i = 0; i < 200; i++) {
                    String value = codec + " " + i;
                    ProducerRecord<String, String> record = new ProducerRecord<>(topic, "" + i, value);
                    record.headers().add(new RecordHeader("codec", codec.getBytes()));
                    producer.send(record, (metadata, error) -> {
                        if (error != null)
                            throw new AssertionError(error);
                    });
                    want.add(value);
                }
                producer.send(new ProducerRecord<>(topic, codec, null)).get(30, TimeUnit.SECONDS);
            }
        }
        return want;
    }

    /** Two members; the second leaves on the way. Assignors eager and cooperative, dynamic and static members. */
    static void consume(String topic, String group, Set<String> want, Object... more) {
        Set<String> got = new HashSet<>();
        long end = System.nanoTime() + 300_000_000_000L;
        KafkaConsumer<String, String> first = consumer(group, more), second = consumer(group, more);
        first.subscribe(List.of(topic));
        second.subscribe(List.of(topic));
        boolean both = true;
        for (int round = 0; got.size() < want.size(); round++) {
            expect(System.nanoTime() < end, group + ": " + got.size() + " of " + want.size());
            for (ConsumerRecord<String, String> r : first.poll(Duration.ofMillis(100)))
                take(got, r);
            if (both)
                for (ConsumerRecord<String, String> r : second.poll(Duration.ofMillis(100)))
                    take(got, r);
            first.commitSync();
            if (both && round == 10) {
                second.commitSync();
                second.close();
                both = false;
            }
        }
        first.close();
        if (both)
            second.close();
        expect(got.equals(want), group + ": something else was read");
    }

    static void take(Set<String> got, ConsumerRecord<String, String> r) {
        if (r.value() == null)
            return;
        expect(new String(r.headers().lastHeader("codec").value()).equals(r.value().split(" ")[0]), "header of " + r);
        got.add(r.value());
    }

    static void administer(Admin admin, String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "777777"), AlterConfigOp.OpType.SET)))).all().get();
        expect(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value().equals("777777"), "retention.ms");
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
        expect(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 5, "partitions");
        TopicPartition first = new TopicPartition(topic, 0);
        long low = admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(1))).lowWatermarks().get(first).get().lowWatermark();
        expect(low == 1, "low watermark " + low);
        expect(admin.listOffsets(Map.of(first, OffsetSpec.earliest())).all().get().get(first).offset() == 1, "earliest");
        expect(!admin.describeLogDirs(admin.describeCluster().nodes().get().stream().map(n -> n.id()).toList()).allDescriptions().get().isEmpty(), "log directories");
        expect(admin.listPartitionReassignments().reassignments().get().isEmpty(), "reassignments");
        expect(!admin.listConfigResources().all().get().isEmpty(), "config resources");
        expect(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(topic)), "groups");
        expect(admin.describeClassicGroups(List.of(topic)).all().get().containsKey(topic), "the group");
        expect(!admin.listConsumerGroupOffsets(topic).partitionsToOffsetAndMetadata().get().isEmpty(), "offsets");
        admin.deleteConsumerGroups(List.of(topic)).all().get();
        admin.deleteTopics(List.of(topic)).all().get();
    }

    public static void main(String[] args) throws Exception {
        broker = args[0];
        String topic = "java-" + System.nanoTime();
        try (Admin admin = Admin.create(properties())) {
            admin.createTopics(List.of(new NewTopic(topic, 3, (short)1).configs(Map.of("cleanup.policy", "delete")))).all().get();
            Set<String> want = produce(topic);
            consume(topic, topic, want);
            consume(topic, topic + "-cooperative", want, "partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
            try (KafkaConsumer<String, String> fixed = consumer(topic + "-static", "group.instance.id", "one")) {
                fixed.subscribe(List.of(topic));
                long end = System.nanoTime() + 300_000_000_000L;
                while (fixed.poll(Duration.ofMillis(200)).isEmpty())
                    expect(System.nanoTime() < end, "a static member reads nothing");
            }
            administer(admin, topic);
        }
        System.out.println("java client: ok");
    }
}
