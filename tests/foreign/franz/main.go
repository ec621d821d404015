// Publishes companies, a JSON document of which is standard input, with the newest schema of their
// subject: a sender of the tests that is written with franz-go.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// Fields without a pointer must be given; hamba leaves out what a struct lacks only if the schema
// has a default for it.
type company struct {
	Siren      string  `json:"siren" avro:"siren"`
	Nom        string  `json:"nom" avro:"nom"`
	CodePostal *string `json:"code_postal" avro:"code_postal"`
	Adresse    *string `json:"adresse" avro:"adresse"`
}

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	topic := os.Getenv("FOX_TOPIC_PREFIX") + "rows.entreprise"

	registry, err := sr.NewClient(sr.URLs(os.Getenv("FOX_SCHEMA_REGISTRY_URL")))
	check(err)
	latest, err := registry.SchemaByVersion(ctx, topic+"-value", -1)
	check(err)
	schema, err := avro.Parse(latest.Schema.Schema)
	check(err)
	var serde sr.Serde
	serde.Register(latest.ID, company{}, sr.EncodeFn(func(row any) ([]byte, error) {
		return avro.Marshal(schema, row)
	}))

	var rows []company
	check(json.NewDecoder(os.Stdin).Decode(&rows))
	client, err := kgo.NewClient(
		kgo.SeedBrokers(os.Getenv("FOX_KAFKA_BOOTSTRAP")),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
	)
	check(err)
	defer client.Close()
	for _, row := range rows {
		value, err := serde.Encode(row)
		check(err)
		client.Produce(ctx, &kgo.Record{
			Topic:   topic,
			Key:     []byte(row.Siren),
			Value:   value,
			Headers: []kgo.RecordHeader{{Key: "sender", Value: []byte("franz-go")}},
		}, func(_ *kgo.Record, err error) { check(err) })
	}
	check(client.Flush(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
