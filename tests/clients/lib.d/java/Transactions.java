import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

/** Transactions by Kafka's own client, at the broker's transaction.version. */
public class Transactions {
    static String broker;
    static final String RUN = "" + System.nanoTime();

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

    static KafkaProducer<String, String> producer(String id, Object... more) {
        Properties p = properties(more);
        p.put("transactional.id", id + RUN);
        KafkaProducer<String, String> producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        return producer;
    }

    static KafkaConsumer<String, String> consumer(String group, String isolation) {
        return new KafkaConsumer<>(properties("group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", "false",
                                              "isolation.level", isolation), new StringDeserializer(), new StringDeserializer());
    }

    /** All values that are there to be read, by partition and offset. */
    static List<String> read(String topic, String isolation) {
        List<String> got = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = consumer("none", isolation)) {
            List<TopicPartition> all = consumer.partitionsFor(topic).stream().map(i -> new TopicPartition(topic, i.partition()))
                                           .sorted(Comparator.comparing(TopicPartition::partition)).toList();
            for (TopicPartition p : all) {
                consumer.assign(List.of(p));
                consumer.seekToBeginning(List.of(p));
                long end = consumer.endOffsets(List.of(p)).get(p), stop = System.nanoTime() + 300_000_000_000L;
                while (consumer.position(p) < end) {
                    expect(System.nanoTime() < stop, p + " ends at " + consumer.position(p) + ", not " + end);
                    consumer.poll(Duration.ofMillis(100)).forEach(r -> got.add(r.value()));
                }
            }
        }
        return got;
    }

    static void commitAndAbort(String topic) {
        try (KafkaProducer<String, String> producer = producer("simple")) {
            for (int i = 0; i < 6; i++) {
                producer.beginTransaction();
                for (int k = 0; k < 2; k++)
                    producer.send(new ProducerRecord<>(topic, k, null, i + "." + k));
                producer.flush();
                if (i % 3 == 1)
                    producer.abortTransaction();
                else
                    producer.commitTransaction();
            }
        }
        expect(read(topic, "read_committed").equals(List.of("0.0", "2.0", "3.0", "5.0", "0.1", "2.1", "3.1", "5.1")), "committed: " + read(topic, "read_committed"));
        expect(read(topic, "read_uncommitted").size() == 12, "all: " + read(topic, "read_uncommitted"));
    }

    /** What is read of one topic is written to the other, once, though each third transaction is aborted and done again. */
    static void transform(String from, String to) {
        try (KafkaProducer<String, String> plain = new KafkaProducer<>(properties(), new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 300; i++)
                plain.send(new ProducerRecord<>(from, 0, null, "" + i));
        }
        try (KafkaProducer<String, String> producer = producer("transform"); KafkaConsumer<String, String> consumer = consumer("transform" + RUN, "read_committed")) {
            consumer.subscribe(List.of(from));
            long stop = System.nanoTime() + 300_000_000_000L;
            for (int done = 0, round = 0; done < 300; round++) {
                expect(System.nanoTime() < stop, "done: " + done);
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                if (records.isEmpty())
                    continue;
                Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                producer.beginTransaction();
                int count = 0;
                for (ConsumerRecord<String, String> r : records) {
                    if (count == 40)
                        break;
                    count++;
                    producer.send(new ProducerRecord<>(to, 0, null, "+" + r.value()));
                    next.put(new TopicPartition(from, r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
                producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                if (round % 3 == 0) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                    done += count;
                }
                Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
                consumer.assignment().forEach(p -> {
                    OffsetAndMetadata at = committed.get(p);
                    consumer.seek(p, at == null ? 0 : at.offset());
                });
            }
        }
        List<String> want = new ArrayList<>();
        for (int i = 0; i < 300; i++)
            want.add("+" + i);
        expect(read(to, "read_committed").equals(want), "transformed: " + read(to, "read_committed"));
    }

    static void fence(String topic) {
        KafkaProducer<String, String> old = producer("fence");
        old.beginTransaction();
        old.send(new ProducerRecord<>(topic, 0, null, "zombie"));
        old.flush();
        try (KafkaProducer<String, String> young = producer("fence")) {
            young.beginTransaction();
            young.send(new ProducerRecord<>(topic, 0, null, "young"));
            young.commitTransaction();
        }
        try {
            old.send(new ProducerRecord<>(topic, 0, null, "late"));
            old.commitTransaction();
            throw new AssertionError("a fenced producer has committed");
        } catch (ProducerFencedException | InvalidProducerEpochException e) {
            old.close(Duration.ZERO);
        }
        expect(read(topic, "read_committed").equals(List.of("young")), "after fencing: " + read(topic, "read_committed"));
    }

    static void timeOut(Admin admin, String topic) throws Exception {
        KafkaProducer<String, String> producer = producer("slow", "transaction.timeout.ms", 1000);
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, 0, null, "too slow"));
        producer.flush();
        TransactionDescription open = admin.describeTransactions(List.of("slow" + RUN)).description("slow" + RUN).get();
        expect(open.state() == TransactionState.ONGOING && open.topicPartitions().equals(Set.of(new TopicPartition(topic, 0))), "open: " + open);
        expect(admin.listTransactions().all().get().stream().anyMatch(t -> t.transactionalId().equals("slow" + RUN)), "the list");
        TopicPartition partition = new TopicPartition(topic, 0);
        ProducerState state = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers().get(0);
        expect(state.currentTransactionStartOffset().isPresent() && state.producerId() == open.producerId(), "producer: " + state);
        long stop = System.nanoTime() + 300_000_000_000L;
        while (admin.describeTransactions(List.of("slow" + RUN)).description("slow" + RUN).get().state() != TransactionState.COMPLETE_ABORT) {
            expect(System.nanoTime() < stop, "its time is never up");
            Thread.sleep(100);
        }
        try {
            producer.commitTransaction();
            throw new AssertionError("a transaction was committed after its time");
        } catch (ProducerFencedException | InvalidProducerEpochException | InvalidTxnStateException e) {
            producer.close(Duration.ZERO);
        }
        expect(read(topic, "read_committed").isEmpty(), "after the time: " + read(topic, "read_committed"));
    }

    public static void main(String[] args) throws Exception {
        broker = args[0];
        try (Admin admin = Admin.create(properties())) {
            String[] topics = new String[5];
            for (int i = 0; i < topics.length; i++)
                topics[i] = "txn-" + i + "-" + RUN;
            admin.createTopics(Arrays.stream(topics).map(t -> new NewTopic(t, 2, (short)1)).toList()).all().get();
            commitAndAbort(topics[0]);
            transform(topics[1], topics[2]);
            fence(topics[3]);
            timeOut(admin, topics[4]);
        }
        System.out.println("java transactions: ok");
    }
}
