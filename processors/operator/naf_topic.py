"""The compacted topic `reference.naf`, from which running workers take labels."""

from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from processors.errors import UnreachableError
from processors.kafka.broker_topics import TIMEOUT_SECONDS, configuration, unreachable
from processors.operator.naf_files import Activity
from processors.settings import Settings
from schemas.codec.framing import Encoder, load
from schemas.runtime.registry import Registry
from schemas.topics import REFERENCE_NAF

Send = Callable[[Mapping[str, Activity], Iterable[str]], None]
"""Publishes activities by code, and removes codes."""


def sender(settings: Settings, registry: Registry) -> Send:
    """What publishes to the topic; it raises UnreachableError if Kafka has not taken everything."""
    topic, record = settings.topic_prefix + REFERENCE_NAF.name, str(REFERENCE_NAF.record)
    encoder = Encoder(record, registry.schema_id(f"{topic}-value", load(record)))

    def send(activities: Mapping[str, Activity], removed: Iterable[str]) -> None:
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        producer = Producer(
            {
                **configuration(settings),
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "on_delivery": delivered,
            }
        )
        try:
            for code, activity in activities.items():
                value = encoder.encode({"libelle": activity.label, "sous_categorie": activity.slug})
                producer.produce(topic, value, code)
            for code in removed:
                producer.produce(topic, None, code)
        except KafkaException as error:
            raise unreachable(settings, error) from error
        if producer.flush(3 * TIMEOUT_SECONDS) or failures:
            raise UnreachableError(
                f"Kafka at {settings.kafka_bootstrap} did not take the reference"
            )

    return send
