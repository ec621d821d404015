// An upstream system in Java: companies to foxstream in one Kafka transaction.
//
// Needs org.apache.kafka:kafka-clients and org.apache.avro:avro (which brings Jackson).
//
//     java Upstream.java 732829320 "Boulangerie Durand" 552100554 "Garage Martin"
//
// publishes two companies, both or none. With a JDK older than 22: javac Upstream.java, java Upstream.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Upstream {
    static final String KAFKA = setting("FOX_KAFKA_BOOTSTRAP", "localhost:9092");
    static final String REGISTRY = setting("FOX_SCHEMA_REGISTRY_URL", "http://localhost:8081");
    static final String TOPIC = setting("FOX_TOPIC_PREFIX", "fox.") + "rows.entreprise";

    public static void main(String[] words) throws Exception {
        JsonNode found = registered(TOPIC + "-value");
        int id = found.get("id").asInt();
        Schema schema = new Schema.Parser().parse(found.get("schema").asText());

        // Java's default partitioner is the right one: murmur2 of the key.
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", KAFKA,
            "transactional.id", "shop",
            "compression.type", "lz4");
        try (var producer = new KafkaProducer<>(
                settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            try {
                for (int i = 0; i + 1 < words.length; i += 2) {
                    GenericRecord row = new GenericRecordBuilder(schema)  // what is not set is null
                        .set("siren", words[i])
                        .set("nom", words[i + 1])
                        .set("observed_at", Instant.now().toEpochMilli())
                        .build();
                    byte[] key = words[i].getBytes(StandardCharsets.UTF_8);
                    var record = new ProducerRecord<>(TOPIC, key, framed(id, row));
                    record.headers().add("sender", "shop".getBytes(StandardCharsets.UTF_8));
                    producer.send(record);
                }
                producer.commitTransaction();  // waits for all of them
            } catch (RuntimeException | IOException error) {
                producer.abortTransaction();
                throw error;
            }
        }
        System.out.println(words.length / 2 + " rows published");
    }

    /** A zero byte, the schema's id, then Avro. */
    static byte[] framed(int id, GenericRecord row) throws IOException {
        var bytes = new ByteArrayOutputStream();
        var framing = new DataOutputStream(bytes);
        framing.writeByte(0);
        framing.writeInt(id);
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        new GenericDatumWriter<GenericRecord>(row.getSchema()).write(row, encoder);
        encoder.flush();
        return bytes.toByteArray();
    }

    /** The newest version of a subject. */
    static JsonNode registered(String subject) throws IOException, InterruptedException {
        var request = HttpRequest
            .newBuilder(URI.create(REGISTRY + "/subjects/" + subject + "/versions/latest"))
            .build();
        HttpResponse<String> answer =
            HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IOException("the registry answers " + answer.statusCode() + " of " + subject);
        }
        return new ObjectMapper().readTree(answer.body());
    }

    static String setting(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }
}
