"""The consumer that one writes by hand: confluent-kafka, fastavro, COPY, one upsert a batch.

    python -m tests.benchmarks.contestants.handwritten

It stores nothing of what it has read but Kafka's own offsets, committed after the database.
"""

import io
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import fastavro
import psycopg
from confluent_kafka import Consumer, KafkaException, Message

from tests.benchmarks.contestants import common

BATCH_ROWS = int(os.environ.get("BENCH_BATCH_ROWS", "5000"))
PATIENCE_SECONDS = 0.2

STAGING = f"""
CREATE TEMPORARY TABLE staging ON COMMIT DELETE ROWS AS
SELECT 0 AS number, {", ".join(common.COLUMNS)} FROM enterprise_entreprise WITH NO DATA
"""
COPY = f"COPY staging (number, {', '.join(common.COLUMNS)}) FROM STDIN"
# A key twice in one INSERT would be refused: the last one of a batch counts.
UPSERT = f"""
INSERT INTO enterprise_entreprise AS t ({common.INSERTED})
SELECT {common.values("{}")}
FROM (SELECT DISTINCT ON (siren) * FROM staging ORDER BY siren, number DESC) newest
{common.ON_CONFLICT}
"""


def rows(messages: Sequence[Message]) -> Iterator[tuple[Any, ...]]:
    """The staging table's columns of each message."""
    for number, message in enumerate(messages):
        if message.error():
            raise KafkaException(message.error())
        value = message.value() or b""
        record: Any = fastavro.schemaless_reader(
            io.BytesIO(value[5:]), common.schema(int.from_bytes(value[1:5], "big"))
        )
        yield (number, *(record[name] for name in common.COLUMNS))


def write(connection: psycopg.Connection[Any], messages: Sequence[Message]) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(COPY) as copy:
            for row in rows(messages):
                copy.write_row(row)
        cursor.execute(UPSERT)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: exit(0))
    consumer = Consumer(
        {
            "bootstrap.servers": common.BOOTSTRAP,
            "group.id": common.GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 10_000,
        }
    )
    consumer.subscribe([common.TOPIC])
    with psycopg.connect(common.DATABASE_URL, autocommit=True) as connection:
        connection.execute(STAGING)
        try:
            while True:
                messages = consumer.consume(BATCH_ROWS, PATIENCE_SECONDS)
                if messages:
                    write(connection, messages)
                    consumer.commit(asynchronous=False)
        finally:
            consumer.close()


if __name__ == "__main__":
    main()
