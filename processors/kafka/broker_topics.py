"""Topics on the broker: creates them. Clients of librdkafka, and why Kafka cannot be reached."""

from collections.abc import Iterable, Mapping
from threading import Event
from time import monotonic
from types import MappingProxyType
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from processors.errors import ConfigurationError, UnreachableError, WorkerError
from schemas.runtime.kafka_denial import denial
from schemas.runtime.server_settings import ServerSettings
from schemas.topics import CO_PARTITIONED, TOPICS

TIMEOUT_SECONDS = 10.0

SHOW_SECONDS = 0.1
"""Between two looks at whether Kafka shows a topic that it has created."""

UNACKNOWLEDGED = 10_000
"""The most records that wait for their acknowledgement; librdkafka takes 100,000."""

_NONE: Mapping[str, int] = MappingProxyType({})

ANSWER_SECONDS = 5.0
"""How long a broker that is up may take to respond."""


def create_topics(settings: ServerSettings, partitions: Mapping[str, int] = _NONE) -> list[str]:
    """Creates the topics that are missing; returns their names.

    `partitions` are the numbers that are known from before, by name: of topics that were lost.
    """
    prefix = settings.topic_prefix
    admin = admin_client(settings)
    try:
        present = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        missing = [topic for topic in TOPICS if prefix + topic.name not in present]
        # Row topics that a new version adds get as many partitions as the existing ones.
        wide = max(
            (
                len(present[prefix + topic.name].partitions)
                for topic in CO_PARTITIONED
                if prefix + topic.name in present
            ),
            default=0,
        )
        created = (
            admin.create_topics(
                [
                    NewTopic(
                        prefix + topic.name,
                        partitions.get(prefix + topic.name)
                        or (topic in CO_PARTITIONED and wide)
                        or topic.partitions,
                        config=dict(topic.configuration()),
                    )
                    for topic in missing
                ]
            )
            if missing
            else {}
        )
        for future in created.values():
            future.result(TIMEOUT_SECONDS)
        _wait_until_shown(admin, created)
        return list(created)
    except KafkaException as error:
        raise unreachable(settings, error) from error


def _wait_until_shown(admin: AdminClient, names: Iterable[str]) -> None:
    """A broker confirms a topic before it shows it to clients: a worker started at once would miss it.

    Raises KafkaException if that takes longer than TIMEOUT_SECONDS.
    """
    until = monotonic() + TIMEOUT_SECONDS
    while missing := set(names) - admin.list_topics(timeout=TIMEOUT_SECONDS).topics.keys():
        if monotonic() > until:
            raise KafkaException(
                KafkaError(KafkaError._TIMED_OUT, f"does not show {', '.join(sorted(missing))}")
            )
        Event().wait(SHOW_SECONDS)


def configuration(settings: ServerSettings) -> dict[str, Any]:
    """Configuration of every librdkafka client."""
    # Its own log lines would repeat on the terminal what the error says.
    return {**settings.librdkafka(), "log_level": 0}


def admin_client(settings: ServerSettings) -> AdminClient:
    """A client that describes and changes the cluster; it connects when it is first used."""
    return AdminClient(configuration(settings))


def answers(admin: AdminClient, topic: str) -> None:
    """Returns if Kafka responds, by way of the metadata of any topic. Raises KafkaException.

    Not by a request of the AdminClient's own: see processors.kafka.topic_identity.
    """
    admin.list_topics(topic, timeout=ANSWER_SECONDS)


def publish(
    settings: ServerSettings, records: Iterable[tuple[str, bytes | str, bytes | None]]
) -> int:
    """Publishes records (topic, key, value) and returns how many, once Kafka has acknowledged all.

    Raises UnreachableError if it does not.
    """
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
    count = 0
    try:
        for count, (topic, key, value) in enumerate(records, 1):
            producer.produce(topic, value, key)
            if count % UNACKNOWLEDGED == 0:
                producer.flush(3 * TIMEOUT_SECONDS)
    except KafkaException as error:
        raise unreachable(settings, error) from error
    if producer.flush(3 * TIMEOUT_SECONDS) or failures:
        raise UnreachableError(f"Kafka at {settings.kafka_bootstrap} did not take all records")
    return count


def unreachable(settings: ServerSettings, reason: KafkaException | str) -> WorkerError:
    """The error as the operator of a command or a worker needs it."""
    denied = _denial(settings)
    if denied is not None:
        return ConfigurationError(
            f"Kafka at {settings.kafka_bootstrap} and this client do not trust each other, see "
            f"FOX_KAFKA_SECURITY_*: {denied}"
        )
    if isinstance(reason, KafkaException):
        reason = reason.args[0].str()
    return UnreachableError(f"Kafka at {settings.kafka_bootstrap} cannot be reached: {reason}")


def _denial(settings: ServerSettings) -> str | None:
    errors: list[KafkaError] = []
    client = Producer({**configuration(settings), "error_cb": errors.append})
    return denial(client.poll, errors)
