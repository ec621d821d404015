"""An upstream system: rows in transactions, some of them aborted, and records that nobody can read."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from schemas.codec.framing import Encoder, load
from schemas.import_types import IMPORT_TYPES
from schemas.runtime.registry import Registry
from schemas.topics import IMPORT_EVENTS, IMPORT_LOG, MIRRORED
from tests.faults.files import HEADERS, Kind, Values, made
from tests.fix_stack import Site, eventually

FAMILY = 999
"""No file has keys of this family."""

PARTITIONS = 4
TRANSACTIONS = 6
ROWS = 120
KEYS = 2000
UNREADABLE = 3

_TOPICS: Mapping[Kind, str] = {"entreprise": "rows.entreprise", "ville": "rows.ville"}
_BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
_PATIENCE_SECONDS = 120.0


class Row(NamedTuple):
    """One row, with the time at which it was true."""

    key: str
    values: Values
    observed_at: datetime


@dataclass(frozen=True)
class Transaction:
    """Rows of one kind that are committed together, or never to be seen."""

    kind: Kind
    committed: bool
    rows: tuple[Row, ...]


def transactions(seed: int) -> Iterator[Transaction]:
    """The same for the same seed. Keys come again, at times with an older observation."""
    chance = random.Random(f"{seed} upstream")
    for _ in range(TRANSACTIONS):
        kind: Kind = chance.choice(("entreprise", "ville"))
        rows = []
        for _ in range(ROWS):
            line = made(kind, FAMILY, chance.randrange(KEYS), chance.getrandbits(64))
            observed_at = _BEGAN + timedelta(minutes=chance.randrange(100_000))
            assert line.key is not None
            rows.append(Row(line.key, line.values, observed_at))
        yield Transaction(kind, chance.random() < 0.6, tuple(rows))


def unreadable(seed: int) -> list[tuple[Kind, int, bytes]]:
    """Kind, partition and value of records that are rejects, each once."""
    chance = random.Random(f"{seed} unreadable")
    kinds: tuple[Kind, ...] = ("entreprise", "ville")
    return [
        (chance.choice(kinds), chance.randrange(PARTITIONS), b"unreadable %d %d" % (seed, number))
        for number in range(UNREADABLE)
    ]


def last(kinds: Mapping[Kind, str] = _TOPICS) -> list[tuple[Kind, int, bytes]]:
    """One more for each partition: after it nothing comes, not even the marker of a transaction."""
    return [
        (kind, partition, f"last of {kind} {partition}".encode())
        for kind in kinds
        for partition in range(PARTITIONS)
    ]


def ends(site: Site) -> dict[tuple[str, int], int]:
    """Where the topics end that workers read, by topic and partition."""
    consumer = Consumer(
        {
            "log_level": 0,
            "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
            "group.id": "reads-only",
        }
    )
    topics = (
        *(one.topic for one in IMPORT_TYPES.values()),
        *(one.file_topic for one in IMPORT_TYPES.values()),
        IMPORT_EVENTS,
        IMPORT_LOG,
        *MIRRORED,
    )
    found = {
        (site.prefix + topic.name, partition): consumer.get_watermark_offsets(
            TopicPartition(site.prefix + topic.name, partition), 10
        )[1]
        for topic in topics
        for partition in range(topic.partitions)
    }
    consumer.close()
    return found


class Upstream:
    """Publishes. Whatever Kafka does meanwhile, each call ends with all of it acknowledged."""

    def __init__(self, site: Site) -> None:
        self._site = site
        common: dict[str, object] = {
            "log_level": 0,
            "bootstrap.servers": site.stack.environment["FOX_KAFKA_BOOTSTRAP"],
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "message.timeout.ms": 0,
            "reconnect.backoff.max.ms": 1000,
        }
        self._plain = Producer(common)
        self._settings = {
            **common,
            "message.timeout.ms": 60_000,
            "transactional.id": f"{site.prefix}upstream",
        }
        self._transactional = self._started()
        with Registry(site.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
            self._encoders = {
                kind: Encoder(
                    f"{kind}_row",
                    registry.schema_id(f"{site.prefix}{topic}-value", load(f"{kind}_row")),
                )
                for kind, topic in _TOPICS.items()
            }

    def publish(self, transaction: Transaction) -> None:
        """Commits or aborts. One that failed is done anew: its rows say when they were true."""
        eventually(lambda: self._tried(transaction), _PATIENCE_SECONDS)

    def publish_unreadable(self, records: list[tuple[Kind, int, bytes]]) -> None:
        """Publishes each once."""
        for kind, partition, value in records:
            self._plain.produce(self._topic(kind), value, partition=partition)
        assert self._plain.flush(_PATIENCE_SECONDS) == 0

    def _tried(self, transaction: Transaction) -> bool:
        try:
            with self._failing_gently():
                self._transactional.begin_transaction()
                for row in transaction.rows:
                    fields = dict(zip(HEADERS[transaction.kind], row.values, strict=True))
                    value = self._encoders[transaction.kind].encode(
                        {**fields, "observed_at": row.observed_at}
                    )
                    self._transactional.produce(self._topic(transaction.kind), value, row.key)
                if not transaction.committed:
                    # Nothing is aborted that Kafka has not got.
                    self._produce_unreadable(transaction.kind)
                    self._transactional.flush(_PATIENCE_SECONDS)
                    self._transactional.abort_transaction(_PATIENCE_SECONDS)
                else:
                    self._transactional.commit_transaction(_PATIENCE_SECONDS)
        except KafkaException:
            return False
        return True

    def _produce_unreadable(self, kind: Kind) -> None:
        self._transactional.produce(self._topic(kind), b"aborted", partition=0)

    @contextmanager
    def _failing_gently(self) -> Iterator[None]:
        """Leaves the producer ready for the next transaction, whatever became of this one."""
        try:
            yield
        except KafkaException as failure:
            error = failure.args[0]
            if error.txn_requires_abort():
                self._transactional.abort_transaction(_PATIENCE_SECONDS)
            else:
                # A new producer of the same name ends what this one left open.
                self._transactional = self._started()
            raise

    def _started(self) -> Producer:
        producer = Producer(self._settings)
        producer.init_transactions(_PATIENCE_SECONDS)
        return producer

    def _topic(self, kind: Kind) -> str:
        return self._site.prefix + _TOPICS[kind]
