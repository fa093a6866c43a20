import java.io.File;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

/** Groups of the consumer protocol (KIP-848) by Kafka's own client: members that join, leave, die and come back, patterns, assignors. */
public class Groups {
    static String broker, run = "groups-" + Long.toHexString(System.nanoTime());
    static Admin admin;

    static void expect(boolean condition, String text) {
        if (!condition)
            throw new AssertionError(text);
    }

    static <E extends Throwable> void refused(Class<E> error, String what, Runnable body) {
        try {
            body.run();
        } catch (Throwable e) {
            Throwable cause = e instanceof RuntimeException && e.getCause() instanceof ExecutionException ? e.getCause().getCause() : e;
            expect(error.isInstance(cause), what + ": " + cause);
            return;
        }
        throw new AssertionError(what + ": no " + error.getSimpleName());
    }

    static <T> T get(org.apache.kafka.common.KafkaFuture<T> future) {
        try {
            return future.get(30, TimeUnit.SECONDS);
        } catch (Exception e) {
            throw new RuntimeException(e);
        }
    }

    static Properties properties(Object... pairs) {
        Properties p = new Properties();
        p.put("bootstrap.servers", broker);
        for (int i = 0; i < pairs.length; i += 2)
            p.put(pairs[i], pairs[i + 1]);
        return p;
    }

    /** A consumer and what it has read. */
    static class Member {
        final KafkaConsumer<String, String> consumer;
        final List<String> got = new ArrayList<>();
        int lost;

        Member(String group, Object... more) {
            Properties p = properties("group.id", group, "group.protocol", "consumer", "auto.offset.reset", "earliest", "enable.auto.commit",
                                      "false", "metadata.max.age.ms", "1000");
            p.putAll(properties(more));
            consumer = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
        }
        Member to(String... topics) {
            consumer.subscribe(List.of(topics), new ConsumerRebalanceListener() {
                public void onPartitionsAssigned(Collection<TopicPartition> parts) {}
                public void onPartitionsRevoked(Collection<TopicPartition> parts) {
                    consumer.commitSync();
                }
                public void onPartitionsLost(Collection<TopicPartition> parts) {
                    lost += parts.size();
                }
            });
            return this;
        }
        Member toPattern(String pattern) {
            consumer.subscribe(new SubscriptionPattern(pattern));
            return this;
        }
        Set<TopicPartition> has() {
            return consumer.assignment();
        }
    }

    static void poll(Member... members) {
        for (Member m : members)
            for (ConsumerRecord<String, String> r : m.consumer.poll(Duration.ofMillis(50)))
                m.got.add(r.value());
    }

    static void until(String what, Supplier<Boolean> done, Member... members) {
        long end = System.nanoTime() + 300_000_000_000L;
        while (!done.get()) {
            expect(System.nanoTime() < end, what + ": " + Arrays.stream(members).map(m -> m.has().toString()).collect(Collectors.joining(" | ")));
            poll(members);
        }
    }

    static boolean share(int partitions, Member... members) {
        Set<TopicPartition> all = new HashSet<>();
        int sum = 0;
        for (Member m : members) {
            all.addAll(m.has());
            sum += m.has().size();
        }
        return sum == partitions && all.size() == partitions;
    }

    static boolean evenly(int partitions, Member... members) {
        for (Member m : members)
            if (m.has().size() < partitions / members.length || m.has().size() > (partitions + members.length - 1) / members.length)
                return false;
        return share(partitions, members);
    }

    static void make(String topic, int partitions) {
        get(admin.createTopics(List.of(new NewTopic(topic, partitions, (short)1))).all());
    }

