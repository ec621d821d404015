"""Fills a new Kafka from PostgreSQL after the old one was lost (docs/operations.md, "Kafka was lost").

A topic is lost if Kafka has another one under its name than the one of the stored positions. What is made of
tables is marked as unpublished, and workers publish it when they start. What exists on compacted topics
alone is published from its mirror (processors/imports/record_mirror.py).
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.cimpl import NewPartitions
from psycopg import Connection

from processors.database.connection import connect
from processors.database.queries import load, of_dropped_values
from processors.errors import ConfigurationError
from processors.kafka import broker_topics
from processors.kafka.topic_identity import identify
from processors.operator.naf.naf_files import Activity
from processors.operator.naf.naf_topic import sender
from processors.operator.partitions import check_no_worker, known_partitions
from processors.settings import Settings
from schemas.codec.avro_json import from_json
from schemas.codec.framing import Encoder
from schemas.codec.framing import load as load_schema
from schemas.runtime.registry import Registry
from schemas.topics import (
    DROPPED_VALUES,
    ENRICHMENT,
    ENRICHMENT_RESULTS,
    IMPORT_EVENTS,
    IMPORT_LOG,
    MIRRORED,
    REFERENCE_NAF,
    REJECTS,
    ROWS,
    TOPICS,
    Topic,
)

_SQL = load("processors.operator", "kafka_recovery.sql")
_NAF = load("processors.operator.naf", "naf_reference.sql")

_PUBLISHED_AGAIN = (
    (IMPORT_LOG, "import states", _SQL["states"]),
    (REJECTS, "rejects", _SQL["rejects"]),
    (DROPPED_VALUES, "dropped values", of_dropped_values(_SQL["rejects"])),
    (ENRICHMENT, "requests for texts", _SQL["requests"]),
    (ENRICHMENT_RESULTS, "answers of the model", _SQL["answers"]),
)
"""What workers publish from tables: its topic, its name, and the statement that marks it as unpublished."""


class Recovered(NamedTuple):
    """Topics that were created, and those that were lost; how many records of each kind are published
    again, and the imports whose files have to be sent again: id and name of the file."""

    created: list[str]
    lost: list[str]
    published: dict[str, int]
    unfinished: list[tuple[str, str]]


def recover(settings: Settings, registry: Registry) -> Recovered:
    """Creates the topics that are missing, and restores those that are lost.

    One that was interrupted can be repeated. Raises ConfigurationError if workers run, or a topic has more
    partitions than PostgreSQL knows; UnreachableError.
    """
    check_no_worker(settings)
    with connect(settings.database_url.get_secret_value()) as connection:
        # A worker that starts now waits at its first position.
        connection.execute("LOCK TABLE ingest.positions IN EXCLUSIVE MODE")
        partitions = known_partitions(connection, settings.topic_prefix)
        created = broker_topics.create_topics(settings, partitions)
        lost = _lost(settings, connection)
        _widen(settings, lost, partitions)
        published = _publish(settings, registry, connection, lost)
        unfinished = _restore(settings, connection, lost, published)
    return Recovered(
        created, [settings.topic_prefix + topic.name for topic in lost], published, unfinished
    )


def _lost(settings: Settings, connection: Connection) -> dict[Topic, int]:
    """The topics that Kafka lost, with their numbers of partitions now.

    A topic without a position is lost if it is in another cluster than the positions are of.
    """
    names = {settings.topic_prefix + topic.name: topic for topic in TOPICS}
    identities = asyncio.run(identify(settings, names))
    rows = connection.execute(_SQL["identities"], {"topics": list(names)}).fetchall()
    stored = {topic: (cluster, topic_id) for topic, cluster, topic_id in rows}
    clusters = {cluster for cluster, _ in stored.values()}
    return {
        topic: identities[name].partitions
        for name, topic in names.items()
        for now in [(identities[name].cluster, identities[name].topic_id)]
        if (stored[name] != now if name in stored else clusters - {now[0]})
    }


def _widen(settings: Settings, lost: Mapping[Topic, int], partitions: Mapping[str, int]) -> None:
    """Gives topics that somebody created before this command the partitions that PostgreSQL knows."""
    admin = broker_topics.admin_client(settings)
    for topic, count in lost.items():
        name = settings.topic_prefix + topic.name
        wanted = partitions.get(name, count)
        if count > wanted:
            raise ConfigurationError(
                f"{name} has {count} partitions, and PostgreSQL knows {wanted}: delete the topic, then "
                "run this command again"
            )
        if count < wanted:
            try:
                wider = admin.create_partitions([NewPartitions(name, wanted)])
                wider[name].result(broker_topics.TIMEOUT_SECONDS)
            except KafkaException as error:
                raise broker_topics.unreachable(settings, error) from error


def _publish(
    settings: Settings, registry: Registry, connection: Connection, lost: Mapping[Topic, int]
) -> dict[str, int]:
    """Publishes mirrored records and the reference; how many of each topic."""
    published: dict[str, int] = {}
    for topic in [topic for topic in MIRRORED if topic in lost]:
        records = _mirrored(settings, registry, connection, topic)
        published[topic.name] = broker_topics.publish(settings, records)
    if REFERENCE_NAF in lost:
        known = connection.execute(_NAF["known"]).fetchall()
        activities = {code: Activity(label, slug) for code, label, slug in known}
        sender(settings, registry)(activities, ())
        published[REFERENCE_NAF.name] = len(activities)
    return published


def _mirrored(
    settings: Settings, registry: Registry, connection: Connection, topic: Topic
) -> Iterator[tuple[str, bytes, bytes]]:
    name, record = settings.topic_prefix + topic.name, str(topic.record)
    encoder = Encoder(record, registry.schema_id(f"{name}-value", load_schema(record)))
    for key, value in connection.execute(_SQL["mirrored"], {"topic": name}):
        yield name, key, encoder.encode(from_json(record, value))


def _restore(
    settings: Settings, connection: Connection, lost: Mapping[Topic, int], published: dict[str, int]
) -> list[tuple[str, str]]:
    """Marks what workers publish again, and lets them read lost topics from the beginning."""
    for topic, what, statement in _PUBLISHED_AGAIN:
        if topic in lost:
            published[what] = connection.execute(statement).rowcount
    if IMPORT_LOG in lost:
        connection.execute(_SQL["tombstones"])
    names = [settings.topic_prefix + topic.name for topic in lost]
    connection.execute(_SQL["positions"], {"topics": names})
    if lost.keys().isdisjoint((IMPORT_EVENTS, *ROWS)):
        return []
    connection.execute(_SQL["read_again"])
    return connection.execute(_SQL["unfinished"]).fetchall()
