import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;

/** A Kafka Streams program, exactly_once_v2: words are counted through a repartition topic and a state store, and the sums must be exact
 * whatever becomes of the processes that count.
 * Streams BROKER topics RUN | produce RUN N | app RUN STATE_DIR | check RUN N */
public class Streams {
    static final int WORDS = 37;

    static Properties properties(String broker, Object... pairs) {
        Properties p = new Properties();
        p.put("bootstrap.servers", broker);
        for (int i = 0; i < pairs.length; i += 2)
            p.put(pairs[i], pairs[i + 1]);
        return p;
    }

    static void topics(String broker, String run) throws Exception {
        try (Admin admin = Admin.create(properties(broker))) {
            admin.createTopics(List.of(new NewTopic(run + "-lines", 4, (short) 1), new NewTopic(run + "-counts", 3, (short) 1))).all().get();
        }
    }

    /** Line i holds three words. */
    static void produce(String broker, String run, int count) throws Exception {
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(properties(broker, "linger.ms", "5"), new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < count; i++) {
                producer.send(new ProducerRecord<>(run + "-lines", "line" + i,
                                                   "w" + i % WORDS + " w" + i * 7 % WORDS + " w" + i * i % WORDS));
                if (i % 500 == 499)
                    Thread.sleep(20); // so that the kills fall into the work
            }
        }
    }

    static void app(String broker, String run, String dir) throws Exception {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(run + "-lines", Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count()
            .toStream()
            .to(run + "-counts", Produced.with(Serdes.String(), Serdes.Long()));
        KafkaStreams streams = new KafkaStreams(
            builder.build(), properties(broker, "application.id", run, "processing.guarantee", "exactly_once_v2", "state.dir", dir,
                                        "commit.interval.ms", "100", "num.stream.threads", "2", "replication.factor", "1",
                                        "session.timeout.ms", "6000", "heartbeat.interval.ms", "1000", "transaction.timeout.ms", "8000"));
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            System.exit(3);
            return null;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
        streams.start();
        Thread.sleep(Long.MAX_VALUE);
    }

    static void check(String broker, String run, int count) throws Exception {
        long[] want = new long[WORDS];
        for (int i = 0; i < count; i++) {
            want[i % WORDS]++;
            want[i * 7 % WORDS]++;
            want[Math.floorMod(i * i, WORDS)]++;
        }
        long[] got = new long[WORDS];
        long stop = System.nanoTime() + 300_000_000_000L;
        try (KafkaConsumer<String, Long> consumer =
                 new KafkaConsumer<>(properties(broker, "isolation.level", "read_committed", "enable.auto.commit", "false"),
                                     new StringDeserializer(), new LongDeserializer())) {
            List<TopicPartition> all = List.of(new TopicPartition(run + "-counts", 0), new TopicPartition(run + "-counts", 1),
                                               new TopicPartition(run + "-counts", 2));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            while (!Arrays.equals(want, got)) {
                if (System.nanoTime() > stop)
                    throw new AssertionError("counts " + Arrays.toString(got) + ", not " + Arrays.toString(want));
                for (ConsumerRecord<String, Long> r : consumer.poll(Duration.ofMillis(500))) {
                    int word = Integer.parseInt(r.key().substring(1));
                    if (r.value() > want[word])
                        throw new AssertionError(r.key() + " was counted " + r.value() + " times, it came " + want[word] + " times");
                    if (r.value() < got[word])
                        throw new AssertionError(r.key() + " goes back from " + got[word] + " to " + r.value());
                    got[word] = r.value();
                }
            }
        }
    }

    public static void main(String[] args) throws Exception {
        String broker = args[0], run = args[2];
        switch (args[1]) {
        case "topics": topics(broker, run); break;
        case "produce": produce(broker, run, Integer.parseInt(args[3])); break;
        case "app": app(broker, run, args[3]); break;
        case "check": check(broker, run, Integer.parseInt(args[3])); break;
        default: throw new IllegalArgumentException(args[1]);
        }
    }
}
