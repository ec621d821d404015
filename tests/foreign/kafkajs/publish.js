// Publishes companies, a JSON document of which is standard input, with the newest schema of their subject.

const { readFileSync } = require('node:fs')
const { CompressionTypes, Kafka, logLevel } = require('kafkajs')
const { SchemaRegistry } = require('@kafkajs/confluent-schema-registry')

async function publish() {
  const topic = `${process.env.FOX_TOPIC_PREFIX}rows.entreprise`
  const registry = new SchemaRegistry({ host: process.env.FOX_SCHEMA_REGISTRY_URL })
  const id = await registry.getLatestSchemaId(`${topic}-value`)
  const messages = []
  for (const row of JSON.parse(readFileSync(0))) {
    const value = await registry.encode(id, row)
    messages.push({ key: row.siren, value, headers: { sender: 'kafkajs' } })
  }
  const kafka = new Kafka({
    brokers: [process.env.FOX_KAFKA_BOOTSTRAP],
    logLevel: logLevel.ERROR
  })
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  await producer.send({ topic, compression: CompressionTypes.GZIP, messages })
  await producer.disconnect()
}

publish().catch((error) => {
  console.error(error)
  process.exit(1)
})
