"""The memory of a worker whose rows are as large as a topic takes, and cannot be written.

    python -m tests.benchmarks.large_rows [ROWS [SECONDS]]

Companies with an address of nearly 1 MB, in four partitions: plain ones behind a lock on the
table for so many seconds, then ones that are alike, in zstd, of which one fetch holds hundreds. All
are written in the end. How far a single batch of a sender inflates is not bounded. Writes
results/large_rows.json.
"""

import threading
from typing import Any

import psycopg
from confluent_kafka import Producer

from schemas.codec.framing import Encoder, load
from schemas.runtime.registry import Registry
from schemas.topics import ROWS_ENTREPRISE
from tests.benchmarks.measuring import forget_peak, peak_mb, save
from tests.benchmarks.samples import siren
from tests.benchmarks.sinks import count, until
from tests.benchmarks.stage import Site, site, words

ROWS, SECONDS = 700, 30
ADDRESS = "é1" * 330_000
"""990,000 bytes."""

KINDS = {"plain": "none", "zstd": "zstd"}


def main(rows: int, seconds: int) -> None:
    results: list[dict[str, Any]] = []
    with site() as found:
        worker = found.worker()
        for number, (kind, compression) in enumerate(KINDS.items()):
            forget_peak(worker.pid)
            with psycopg.connect(found.database_url) as holder:
                holder.execute("LOCK TABLE enterprise_entreprise IN SHARE ROW EXCLUSIVE MODE")
                publish(found, rows, number * rows, compression)
                threading.Event().wait(seconds)
                waiting = peak_mb(worker.pid)
            with psycopg.connect(found.database_url, autocommit=True) as connection:
                until(lambda: count(connection, "%") == rows * (number + 1), worker)  # noqa: B023
            results.append(
                {
                    "kind": kind,
                    "waiting_mb": round(waiting),
                    "peak_mb": round(peak_mb(worker.pid)),
                }
            )
            print(results[-1])
    save("large_rows", results, rows=rows, seconds=seconds)


def publish(found: Site, rows: int, first: int, compression: str) -> None:
    """So many companies, from this number on."""
    topic = found.prefix + ROWS_ENTREPRISE.name
    with Registry(found.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        record = load("entreprise_row")
        encoder = Encoder("entreprise_row", registry.register(f"{topic}-value", record))
    fields = dict.fromkeys(field["name"] for field in record["fields"])
    producer = Producer(
        {
            "bootstrap.servers": found.environment["FOX_KAFKA_BOOTSTRAP"],
            "partitioner": "murmur2_random",
            "compression.type": compression,
            "message.max.bytes": 1_040_000,
        }
    )
    for number in range(first, first + rows):
        row = {
            **fields,
            "siren": siren(number),
            "nom": f"Entreprise {number}",
            "adresse": ADDRESS,
        }
        producer.produce(topic, encoder.encode(row), siren(number))
        producer.poll(0)
    assert producer.flush(120) == 0


if __name__ == "__main__":
    main(*words([ROWS, SECONDS]))
