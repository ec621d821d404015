"""What the publisher and the readers of logs share: how they reach Kafka, and how they fail.

    ClusterError
    +-- UnreachableError    a server does not answer: try again later
    +-- NotReadyError       it answers, but does not let us in, or lacks topics or schemas: an operator acts
    +-- DeliveryError       it refused what was published: nothing after it was sent

Messages are in French: the command line shows them as they are.
"""

import logging
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from producers.settings import Settings
from schemas.runtime.kafka_denial import denial

# librdkafka writes to the terminal by itself unless it is given a logger.
ANSWER_SECONDS = 8.0
"""How long Kafka may take to answer who asks it first."""

_LOGGER = logging.getLogger("librdkafka")
_LOGGER.addHandler(logging.NullHandler())


class ClusterError(Exception):
    """Kafka or the schema registry is in the way; the message names it and what to do."""


class UnreachableError(ClusterError):
    """A server does not answer."""


class NotReadyError(ClusterError):
    """Topics or schemas are missing, or Kafka and this client do not trust each other."""


class DeliveryError(ClusterError):
    """Kafka refused a message."""


def configuration(settings: Settings) -> dict[str, Any]:
    """The settings that all librdkafka clients share."""
    return {
        **settings.librdkafka(),
        "client.id": "foxstream",
        "logger": _LOGGER,
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.sparse": True,
        # Else a client connects with its first question, 50 ms later than it could.
        "enable.sparse.connections": False,
    }


def partition_counts(
    client: Any, settings: Settings, topics: Iterable[str], *, timeout_seconds: float
) -> dict[str, int]:
    """Partitions of each topic, by its name without the prefix.

    `client` is any librdkafka client. Raises UnreachableError and NotReadyError.
    """
    try:
        # All topics: to request one by name would create it on a broker that allows that.
        known = client.list_topics(timeout=timeout_seconds).topics
    except KafkaException as error:
        denied = _denial(settings)
        if denied is not None:
            raise NotReadyError(
                f"Kafka à l'adresse {settings.kafka_bootstrap} refuse la connexion, ou son "
                f"certificat n'est pas reconnu ({denied}) : vérifiez FOX_KAFKA_SECURITY_*."
            ) from error
        raise UnreachableError(
            f"Kafka ne répond pas à l'adresse {settings.kafka_bootstrap} : vérifiez qu'il est "
            "démarré et que FOX_KAFKA_BOOTSTRAP est juste."
        ) from error
    missing = [name for name in map(settings.topic, topics) if name not in known]
    if missing:
        raise NotReadyError(
            f"Kafka n'a pas de topic {', '.join(missing)}, ou ne le montre pas à cet utilisateur : "
            "lancez « foxstream-worker topics »."
        )
    return {name: len(known[settings.topic(name)].partitions) for name in topics}


def _denial(settings: Settings) -> str | None:
    errors: list[KafkaError] = []
    client = Producer({**configuration(settings), "error_cb": errors.append})
    return denial(client.poll, errors)
