"""Why Kafka refused a client, whatever librdkafka tells first."""

from typing import NamedTuple

import pytest

from schemas.runtime import kafka_denial as module
from schemas.runtime.kafka_denial import denial

DOWN = "_ALL_BROKERS_DOWN"


class Told(NamedTuple):
    """An error as librdkafka tells it."""

    code: str
    text: str = "why"

    def name(self) -> str:
        return self.code

    def str(self) -> str:
        return self.text


@pytest.mark.parametrize("reason", ["_SSL", "_AUTHENTICATION"])
@pytest.mark.parametrize("order", [(), (DOWN,), ("_TRANSPORT", DOWN, DOWN)])
def test_a_reason_counts_after_the_news_that_no_broker_is_left(
    reason: str, order: tuple[str, ...]
) -> None:
    """librdkafka tells the two in either order."""
    coming = [*map(Told, order), Told(reason, "no trust")]
    told: list[Told] = []

    assert denial(lambda _: told.append(coming.pop(0)), told) == "no trust"


@pytest.mark.parametrize("first", [[], [Told("_TRANSPORT"), Told(DOWN)]])
def test_a_broker_that_is_away_denies_nobody(
    first: list[Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence and connections refused come to an end."""
    clock = iter(range(1000))
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))

    assert denial(lambda _: None, first) is None
    assert next(clock) < 20
