"""A file of two lines while rows of an upstream system wait: how long a person waits.

    python -m tests.benchmarks.backlog [ROWS]

Writes results/backlog.json.
"""

import json

from confluent_kafka import Producer

from schemas.codec.framing import Encoder, load
from schemas.import_types import ENTREPRISE
from schemas.runtime.registry import Registry
from tests.benchmarks.measuring import save
from tests.benchmarks.samples import siren
from tests.benchmarks.stage import Site, site, words

ROWS = 2_000_000
FILE = "siren;nom\n900000019;Un\n900000027;Deux\n"


def main(rows: int) -> None:
    with site() as found:
        publish(found, rows)
        file = found.stage.directory / "two.csv"
        file.write_text(FILE, encoding="utf-8")
        worker = found.worker()
        ran = found.start_import(file).wait()
        worker.stop()
    state = json.loads(ran.output)
    results = {"status": state["status"], "seconds": round(ran.seconds, 2)}
    print(results)
    save("backlog", results, rows=rows)


def publish(found: Site, rows: int) -> None:
    """So many companies of an upstream system, which nobody has read yet."""
    topic = found.prefix + ENTREPRISE.topic.name
    with Registry(found.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        schema_id = registry.schema_id(f"{topic}-value", load("entreprise_row"))
    encoder = Encoder("entreprise_row", schema_id)
    producer = Producer(
        {
            "bootstrap.servers": found.environment["FOX_KAFKA_BOOTSTRAP"],
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 50,
        }
    )
    nothing = {**dict.fromkeys(ENTREPRISE.field), "observed_at": None, "import": None}
    for start in range(0, rows, 1000):
        keys = [siren(number) for number in range(start, min(start + 1000, rows))]
        values = encoder.encode_all([{**nothing, "siren": key, "nom": "Amont"} for key in keys])
        for key, value in zip(keys, values, strict=True):
            producer.produce(topic, value, key)
        producer.flush()


if __name__ == "__main__":
    main(*words([ROWS]))
