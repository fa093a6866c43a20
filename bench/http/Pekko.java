import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.typesafe.config.ConfigFactory;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.pekko.actor.ActorSystem;
import org.apache.pekko.http.javadsl.Http;
import org.apache.pekko.http.javadsl.model.ContentTypes;
import org.apache.pekko.http.javadsl.model.HttpEntities;
import org.apache.pekko.http.javadsl.model.HttpEntity;
import org.apache.pekko.http.javadsl.model.HttpRequest;
import org.apache.pekko.http.javadsl.model.HttpResponse;
import org.apache.pekko.japi.function.Function;
import org.apache.pekko.stream.Materializer;
import org.apache.pekko.stream.SystemMaterializer;

/** What smack's ingest does, by Pekko HTTP before Kafka: Pekko PORT BROKER takes events of the article by POST on 127.0.0.1, checks them with Jackson's
 * streaming parser, produces each into raw_events (6 partitions, by campaign, acks=all, the client's other defaults) and answers 202 when all are
 * acknowledged. */
public final class Pekko {
    private static final JsonFactory JSON = new JsonFactory();
    private static KafkaProducer<String, byte[]> producer;
    private static Materializer materializer;

    private static boolean isUuid(String s) {
        if (s.length() != 36)
            return false;
        for (int i = 0; i < 36; i++) {
            char c = s.charAt(i);
            boolean dash = i == 8 || i == 13 || i == 18 || i == 23;
            if (dash ? c != '-' : Character.digit(c, 16) < 0)
                return false;
        }
        return true;
    }

    /** The campaign of a sound event, else null. */
    private static String check(byte[] data, int from, int size) {
        String campaign = null;
        int found = 0;
        try (JsonParser p = JSON.createParser(data, from, size)) {
            if (p.nextToken() != JsonToken.START_OBJECT)
                return null;
            for (String name; (name = p.nextFieldName()) != null;) {
                JsonToken token = p.nextToken();
                int bit;
                switch (name) {
                case "id", "ad_id", "campaign" -> {
                    if (token != JsonToken.VALUE_STRING || !isUuid(p.getText()))
                        return null;
                    bit = name.equals("id") ? 1 : name.equals("ad_id") ? 2 : 4;
                    if (bit == 4)
                        campaign = p.getText();
                }
                case "ts" -> {
                    if (token != JsonToken.VALUE_NUMBER_INT || p.getLongValue() < 0)
                        return null;
                    bit = 8;
                }
                case "type" -> {
                    if (token != JsonToken.VALUE_STRING || !p.getText().equals("view") && !p.getText().equals("click"))
                        return null;
                    bit = 16;
                }
                default -> {
                    return null;
                }
                }
                if ((found & bit) != 0)
                    return null;
                found |= bit;
            }
            return found == 31 && p.nextToken() == null ? campaign : null;
        } catch (IOException e) {
            return null;
        }
    }

    private static HttpResponse reply(int status, String text) {
        return HttpResponse.create().withStatus(status).withEntity(HttpEntities.create(ContentTypes.APPLICATION_JSON, text));
    }

    private static CompletionStage<HttpResponse> store(byte[] body, boolean lines) {
        List<ProducerRecord<String, byte[]>> records = new java.util.ArrayList<>(lines ? 1000 : 1);
        for (int from = 0; from < body.length;) {
            int end = lines ? from : body.length;
            while (end < body.length && body[end] != '\n')
                end++;
            String campaign = check(body, from, end - from);
            if (campaign == null)
                return CompletableFuture.completedFuture(reply(400, "{\"message\":\"event " + records.size() + " is not one\"}"));
            records.add(new ProducerRecord<>("raw_events", campaign,
                from == 0 && end == body.length ? body : java.util.Arrays.copyOfRange(body, from, end)));
            from = end + 1;
        }
        if (records.isEmpty())
            return CompletableFuture.completedFuture(reply(400, "{\"message\":\"there is no event\"}"));
        CompletableFuture<HttpResponse> answer = new CompletableFuture<>();
        AtomicInteger left = new AtomicInteger(records.size());
        for (ProducerRecord<String, byte[]> record : records)
            producer.send(record, (metadata, error) -> {
                if (error != null)
                    answer.complete(reply(503, "{\"message\":\"not stored\"}"));
                else if (left.decrementAndGet() == 0)
                    answer.complete(reply(202, "{\"topic\":\"raw_events\",\"accepted\":" + records.size() + "}"));
            });
        return answer;
    }

    private static CompletionStage<HttpResponse> handle(HttpRequest request) {
        boolean lines = request.entity().getContentType().mediaType().subType().equals("x-ndjson");
        if (request.entity() instanceof HttpEntity.Strict strict) // has come whole with its head: toStrict would run a stream for it
            return store(strict.getData().toArray(), lines);
        return request.entity().toStrict(10000, materializer).thenCompose(e -> store(e.getData().toArray(), lines));
    }

    public static void main(String[] args) throws Exception {
        Map<String, Object> kafka = Map.of("bootstrap.servers", args[1], "acks", "all");
        try (Admin admin = Admin.create(kafka)) {
            admin.createTopics(List.of(new NewTopic("raw_events", 6, (short) 1))).all().get();
        }
        producer = new KafkaProducer<>(kafka, new StringSerializer(), new ByteArraySerializer());
        var config = ConfigFactory.parseString("""
            pekko.http.server { max-connections = 20000, backlog = 1024, pipelining-limit = 16, enable-http2 = on, idle-timeout = 300s }
            pekko.loglevel = WARNING
            """).withFallback(ConfigFactory.load());
        var system = ActorSystem.create("ingest", config);
        materializer = SystemMaterializer.get(system).materializer();
        Http.get(system).newServerAt("127.0.0.1", Integer.parseInt(args[0])).bind((Function<HttpRequest, CompletionStage<HttpResponse>>) Pekko::handle)
            .toCompletableFuture().get();
        Thread.currentThread().join();
    }
}
