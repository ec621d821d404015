"""Lets a partition go on although the log does not have what follows on its position: a person decided so."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from psycopg.rows import dict_row

from processors.database.connection import connect
from processors.errors import ConfigurationError, UnreachableError
from processors.kafka.broker_topics import TIMEOUT_SECONDS, configuration, unreachable
from processors.kafka.records.last_record import UNKNOWN_EPOCH
from processors.kafka.topic_identity import Identity, identify
from processors.settings import Settings


class PartitionLog(NamedTuple):
    """A partition's log: its first offset, its end, and the leader epoch of the first record from an
    offset on, or None behind the last record."""

    beginning: int
    end: int
    epoch_from: Callable[[int], int | None]

    def first_of(self, epoch: int) -> int:
        """The first offset whose record was appended in this leader epoch or a later one, or the end."""
        offsets = range(self.beginning, self.end)

        def epoch_from(offset: int) -> int:
            found = self.epoch_from(offset)
            return epoch if found is None else found

        return self.beginning + bisect_left(offsets, epoch, key=epoch_from)


def first_unread(log: PartitionLog, last_offset: int, last_epoch: int) -> int:
    """The lowest offset that may hold a record that was never read.

    `last_offset` and `last_epoch` are those of the last record that was read. A new leader's records
    begin where it truncated the log. If there are none among the offsets that were read, records of the
    old epoch itself may be others, as with a broker whose metadata was restored as well.
    """
    if last_epoch == UNKNOWN_EPOCH:
        return log.beginning
    newer = log.first_of(last_epoch + 1)
    return newer if newer <= last_offset and newer < log.end else log.first_of(last_epoch)


class Accepted(NamedTuple):
    """A position that was replaced, and the one that is stored now."""

    before: int
    now: int


def accept(settings: Settings, topic: str, partition: int, offset: int | None) -> Accepted:
    """Stores `offset` as the position; without one, the lowest that may hold an unread record.

    A worker that holds the partition seeks it within FOX_HALT_SECONDS. Raises ConfigurationError if
    PostgreSQL has no position of the partition, if it is not halted and `offset` is missing, or if the
    log does not have the offset.
    """
    place = {"topic": topic, "partition": partition}
    [identity] = asyncio.run(identify(settings, [topic])).values()
    with connect(settings.database_url.get_secret_value()) as connection:
        cursor = connection.cursor(row_factory=dict_row)
        stored = cursor.execute(
            "SELECT next_offset, cluster, topic_id, partitions, halted, "
            "(last_record -> 'offset')::bigint AS last_offset, "
            "(last_record -> 'leader_epoch')::integer AS last_epoch "
            "FROM ingest.positions WHERE topic = %(topic)s AND partition = %(partition)s FOR UPDATE",
            place,
        ).fetchone()
        if stored is None:
            raise ConfigurationError(f"PostgreSQL has no position of {topic}[{partition}]")
        is_same = identity == Identity(stored["cluster"], stored["topic_id"], stored["partitions"])
        if offset is None and is_same and stored["halted"] is None:
            raise ConfigurationError(f"{topic}[{partition}] is not halted: give an --offset")
        known = is_same and stored["last_epoch"] is not None
        last = (stored["last_offset"], stored["last_epoch"]) if known else (0, UNKNOWN_EPOCH)
        now = _chosen(settings, topic, partition, offset, last)
        cursor.execute(
            "UPDATE ingest.positions SET next_offset = %(now)s, cluster = %(cluster)s, "
            "topic_id = %(topic_id)s, partitions = %(partitions)s, halted = NULL, last_record = NULL, "
            "log_number = coalesce(log_number, 0) + 1 "
            "WHERE topic = %(topic)s AND partition = %(partition)s",
            {**place, "now": now, **vars(identity)},
        )
    return Accepted(stored["next_offset"], now)


def _chosen(
    settings: Settings, topic: str, partition: int, offset: int | None, last: tuple[int, int]
) -> int:
    consumer = Consumer(
        {
            **configuration(settings),
            "group.id": f"{settings.topic_prefix}positions",  # required; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_uncommitted",
        }
    )
    try:
        log = _log(consumer, topic, partition)
        now = first_unread(log, *last) if offset is None else offset
    except KafkaException as error:
        raise unreachable(settings, error) from error
    finally:
        consumer.close()
    if not log.beginning <= now <= log.end:
        raise ConfigurationError(
            f"{topic}[{partition}]: Kafka holds {log.beginning} to {log.end}, not {now}"
        )
    return now


def _log(consumer: Consumer, topic: str, partition: int) -> PartitionLog:
    beginning, end = consumer.get_watermark_offsets(
        TopicPartition(topic, partition), timeout=TIMEOUT_SECONDS
    )

    def epoch_from(offset: int) -> int | None:
        consumer.assign([TopicPartition(topic, partition, offset)])
        message = consumer.poll(TIMEOUT_SECONDS)
        if message is None:
            raise UnreachableError("Kafka does not respond")
        error = message.error()
        if error is None:
            epoch: int | None = message.leader_epoch()
            return UNKNOWN_EPOCH if epoch is None else epoch
        if error.code() != KafkaError._PARTITION_EOF:
            raise UnreachableError(f"Kafka: {error.str()}")
        return None

    return PartitionLog(beginning, end, epoch_from)
