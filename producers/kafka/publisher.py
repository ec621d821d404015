"""Sends records to Kafka, in order and without a gap.

Within a partition no record is delivered after one that was given up: what a reader of the topic has
seen of an import is always its beginning. The producer is idempotent, so its own retries add
nothing; records do not expire, so the publisher waits for an unreachable Kafka; and the first failure
ends the publisher for good.
"""

from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.kafka.broker import DeliveryError, configuration, partition_counts
from producers.settings import Settings
from schemas.runtime.traces import Headers

MESSAGE_MAX_BYTES = 1_000_000
"""Of key and value together, below what a Kafka broker takes by default (1,048,588)."""

_TICK_SECONDS = 0.1


class Publisher:
    """`tick` is called about ten times a second while the publisher waits for Kafka.

    `headers` are those of the records published from now on.
    """

    def __init__(self, settings: Settings, *, tick: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._failure: KafkaError | None = None
        self._tick = tick
        self.headers: Headers | None = None
        self._producer = Producer(
            {
                **configuration(settings),
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,
                "acks": "all",
                # Gapless does not cover messages that expire; 0 is never.
                "message.timeout.ms": 0,
                # Java's and aiokafka's; librdkafka's own default (CRC32) is another.
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 10,
                "queue.buffering.max.messages": 50_000,
                "queue.buffering.max.kbytes": 65_536,
                "message.max.bytes": MESSAGE_MAX_BYTES + 512,
                "delivery.report.only.error": True,
                "on_delivery": self._delivered,
                "error_cb": self._failed,
            }
        )

    def partition_counts(self, topics: Iterable[str], timeout_seconds: float) -> dict[str, int]:
        """As producers.kafka.broker.partition_counts."""
        return partition_counts(
            self._producer, self._settings, topics, timeout_seconds=timeout_seconds
        )

    @property
    def outstanding(self) -> int:
        """Messages that Kafka has not acknowledged yet."""
        return len(self._producer)

    def publish(self, topic: str, messages: Iterable[tuple[bytes | str, bytes | None]]) -> None:
        """Queues (key, value) pairs, None being a tombstone, and waits while the queue is full. Raises DeliveryError."""
        name, produce = self._settings.topic(topic), self._produce
        try:
            for key, value in messages:
                try:
                    produce(name, value, key)
                except BufferError:
                    self._produce_when_room(name, key, value)
        except KafkaException as error:
            self._failure = self._failure or error.args[0]
        self._serve()

    def idle(self) -> None:
        """To be called now and then while workers are waited for. Ticks if Kafka has messages to acknowledge.

        Raises DeliveryError.
        """
        self._serve()
        if self.outstanding:
            self._tick()

    def flush(self) -> None:
        """Waits, as long as it takes, until Kafka has all. Raises DeliveryError."""
        while self._producer.flush(_TICK_SECONDS):
            self._check()
            self._tick()
        self._check()

    def _serve(self) -> None:
        self._producer.poll(0)
        self._check()

    def _produce_when_room(self, name: str, key: bytes | str, value: bytes | None) -> None:
        ticked = monotonic()
        while True:
            self._producer.poll(0.01)
            self._check()
            if monotonic() - ticked > _TICK_SECONDS:
                ticked = monotonic()
                self._tick()
            try:
                self._produce(name, value, key)
            except BufferError:
                continue
            return

    @property
    def _produce(self) -> Callable[..., None]:
        produce: Callable[..., None] = self._producer.produce
        return produce if self.headers is None else partial(produce, headers=list(self.headers))

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failure = self._failure or error

    def _failed(self, error: KafkaError) -> None:
        # Other errors are reported for information: librdkafka retries by itself.
        if error.fatal():
            self._failure = self._failure or error

    def _check(self) -> None:
        if self._failure is not None:
            raise DeliveryError(
                f"Kafka a refusé un message ({self._failure.str()}) : la publication s'arrête là, "
                "sans trou."
            )
