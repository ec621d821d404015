"""An upstream system in one file: companies to foxstream, and what foxstream refused or dropped of them.

    pip install confluent-kafka fastavro
    python upstream.py publish companies.jsonl [--transaction]
    python upstream.py rejects
    python upstream.py dropped

Each line of the file is a JSON object with the fields of the schema, say
{"siren": "732829320", "nom": "Boulangerie Durand", "observed_at": "2025-03-01T08:30:00Z"}.
With --transaction the file is published as a whole or, where a line is no row, not at all.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import datetime
from io import BytesIO
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

KAFKA = os.environ.get("FOX_KAFKA_BOOTSTRAP", "localhost:9092")
REGISTRY = os.environ.get("FOX_SCHEMA_REGISTRY_URL", "http://localhost:8081")
PREFIX = os.environ.get("FOX_TOPIC_PREFIX", "fox.")
TOPIC = f"{PREFIX}rows.entreprise"
SENDER = "crm"  # your name: it comes back with a reject, as every header does

Row = dict[str, Any]


class CompanySchema:
    """The newest registered schema: asked for once, never registered from here."""

    def __init__(self) -> None:
        url = f"{REGISTRY}/subjects/{TOPIC}-value/versions/latest"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)
        self._framing = b"\0" + found["id"].to_bytes(4, "big")
        self._schema = fastavro.parse_schema(json.loads(found["schema"]))

    def encode(self, row: Row) -> bytes:
        """A zero byte, the schema's id, then Avro. A field that is left out is null.

        Raises ValueError for one that the schema does not have: else it would be dropped silently.
        """
        if isinstance(observed := row.get("observed_at"), str):
            row = {**row, "observed_at": datetime.fromisoformat(observed)}
        value = BytesIO()
        value.write(self._framing)
        fastavro.schemaless_writer(value, self._schema, row, strict_allow_default=True)
        return value.getvalue()


def read(path: str) -> Iterator[Row]:
    """The rows of a file."""
    with open(path, encoding="utf-8") as file:
        for line in filter(str.strip, file):
            yield json.loads(line)


def publish(rows: Iterable[Row], *, as_one: bool) -> int:
    """Publishes rows; when it returns, Kafka holds them. Again after a failure does no harm."""
    schema = CompanySchema()
    settings: dict[str, Any] = {
        "bootstrap.servers": KAFKA,
        "partitioner": "murmur2_random",  # librdkafka's own is another one: its rows are refused
        "enable.idempotence": True,
        "compression.type": "zstd",
        "linger.ms": 50,
    }
    if not as_one:
        return _publish(Producer(settings), schema, rows)
    producer = Producer({**settings, "transactional.id": SENDER})
    producer.init_transactions()
    producer.begin_transaction()
    try:
        count = _publish(producer, schema, rows)
    except BaseException:
        producer.abort_transaction()
        raise
    producer.commit_transaction()
    return count


def _publish(producer: Producer, schema: CompanySchema, rows: Iterable[Row]) -> int:
    failed = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    count = 0
    try:
        for row in rows:
            value = schema.encode(row)
            while len(producer) >= 50_000:  # Kafka is slower than this loop
                producer.poll(1)
            producer.produce(
                TOPIC, value, row["siren"], headers={"sender": SENDER}, on_delivery=delivered
            )
            producer.poll(0)
            count += 1
    finally:
        left = producer.flush(60)
    if left or failed:
        raise RuntimeError(f"Kafka has not taken all rows ({failed[:1]}): publish them again")
    return count


def rejects() -> Iterator[dict[str, Any]]:
    """What was refused since this was last asked: reason, and the row byte for byte."""
    for headers, value in reports("rejects", "ingest.reject_id"):
        yield {
            "reject": headers["ingest.reject_id"].decode(),
            "key": (headers.get("ingest.key") or b"").decode(errors="replace"),
            "partition": int(headers["__connect.errors.partition"]),
            "offset": int(headers["__connect.errors.offset"]),
            "errors": json.loads(headers["ingest.errors"]),
            "value": value.hex(),
        }


def dropped() -> Iterator[dict[str, Any]]:
    """The values that were not stored since this was last asked, of rows that are written."""
    for headers, _ in reports("dropped-values", "ingest.dropped_id"):
        yield {
            "dropped": headers["ingest.dropped_id"].decode(),
            "key": (headers.get("ingest.key") or b"").decode(errors="replace"),
            "partition": int(headers["ingest.partition"]),
            "offset": int(headers["ingest.offset"]),
            "values": json.loads(headers["ingest.dropped"]),
        }


def reports(topic: str, id_header: str) -> Iterator[tuple[dict[str, bytes], bytes]]:
    """What a topic has about our rows that is new, each once: headers and value."""
    consumer: Any = Consumer(  # its messages may be None or an error: checked below
        {
            "bootstrap.servers": KAFKA,
            "group.id": f"{SENDER}-{topic}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([f"{PREFIX}{topic}"])
    seen: set[bytes] = set()
    ended: set[int] = set()
    while not ended or ended < {held.partition for held in consumer.assignment()}:
        message = consumer.poll(30)
        if message is None:
            raise RuntimeError("Kafka does not answer")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
            ended.add(message.partition())
            continue
        headers = dict(message.headers() or [])  # of two of one name the last counts
        # Lines of files are keyed by their import, and so are markers of resolved ones.
        if message.key() != TOPIC.encode() or headers.get("sender") != SENDER.encode():
            continue
        if headers[id_header] not in seen:  # it may be published twice, under one id
            seen.add(headers[id_header])
            yield headers, message.value() or b""
    if seen:
        consumer.commit(asynchronous=False)
    consumer.close()


def main(words: list[str]) -> None:
    """As the module says."""
    if words[:1] == ["publish"] and len(words) in (2, 3):
        count = publish(read(words[1]), as_one=words[2:] == ["--transaction"])
        print(f"{count} rows published")
    elif words in (["rejects"], ["dropped"]):
        for report in rejects() if words == ["rejects"] else dropped():
            print(json.dumps(report, ensure_ascii=False))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