    static Set<String> produce(String topic, int count) {
        Set<String> want = new HashSet<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties("acks", "all"), new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < count; i++) {
                String value = topic + " " + i;
                producer.send(new ProducerRecord<>(topic, "" + i, value));
                want.add(value);
            }
        }
        return want;
    }

    static ConsumerGroupDescription describe(String group) {
        return get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
    }

    static void joinAndLeave() {
        String topic = run + "-t", group = run + "-join";
        make(topic, 6);
        Set<String> want = produce(topic, 600);
        Member a = new Member(group).to(topic), b = new Member(group).to(topic), c = new Member(group).to(topic);
        until("one member has all", () -> evenly(6, a), a);
        until("two members share", () -> evenly(6, a, b), a, b);
        until("three members share", () -> evenly(6, a, b, c), a, b, c);
        until("all is read", () -> a.got.size() + b.got.size() + c.got.size() >= 600, a, b, c);
        for (Member m : List.of(a, b, c))
            m.consumer.commitSync();
        ConsumerGroupDescription d = describe(group);
        expect(d.type() == GroupType.CONSUMER && d.groupState() == GroupState.STABLE && d.members().size() == 3, "description " + d);
        expect(d.partitionAssignor().equals("uniform"), "assignor " + d.partitionAssignor());
        for (MemberDescription m : d.members())
            expect(m.assignment().topicPartitions().size() == 2 && m.memberEpoch().get().equals(d.targetAssignmentEpoch().get()), "member " + m);
        expect(get(admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))).all()).stream().anyMatch(g -> g.groupId().equals(group)), "listed");
        expect(get(admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC))).all()).stream().noneMatch(g -> g.groupId().equals(group)), "not classic");
        refused(GroupNotEmptyException.class, "deleting a group with members", () -> get(admin.deleteConsumerGroups(List.of(group)).all()));
        refused(GroupIdNotFoundException.class, "describing it as classic", () -> get(admin.describeClassicGroups(List.of(group)).all()));
        b.consumer.close();
        until("two are left", () -> evenly(6, a, c), a, c);
        c.consumer.close();
        until("one is left", () -> evenly(6, a), a);
        Set<String> got = new HashSet<>(a.got);
        got.addAll(b.got);
        got.addAll(c.got);
        expect(got.equals(want), "something else was read");
        expect(a.got.size() + b.got.size() + c.got.size() == 600, "something was read twice");
        get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(9))).all());
        until("new partitions are noticed", () -> evenly(9, a), a);
        a.consumer.close();
        expect(a.lost + b.lost + c.lost == 0, "partitions were lost");
        expect(describe(group).groupState() == GroupState.EMPTY, "state of a left group " + describe(group));
        /* The same group by the classic protocol, then by the new one again: its offsets stay. */
        Properties classic = properties("group.id", group, "auto.offset.reset", "earliest");
        try (KafkaConsumer<String, String> old = new KafkaConsumer<>(classic, new StringDeserializer(), new StringDeserializer())) {
            old.subscribe(List.of(topic));
            for (long end = System.nanoTime() + 300_000_000_000L; old.assignment().size() < 9;) {
                expect(System.nanoTime() < end, "a classic member gets nothing: " + old.assignment());
                expect(old.poll(Duration.ofMillis(100)).isEmpty(), "a classic member reads what was committed");
            }
            expect(describe(group).type() == GroupType.CLASSIC, "type " + describe(group).type());
        }
        Member late = new Member(group).to(topic);
        until("the group is of the new protocol again", () -> evenly(9, late), late);
        for (int i = 0; i < 10; i++)
            poll(late);
        expect(late.got.isEmpty(), "the group read again what it had committed");
        late.consumer.close();
        get(admin.deleteConsumerGroups(List.of(group)).all());
        refused(GroupIdNotFoundException.class, "describing what was deleted", () -> describe(group));
    }

    static void range() {
        String x = run + "-x", y = run + "-y", group = run + "-range";
        make(x, 4);
        make(y, 4);
        Member a = new Member(group, "group.remote.assignor", "range").to(x, y), b = new Member(group, "group.remote.assignor", "range").to(x, y);
        until("ranges", () -> evenly(8, a, b), a, b);
        expect(describe(group).partitionAssignor().equals("range"), "assignor " + describe(group).partitionAssignor());
        for (Member m : List.of(a, b)) {
            Set<Integer> first = m.has().stream().filter(p -> p.topic().equals(x)).map(p -> p.partition()).collect(Collectors.toSet());
            Set<Integer> second = m.has().stream().filter(p -> p.topic().equals(y)).map(p -> p.partition()).collect(Collectors.toSet());
            expect(first.equals(second) && (first.equals(Set.of(0, 1)) || first.equals(Set.of(2, 3))), "ranges " + m.has());
        }
        a.consumer.close();
        b.consumer.close();
        Member odd = new Member(group, "group.remote.assignor", "nonesuch").to(x);
        refused(UnsupportedAssignorException.class, "an unknown assignor", () -> until("an error", () -> false, odd));
        odd.consumer.close();
    }

    static void patterns() {
        String group = run + "-pattern";
        make(run + "-p-1", 2);
        make(run + "-q-1", 2);
        Member a = new Member(group).toPattern("^" + run + "-[pr]-\\d+$"), b = new Member(group).toPattern("^" + run + "-[pr]-\\d+$");
        until("a pattern", () -> evenly(2, a, b), a, b);
        make(run + "-p-22", 2);
        make(run + "-p-x", 2);
        until("a new topic that matches", () -> evenly(4, a, b), a, b);
        get(admin.deleteTopics(List.of(run + "-p-1")).all());
        until("a topic that is gone", () -> evenly(2, a, b), a, b);
        a.consumer.close();
        b.consumer.close();
        Member wrong = new Member(group).toPattern("(ab");
        refused(InvalidRegularExpression.class, "a pattern that is none", () -> until("an error", () -> false, wrong));
        wrong.consumer.close();
    }

    static void statics() {
        String topic = run + "-s", group = run + "-static";
        make(topic, 4);
        Member a = new Member(group, "group.instance.id", "a").to(topic), b = new Member(group, "group.instance.id", "b").to(topic);
        until("static members share", () -> evenly(4, a, b), a, b);
        Set<TopicPartition> had = Set.copyOf(b.has());
        int epoch = describe(group).groupEpoch().get();
        Member twin = new Member(group, "group.instance.id", "b").to(topic);
        refused(UnreleasedInstanceIdException.class, "an instance that is there", () -> until("an error", () -> false, twin));
        twin.consumer.close();
        b.consumer.close();
        Member again = new Member(group, "group.instance.id", "b").to(topic);
        until("it comes back", () -> evenly(4, a, again), a, again);
        expect(again.has().equals(had), "it has other partitions: " + again.has() + ", before " + had);
        expect(describe(group).groupEpoch().get() == epoch, "its coming back moved the group");
        again.consumer.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
        until("it leaves for good", () -> evenly(4, a), a);
        Member c = new Member(group, "group.instance.id", "c").to(topic);
        until("another comes", () -> evenly(4, a, c), a, c);
        get(admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("c")))).all());
        until("it is removed", () -> a.has().size() == 4, a);
        try {
            c.consumer.close(CloseOptions.timeout(Duration.ofSeconds(1)));
        } catch (org.apache.kafka.common.KafkaException e) {
            expect(e.getCause() instanceof CommitFailedException, "a removed member's last commit: " + e);
        }
        a.consumer.close();
    }

    /** Consume, transform, produce: the offsets go with the transaction, under the member's epoch. */
    static void transactions() {
        String in = run + "-in", out = run + "-out", group = run + "-txn";
        make(in, 2);
        make(out, 1);
        Set<String> want = produce(in, 50);
        Member a = new Member(group, "isolation.level", "read_committed").to(in);
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(properties("transactional.id", run), new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            for (int seen = 0; seen < want.size();) {
                ConsumerRecords<String, String> records = a.consumer.poll(Duration.ofMillis(200));
                if (records.isEmpty())
                    continue;
                seen += records.count();
                producer.beginTransaction();
                for (ConsumerRecord<String, String> r : records)
                    producer.send(new ProducerRecord<>(out, r.value()));
                producer.sendOffsetsToTransaction(records.nextOffsets(), a.consumer.groupMetadata());
                producer.commitTransaction();
            }
            Map<TopicPartition, OffsetAndMetadata> none = Map.of(new TopicPartition(in, 0), new OffsetAndMetadata(0));
            producer.beginTransaction();
            refused(CommitFailedException.class, "offsets under a wrong epoch", () -> {
                producer.sendOffsetsToTransaction(none, new ConsumerGroupMetadata(group, 99, a.consumer.groupMetadata().memberId(), Optional.empty()));
                producer.commitTransaction();
            });
            producer.abortTransaction();
        }
        a.consumer.close();
        Member b = new Member(group, "isolation.level", "read_committed").to(in, out);
        until("what was transformed", () -> b.got.size() >= 50, b);
        expect(new HashSet<>(b.got).equals(want) && b.got.size() == 50, "transformed: " + b.got.size());
        b.consumer.close();
    }

    /** A group whose clients are changed over one by one, and back; nobody loses a partition or reads twice. */
    static void migrate(Class<?> assignor) {
        String topic = run + "-m-" + assignor.getSimpleName(), group = topic;
        Object[] classic = {"group.protocol", "classic", "partition.assignment.strategy", assignor.getName(), "heartbeat.interval.ms", "500"};
        make(topic, 6);
        produce(topic, 300);
        Member a = new Member(group, classic).to(topic), b = new Member(group, classic).to(topic);
        until("two classic members", () -> evenly(6, a, b), a, b);
        expect(describe(group).type() == GroupType.CLASSIC, "type " + describe(group).type());
        Member x = new Member(group).to(topic);
        until("a new one beside them", () -> evenly(6, a, b, x), a, b, x);
        ConsumerGroupDescription d = describe(group);
        expect(d.type() == GroupType.CONSUMER, "type " + d.type());
        expect(d.members().stream().filter(m -> m.upgraded().get()).count() == 1, "members " + d.members());
        Member c = new Member(group, classic).to(topic);
        until("a classic one comes", () -> evenly(6, a, b, c, x), a, b, c, x);
        b.consumer.close();
        until("a classic one leaves", () -> evenly(6, a, c, x), a, c, x);
        c.consumer.close();
        until("another leaves", () -> evenly(6, a, x), a, x);
        Member y = new Member(group).to(topic);
        until("another new one", () -> evenly(6, a, x, y), a, x, y);
        y.consumer.close();
        until("a new one leaves", () -> evenly(6, a, x), a, x);
        x.consumer.close();
        until("the last new one leaves", () -> evenly(6, a) && describe(group).type() == GroupType.CLASSIC, a);
        Member z = new Member(group).to(topic);
        until("once more", () -> evenly(6, a, z), a, z);
        a.consumer.close();
        until("all is new", () -> evenly(6, z), z);
        int sum = 0;
        for (Member m : List.of(a, b, c, x, y, z)) {
            expect(m.lost == 0, "partitions were lost");
            sum += m.got.size();
        }
        expect(sum == 300, "read " + sum);
        z.consumer.close();
    }

    /** A member whose process is killed: its partitions pass to the other when its session is over (45 s). */
    static void die(String self) throws Exception {
        String topic = run + "-d", group = run + "-die";
        make(topic, 2);
        Member a = new Member(group).to(topic);
        Process child = new ProcessBuilder(ProcessHandle.current().info().command().get(), "-Xmx64m", "-cp", System.getProperty("java.class.path"), self,
                                           broker, "member", topic, group).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        try {
            until("a member in another process", () -> a.has().size() == 1 && describe(group).members().size() == 2, a);
            child.destroyForcibly().waitFor();
            long start = System.nanoTime();
            until("the dead member's partition", () -> a.has().size() == 2, a);
            long seconds = (System.nanoTime() - start) / 1_000_000_000L;
            expect(seconds >= 35 && seconds <= 60, "the session of a dead member took " + seconds + " s");
        } finally {
            child.destroyForcibly();
        }
        a.consumer.close();
    }

    public static void main(String[] args) throws Exception {
        broker = args[0];
        if (args.length > 2 && args[1].equals("member")) {
            Member m = new Member(args[3]).to(args[2]);
            for (;;)
                poll(m);
        }
        admin = Admin.create(properties());
        joinAndLeave();
        range();
        patterns();
        statics();
        transactions();
        migrate(RangeAssignor.class);
        migrate(CooperativeStickyAssignor.class);
        die(args[1]);
        admin.close();
        System.out.println("java groups: ok");
    }
}
