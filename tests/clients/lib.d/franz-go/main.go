// Produce in every codec, consume in a group of two of which one leaves, administer; all by franz-go.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var broker = os.Getenv("KAFKA_BOOTSTRAP_SERVERS")

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
}

func expect(condition bool, format string, args ...any) {
	if !condition {
		must(fmt.Errorf(format, args...))
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(options, kgo.SeedBrokers(broker))...)
	must(err)
	return c
}

func produce(ctx context.Context, topic string) map[string]bool {
	want := map[string]bool{}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	for name, codec := range codecs {
		c := client(kgo.ProducerBatchCompression(codec))
		var records []*kgo.Record
		for i := 0; i < 200; i++ {
			value := fmt.Sprintf("%s %d", name, i)
			want[value] = true
			records = append(records, &kgo.Record{Topic: topic, Key: []byte(fmt.Sprint(i)), Value: []byte(value),
				Headers: []kgo.RecordHeader{{Key: "codec", Value: []byte(name)}}})
		}
		must(c.ProduceSync(ctx, records...).FirstErr())
		c.Close()
	}
	return want
}

func consume(ctx context.Context, topic string, want map[string]bool) {
	member := func() *kgo.Client {
		return client(kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	}
	got := map[string]bool{}
	members := []*kgo.Client{member(), member()}
	for round := 0; len(got) < len(want); round++ {
		expect(ctx.Err() == nil, "%d of %d records", len(got), len(want))
		if round == 5 {
			members[1].CloseAllowingRebalance()
			members = members[:1]
		}
		for _, m := range members {
			poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			m.PollFetches(poll).EachRecord(func(r *kgo.Record) { got[string(r.Value)] = true })
			cancel()
			must(m.CommitUncommittedOffsets(ctx))
		}
	}
	for _, m := range members {
		m.CloseAllowingRebalance()
	}
	for value := range want {
		expect(got[value], "%s is missing", value)
	}
}

func administer(ctx context.Context, admin *kadm.Client, topic string, count int) {
	ends, err := admin.ListEndOffsets(ctx, topic)
	must(err)
	sum := int64(0)
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	expect(sum == int64(count), "end offsets add up to %d", sum)
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("123456")}}, topic)
	must(err)
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	must(err)
	found := false
	for _, c := range configs[0].Configs {
		found = found || (c.Key == "retention.ms" && *c.Value == "123456")
	}
	expect(found, "retention.ms was not changed")
	grown, err := admin.CreatePartitions(ctx, 2, topic)
	must(err)
	must(grown.Error())
	deleted, err := admin.DeleteRecords(ctx, kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: 1, LeaderEpoch: -1}}})
	must(err)
	must(deleted.Error())
	start, err := admin.ListStartOffsets(ctx, topic)
	must(err)
	offset, _ := start.Lookup(topic, 0)
	expect(offset.Offset == 1, "partition 0 begins at %d", offset.Offset)
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	must(err)
	size := int64(0)
	dirs.Each(func(d kadm.DescribedLogDir) { must(d.Err); size += d.Size() })
	expect(size > 0, "nothing lies on disk")
	groups, err := admin.DescribeGroups(ctx, topic)
	must(err)
	expect(groups[topic].State == "Empty", "the group is %s", groups[topic].State)
	lags, err := admin.Lag(ctx, topic)
	must(err)
	must(lags.Error())
	_, err = admin.DeleteGroups(ctx, topic)
	must(err)
	_, err = admin.DeleteTopics(ctx, topic)
	must(err)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	topic := fmt.Sprintf("franz-%d", time.Now().UnixNano())
	c := client()
	admin := kadm.NewClient(c)
	_, err := admin.CreateTopic(ctx, 4, 1, nil, topic)
	must(err)
	want := produce(ctx, topic)
	consume(ctx, topic, want)
	administer(ctx, admin, topic, len(want))
	fmt.Println("franz-go: ok")
}
