"""Sends single records to the gateway's topics without waiting."""

from collections.abc import Mapping
from typing import Any

import structlog
from confluent_kafka import KafkaException, Producer

from producers.kafka.broker import configuration
from producers.settings import Settings
from schemas.codec.framing import Encoder, load
from schemas.codec.schema import SchemaUnknownError
from schemas.runtime.registry import RegistryUnavailableError
from schemas.topics import GATEWAY_AUDIT, GATEWAY_SESSIONS, Topic

_LOGGER = structlog.get_logger(__name__)

UNPREPARED = (RegistryUnavailableError, SchemaUnknownError)


class RecordSender:
    """librdkafka sends in the background, also while Kafka is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(
            {
                **configuration(settings),
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 10_000,
            }
        )
        self._encoders: dict[str, Encoder] = {}

    def prepare(self) -> None:
        """Requests the schemas' ids from the registry; blocks. Raises what the registry raises."""
        with self._settings.registry() as registry:
            for topic in (GATEWAY_AUDIT, GATEWAY_SESSIONS):
                record = str(topic.record)
                subject = f"{self._settings.topic(topic.name)}-value"
                schema_id = registry.schema_id(subject, load(record))
                self._encoders[topic.name] = Encoder(record, schema_id)

    def send(self, topic: Topic, key: str, record: Mapping[str, Any]) -> None:
        """What cannot be sent is logged."""
        encoder = self._encoders.get(topic.name)
        if encoder is None:
            return  # the topic is not there yet
        try:
            name = self._settings.topic(topic.name)
            self._producer.produce(name, encoder.encode(record), key)
            self._producer.poll(0)
        except (BufferError, KafkaException) as error:
            _LOGGER.warning("record not sent", topic=topic.name, error=str(error))

    def close(self) -> None:
        """Waits a little for Kafka to have it all."""
        self._producer.flush(2.0)
