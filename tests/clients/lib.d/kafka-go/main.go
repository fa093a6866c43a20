// A writer, a reader in a group, and the admin calls of kafka-go.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "kafka-go:", err)
		os.Exit(1)
	}
}

func main() {
	broker := os.Getenv("KAFKA_BOOTSTRAP_SERVERS")
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	topic := fmt.Sprintf("kafkago-%d", time.Now().UnixNano())
	client := &kafka.Client{Addr: kafka.TCP(broker)}
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 3, ReplicationFactor: 1}}})
	must(err)
	must(made.Errors[topic])
	want := map[string]bool{}
	for _, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		writer := &kafka.Writer{Addr: kafka.TCP(broker), Topic: topic, Balancer: &kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
			Compression: codec, BatchTimeout: 5 * time.Millisecond}
		var messages []kafka.Message
		for i := 0; i < 100; i++ {
			value := fmt.Sprintf("%v %d", codec, i)
			want[value] = true
			messages = append(messages, kafka.Message{Key: []byte(fmt.Sprint(i)), Value: []byte(value),
				Headers: []kafka.Header{{Key: "codec", Value: []byte(fmt.Sprint(codec))}}})
		}
		must(writer.WriteMessages(ctx, messages...))
		must(writer.Close())
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, GroupID: topic, Topic: topic, StartOffset: kafka.FirstOffset,
		MaxWait: 100 * time.Millisecond})
	got := map[string]bool{}
	for len(got) < len(want) {
		message, err := reader.FetchMessage(ctx)
		must(err)
		got[string(message.Value)] = true
		must(reader.CommitMessages(ctx, message))
	}
	must(reader.Close())
	offsets, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: topic, Topics: map[string][]int{topic: {0, 1, 2}}})
	must(err)
	sum := int64(0)
	for _, partition := range offsets.Topics[topic] {
		sum += partition.CommittedOffset
	}
	if sum != int64(len(want)) {
		must(fmt.Errorf("the group has committed %d of %d", sum, len(want)))
	}
	_, err = client.AlterConfigs(ctx, &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic,
		ResourceName: topic, Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: "1000000"}}}}})
	must(err)
	grown, err := client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 4}}})
	must(err)
	must(grown.Errors[topic])
	deleted, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	must(err)
	must(deleted.Errors[topic])
	fmt.Println("kafka-go: ok")
}
