// An idempotent producer, a group of two, and the admin calls of sarama.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sarama:", err)
		os.Exit(1)
	}
}

type handler struct {
	sync.Mutex
	got map[string]bool
}

func (h *handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (h *handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			h.Lock()
			h.got[string(message.Value)] = true
			h.Unlock()
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func (h *handler) count() int {
	h.Lock()
	defer h.Unlock()
	return len(h.got)
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	return c
}

func produce(brokers []string, topic string) int {
	count := 0
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy,
		sarama.CompressionLZ4, sarama.CompressionZSTD} {
		c := config()
		c.Producer.Idempotent = true
		c.Producer.RequiredAcks = sarama.WaitForAll
		c.Net.MaxOpenRequests = 1
		c.Producer.Return.Successes = true
		c.Producer.Compression = codec
		producer, err := sarama.NewSyncProducer(brokers, c)
		must(err)
		var messages []*sarama.ProducerMessage
		for i := 0; i < 100; i++ {
			messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint(i)),
				Value: sarama.StringEncoder(fmt.Sprintf("%v %d", codec, i))})
		}
		must(producer.SendMessages(messages))
		must(producer.Close())
		count += len(messages)
	}
	return count
}

func consume(ctx context.Context, brokers []string, topic string, count int) {
	h := &handler{got: map[string]bool{}}
	stop, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	for i := 0; i < 2; i++ {
		group, err := sarama.NewConsumerGroup(brokers, topic, config())
		must(err)
		done.Add(1)
		go func() {
			defer done.Done()
			for stop.Err() == nil {
				if err := group.Consume(stop, []string{topic}, h); err != nil && !errors.Is(err, context.Canceled) {
					must(err)
				}
			}
			must(group.Close())
		}()
	}
	for h.count() < count {
		if ctx.Err() != nil {
			must(fmt.Errorf("%d of %d records", h.count(), count))
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	done.Wait()
}

func main() {
	brokers := []string{os.Getenv("KAFKA_BOOTSTRAP_SERVERS")}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	topic := fmt.Sprintf("sarama-%d", time.Now().UnixNano())
	admin, err := sarama.NewClusterAdmin(brokers, config())
	must(err)
	must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false))
	count := produce(brokers, topic)
	consume(ctx, brokers, topic, count)
	value := "99999"
	must(admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false))
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	must(err)
	if len(entries) != 1 || entries[0].Value != value {
		must(fmt.Errorf("configs: %v", entries))
	}
	must(admin.CreatePartitions(topic, 5, nil, false))
	must(admin.DeleteRecords(topic, map[int32]int64{0: 1}))
	groups, err := admin.DescribeConsumerGroups([]string{topic})
	must(err)
	if groups[0].State != "Empty" {
		must(fmt.Errorf("the group is %s", groups[0].State))
	}
	must(admin.DeleteConsumerGroup(topic))
	must(admin.DeleteTopic(topic))
	must(admin.Close())
	fmt.Println("sarama: ok")
}
