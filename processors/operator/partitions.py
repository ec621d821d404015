"""More partitions for the row topics, at a moment when no row can be overtaken by another of its key.

A key's partition follows from their number: after a change its new rows lie elsewhere than its old
ones, and only within a partition is there an order.
"""

import asyncio
import warnings
from collections.abc import Iterable, Mapping

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import NewPartitions

from processors.database.connection import connect
from processors.errors import ConfigurationError, UnreachableError
from processors.kafka.broker_topics import (
    TIMEOUT_SECONDS,
    admin_client,
    configuration,
    create_topics,
    unreachable,
)
from processors.kafka.topic_identity import identify
from processors.settings import Settings
from schemas.topics import CO_PARTITIONED, ROWS

Positions = Mapping[tuple[str, int], int]


def create(settings: Settings) -> list[str]:
    """Creates the topics that are missing; returns their names.

    They get the partitions that PostgreSQL knows, if it can be reached: topics of a first installation
    need no database, and workers refuse to start on topics of another number. Raises UnreachableError
    if Kafka cannot be reached.
    """
    try:
        with connect(settings.database_url.get_secret_value()) as connection:
            migrated = connection.execute("SELECT to_regclass('ingest.positions')").fetchone()
            is_migrated = migrated is not None and migrated[0] is not None
            known = known_partitions(connection, settings.topic_prefix) if is_migrated else {}
    except UnreachableError:
        known = {}
    return create_topics(settings, known)


def widen(settings: Settings, partitions: int) -> list[str]:
    """Gives all row topics and co-partitioned tables so many partitions; returns those that had fewer.

    Raises ConfigurationError, with nothing changed, if workers run, imports are unfinished, rows are
    not written, or a topic has more partitions already. A run that died can be repeated.
    """
    names = [settings.topic_prefix + topic.name for topic in CO_PARTITIONED]
    rows = [settings.topic_prefix + topic.name for topic in ROWS]
    admin = admin_client(settings)
    try:
        check_no_worker(settings)
        identities = asyncio.run(identify(settings, names))
        counts = {name: identity.partitions for name, identity in identities.items()}
        for name, count in counts.items():
            if count > partitions:
                raise ConfigurationError(f"{name} has {count} partitions: Kafka takes none away")
        with connect(settings.database_url.get_secret_value()) as connection:
            # A worker that starts now waits at its first position.
            connection.execute("LOCK TABLE ingest.positions IN EXCLUSIVE MODE")
            _check_imports_ended(connection)
            of_rows = {name: counts[name] for name in rows}
            _check_rows_written(settings, of_rows, _stored(connection, rows))
            narrow = [name for name, count in counts.items() if count < partitions]
            for name in narrow:
                wider = admin.create_partitions([NewPartitions(name, partitions)])
                wider[name].result(TIMEOUT_SECONDS)
            connection.execute(
                "UPDATE ingest.positions SET partitions = %s WHERE topic = ANY(%s)",
                (partitions, names),
            )
    except KafkaException as error:
        raise unreachable(settings, error) from error
    return narrow


def known_partitions(connection: psycopg.Connection, prefix: str) -> dict[str, int]:
    """The numbers of partitions that the stored positions are of, by topic; row topics have one number."""
    known: dict[str, int] = dict(
        connection.execute("SELECT topic, max(partitions) FROM ingest.positions GROUP BY topic")
    )
    names = [prefix + topic.name for topic in CO_PARTITIONED]
    wide = max((known[name] for name in names if name in known), default=None)
    return known if wide is None else {**known, **dict.fromkeys(names, wide)}


def check_no_worker(settings: Settings) -> None:
    """Raises ConfigurationError if workers run."""
    admin, prefix = admin_client(settings), settings.topic_prefix
    try:
        with warnings.catch_warnings():
            # The replacement of list_groups aborts the process if no broker responds: librdkafka #4605.
            warnings.simplefilter("ignore", DeprecationWarning)
            groups = [
                group
                for kind in ("rows", "imports", "enrichment")
                for group in admin.list_groups(prefix + kind, TIMEOUT_SECONDS)
            ]
    except KafkaException as error:
        raise unreachable(settings, error) from error
    if any(group.members for group in groups):
        raise ConfigurationError("workers run: stop them all first")


def _check_imports_ended(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "SELECT id::text FROM ingest.imports WHERE completed_at IS NULL LIMIT 3"
    ).fetchall()
    if found:
        raise ConfigurationError(
            f"imports have not ended: {', '.join(import_id for (import_id,) in found)}"
        )


def _stored(connection: psycopg.Connection, names: Iterable[str]) -> Positions:
    rows: list[tuple[str, int, int]] = connection.execute(
        "SELECT topic, partition, next_offset FROM ingest.positions WHERE topic = ANY(%s)",
        (list(names),),
    ).fetchall()
    return {(topic, number): position for topic, number, position in rows}


def _check_rows_written(settings: Settings, counts: Mapping[str, int], stored: Positions) -> None:
    """Reads from the positions: ends of logs would count the markers of transactions as well."""
    consumer = Consumer(
        {
            **configuration(settings),
            "group.id": f"{settings.topic_prefix}widening",  # required; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    starts = [
        TopicPartition(name, number, stored.get((name, number), 0))
        for name, count in counts.items()
        for number in range(count)
    ]
    consumer.assign(starts)
    try:
        for _ in starts:
            message = consumer.poll(TIMEOUT_SECONDS)
            if message is None:
                raise UnreachableError("Kafka does not answer")
            error = message.error()
            if error is None:
                raise ConfigurationError(
                    f"{message.topic()}[{message.partition()}] has rows that are not written: run "
                    "workers until fox_consumer_lag_rows is 0"
                )
            if error.code() != KafkaError._PARTITION_EOF:
                raise UnreachableError(f"Kafka: {error.str()}")
    finally:
        consumer.close()
