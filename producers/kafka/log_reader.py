"""A topic, read up to now and then followed.

Without a consumer group: every reader sees all of it, and leaves no trace.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
    murmur2,
)

from producers.kafka.broker import ANSWER_SECONDS, UnreachableError, configuration, partition_counts
from producers.settings import Settings
from schemas.topics import Topic

_LOGGER = logging.getLogger(__name__)
_SILENCE_SECONDS = 10.0

_READ_WAIT_MS, _FOLLOW_WAIT_MS = 20, 250
"""How long the broker may hold a fetch while nothing is new. The end of a topic is reported after
one such fetch, and an idle reader sends one fetch after the other."""


class LogReader:
    """All partitions of a topic, or one of them, from the beginning.

    `follows`: the reader stays for hours. It then sends fewer fetches, and is up to date later.
    """

    def __init__(self, settings: Settings, topic: Topic, *, follows: bool = False) -> None:
        self._settings = settings
        self._topic = topic
        self._partitions: set[int] = set()
        self._at_end: set[int] = set()
        self._ends: dict[int, int] = {}
        self._consumer = Consumer(
            {
                **configuration(settings),
                # Required by librdkafka; nothing is subscribed to or committed, so no group exists.
                "group.id": "foxstream-reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": _FOLLOW_WAIT_MS if follows else _READ_WAIT_MS,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def start(
        self,
        *,
        timeout_seconds: float = ANSWER_SECONDS,
        key: str | None = None,
        from_now: bool = False,
        since: datetime | None = None,
    ) -> bool:
        """Raises UnreachableError and NotReadyError. With a `key`, only its partition is read.

        `from_now`: what is published after this call returns, and nothing before it. `since`: what
        came to the broker then or later. False if that leaves nothing out.
        """
        counts = partition_counts(
            self._consumer, self._settings, [self._topic.name], timeout_seconds=timeout_seconds
        )
        count = counts[self._topic.name]
        numbers = range(count) if key is None else [murmur2(key.encode(), count)]
        name = self._settings.topic(self._topic.name)
        self._partitions = set(numbers)
        self._at_end, self._ends = set(), {}
        begins = dict.fromkeys(numbers, OFFSET_BEGINNING)
        left_out = from_now
        if from_now:
            begins = {n: self._bounds(name, n, timeout_seconds)[1] for n in numbers}
        elif since is not None:
            begins, left_out = self._begins(name, since, timeout_seconds)
        self._consumer.assign([TopicPartition(name, n, begins[n]) for n in numbers])
        return left_out

    def _begins(self, topic: str, since: datetime, seconds: float) -> tuple[dict[int, int], bool]:
        """Where to begin in each partition, and whether anything lies before it."""
        bounds = {n: self._bounds(topic, n, seconds) for n in self._partitions}
        # A producer that publishes meanwhile must not keep it from ending.
        self._ends = {n: end for n, (_, end) in bounds.items()}
        at = int(since.timestamp() * 1000)
        times = [TopicPartition(topic, n, at) for n in self._partitions]
        with _answering(topic):
            found = self._consumer.offsets_for_times(times, timeout=seconds)
        # Negative: nothing is that young.
        begins = {f.partition: f.offset if f.offset >= 0 else bounds[f.partition][1] for f in found}
        return begins, any(begin > bounds[n][0] for n, begin in begins.items())

    def _bounds(self, topic: str, partition: int, seconds: float) -> tuple[int, int]:
        """The first offset and the end. OFFSET_END would be looked up by the first fetch, later."""
        with _answering(topic):
            found: tuple[int, int] = self._consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=seconds
            )
        return found

    def poll(self, timeout_seconds: float) -> Message | None:
        """The next record, or None when there is none in time."""
        message = self._consumer.poll(timeout_seconds)
        if message is None:
            return None
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is None:
            if partition is not None and offset is not None:
                self._reached(partition, offset + 1)
            return message
        if error.code() == KafkaError._PARTITION_EOF and partition is not None:
            self._at_end.add(partition)
            return None
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED or error.fatal():
            raise UnreachableError(f"Kafka ne donne pas {message.topic()} : {error.str()}.")
        # Others pass, such as a topic unknown to a broker that is starting.
        _LOGGER.warning("read again", extra={"action": "read", "error": error.str()})
        return None

    def _reached(self, partition: int, next_offset: int) -> None:
        if next_offset == self._ends.get(partition):
            self._at_end.add(partition)

    def up_to_now(self) -> Iterator[Message]:
        """What the topic holds. Raises UnreachableError after 10 seconds of silence."""
        last_record = monotonic()
        while self._at_end != self._partitions:
            at_end = len(self._at_end)
            message = self.poll(0.1)
            if message is not None:
                yield message
            if message is not None or len(self._at_end) > at_end:
                last_record = monotonic()
            elif monotonic() - last_record > _SILENCE_SECONDS:
                raise UnreachableError(
                    f"Kafka ne répond plus à l'adresse {self._settings.kafka_bootstrap}."
                )


@contextmanager
def _answering(topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise UnreachableError(f"Kafka ne donne pas {topic} : {error.args[0].str()}.") from error
