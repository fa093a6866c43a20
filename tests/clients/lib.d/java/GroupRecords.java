/** A member of a group of each protocol, and what the coordinator keeps of them, read with Kafka's own decoder. Argument: broker. */
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;

public class GroupRecords {
    static KafkaConsumer<byte[], byte[]> member(String broker, String topic, String protocol) {
        var settings = new java.util.HashMap<String, Object>(Map.of("bootstrap.servers", broker, "group.id", topic + "-" + protocol,
            "group.protocol", protocol, "client.id", "of-" + protocol));
        var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(List.of(topic));
        long end = System.nanoTime() + 300_000_000_000L;
        while (consumer.assignment().isEmpty() && System.nanoTime() < end)
            consumer.poll(Duration.ofMillis(100));
        return consumer;
    }

    public static void main(String[] args) throws Exception {
        String topic = "records-" + ProcessHandle.current().pid();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get();
        }
        try (var classic = member(args[0], topic, "classic"); var modern = member(args[0], topic, "consumer")) {
            read(args[0], "GroupMetadataKey(group='" + topic + "-classic')=GroupMetadataValue(protocolType='consumer', generation=1, protocol='range'",
                "clientId='of-classic', clientHost='/127.0.0.1', rebalanceTimeout=300000, sessionTimeout=45000",
                "ConsumerGroupMetadataKey(groupId='" + topic + "-consumer')=ConsumerGroupMetadataValue(epoch=1",
                "clientId='of-consumer', clientHost='/127.0.0.1', subscribedTopicNames=[" + topic + "], subscribedTopicRegex=",
                "classicMemberMetadata=null", "ConsumerGroupTargetAssignmentMetadataValue(assignmentEpoch=1)",
                "ConsumerGroupCurrentMemberAssignmentValue(memberEpoch=1, previousMemberEpoch=0, state=0, assignedPartitions=[TopicPartitions(topicId=");
        }
        System.out.println("what is kept of groups reads as Kafka's: ok");
    }

    static void read(String broker, String... words) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", broker, "auto.offset.reset", "earliest", "exclude.internal.topics", "false");
        var serde = new GroupCoordinatorRecordSerde();
        var found = new TreeMap<String, String>();
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            int count = consumer.partitionsFor("__consumer_offsets").size();
            List<TopicPartition> all = IntStream.range(0, count).mapToObj(i -> new TopicPartition("__consumer_offsets", i)).toList();
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            consumer.assign(all);
            consumer.seekToBeginning(all);
            while (all.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    CoordinatorRecord record = serde.deserialize(java.nio.ByteBuffer.wrap(r.key()),
                        r.value() == null ? null : java.nio.ByteBuffer.wrap(r.value()));
                    String key = record.key().getClass().getSimpleName() + " " + record.key();
                    if (record.value() == null)
                        found.remove(key);
                    else
                        found.put(key, record.value().message().toString());
                }
            }
        }
        String text = found.toString();
        for (String word : words)
            if (!text.contains(word))
                throw new Exception("no " + word + " in " + text);
    }
}
