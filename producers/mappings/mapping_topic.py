"""The topic of remembered mappings: what it holds, what is added and what is forgotten."""

from collections.abc import Callable, Iterable
from typing import cast

from producers.kafka.broker import ANSWER_SECONDS
from producers.kafka.newest_records import NewestRecords
from producers.kafka.publisher import Publisher
from producers.settings import Settings
from schemas.records import GatewayMapping
from schemas.runtime.registry import Registry
from schemas.topics import GATEWAY_MAPPINGS

MOST_OF_ACCOUNT = 100


def remembered_now(
    settings: Settings, registry: Registry, *, timeout_seconds: float = ANSWER_SECONDS
) -> list[GatewayMapping]:
    """All of them. Raises ClusterError and RegistryUnavailableError."""
    with NewestRecords(settings, registry, GATEWAY_MAPPINGS) as log:
        log.start(timeout_seconds=timeout_seconds)
        return cast("list[GatewayMapping]", list(log.read().values()))


def remember(
    mapping: GatewayMapping,
    known: Iterable[GatewayMapping],
    publisher: Publisher,
    encode: Callable[[GatewayMapping], bytes],
) -> None:
    """Adds a mapping, and forgets the oldest ones of an account that has too many. Raises DeliveryError."""
    own = [each for each in known if each["account"] == mapping["account"]]
    others = sorted(
        (each for each in own if each["id"] != mapping["id"]), key=lambda each: each["at"]
    )
    surplus = others[: max(0, len(others) + 1 - MOST_OF_ACCOUNT)]
    publisher.publish(GATEWAY_MAPPINGS.name, [(mapping["id"], encode(mapping))])
    forget((each["id"] for each in surplus), publisher)


def forget(ids: Iterable[str], publisher: Publisher) -> None:
    """Removes mappings; returns when Kafka has acknowledged that. Raises DeliveryError."""
    publisher.publish(GATEWAY_MAPPINGS.name, [(mapping_id, None) for mapping_id in ids])
    publisher.flush()
