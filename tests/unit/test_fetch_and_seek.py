"""Two guards of the consumer without a broker; tests/integration/test_consumer.py has them with one."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from processors.kafka.consumer import BatchConsumer
from processors.kafka.fetch_thread import FETCH_BYTES, _bounded

PARTITION = TP("rows.entreprise", 0)


@pytest.mark.parametrize(("now", "paused"), [(7, 2), (8, 1)])
async def test_a_seek_that_is_due_again(now: int, paused: int) -> None:
    """It pauses its partitions for its own seek, and not if a rebalance has come in between."""
    pauses: list[set[TP]] = []
    seeks: list[set[TP]] = []
    app = SimpleNamespace(consumer_generation_id=7)

    async def sleep(_: float) -> None:
        app.consumer_generation_id = now

    async def seek(tps: set[TP]) -> dict[TP, int]:
        seeks.append(tps)
        return {}

    consumer = SimpleNamespace(
        app=app,
        should_stop=False,
        sleep=sleep,
        pause_partitions=pauses.append,
        _seek_or_crash=seek,
    )

    await BatchConsumer._seek_later(cast(Any, consumer), {PARTITION}, 7)

    assert len(pauses) == paused
    assert len(seeks) == paused - 1


def test_a_fetch_ends_at_its_bytes() -> None:
    """The record that reaches the limit is the last one; the others stay for the next call."""
    sizes = [1, FETCH_BYTES - 2, 1, 1]
    records = [SimpleNamespace(key=None, value=bytes(size), headers=()) for size in sizes]
    moved: list[None] = []
    result = SimpleNamespace(
        check_assignment=lambda _: True,
        has_more=lambda: True,
        _topic_partition=PARTITION,
        _partition_records=iter(records),
        _update_position=lambda: moved.append(None),
    )

    assert _bounded(result) == records[:3]
    assert _bounded(result) == records[3:]
    assert result._partition_records is None
    assert len(moved) == 2
