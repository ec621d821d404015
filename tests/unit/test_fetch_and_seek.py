"""Guards of the consumer without a broker; tests/integration/test_consumer.py has them with one."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from processors.kafka.consumer import BatchConsumer
from processors.kafka.fetch_thread import FETCH_BYTES, Fetch, FetchThread, _bounded

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


@pytest.mark.parametrize(
    ("epochs", "new"),
    [
        ([(3, 3), (3, 3)], []),
        ([(3, 3), (4, 4), (4, 4)], [1]),
        ([(3, 4), (4, 4)], []),  # the log goes on from one to the other
        ([(3, 3), (4, 4), (3, 3), (4, 5), (5, 5)], [1]),  # what is fetched once more is not new
        ([(-1, -1), (-1, -1)], []),
    ],
)
def test_records_of_a_new_leader(epochs: list[tuple[int, int]], new: list[int]) -> None:
    """Each leader is new once: a seek that its records cause reads the same records again."""
    consumer = cast(Any, SimpleNamespace(_epochs={}))
    fetches = [Fetch(0, 1, [], each) for each in epochs]

    found = [BatchConsumer._is_of_a_new_leader(consumer, PARTITION, fetch) for fetch in fetches]

    assert [number for number, is_new in enumerate(found) if is_new] == new


class Taken:
    """Records with the leader epoch of the last one that was taken, which is its number."""

    def __init__(self, sizes: list[int]) -> None:
        self.records = [SimpleNamespace(key=None, value=bytes(n), headers=()) for n in sizes]
        self.leader_epoch = -1

    def __iter__(self) -> Iterator[Any]:
        while self.leader_epoch + 1 < len(self.records):
            self.leader_epoch += 1
            yield self.records[self.leader_epoch]


def test_a_fetch_ends_at_its_bytes() -> None:
    """The record that reaches the limit is the last one; the others stay for the next call."""
    sizes = [1, FETCH_BYTES - 2, 1, 1]
    log = Taken(sizes)
    moved: list[None] = []
    result = SimpleNamespace(
        check_assignment=lambda _: True,
        has_more=lambda: True,
        _topic_partition=PARTITION,
        _partition_records=log,
        _update_position=lambda: moved.append(None),
    )

    first, second = _bounded(result), _bounded(result)
    assert (first, first.epochs) == (log.records[:3], (0, 2))
    assert (second, second.epochs) == (log.records[3:], (3, 3))
    assert result._partition_records is None
    assert len(moved) == 2


@pytest.mark.parametrize("is_known", [True, False])
def test_a_partition_without_a_position_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """Faust looks every few seconds whether partitions move, and fails for one whose position is looked for."""
    looked: list[TP] = []
    monkeypatch.setattr(
        FetchThread.__base__, "verify_event_path", lambda _self, _now, tp: looked.append(tp)
    )
    state = SimpleNamespace(has_valid_position=is_known, position=7)
    assignment = SimpleNamespace(tps=[PARTITION], state_value=lambda _: state)
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    thread = FetchThread.__new__(FetchThread)
    thread._consumer = SimpleNamespace(_subscription=subscription)

    thread.verify_event_path(0.0, PARTITION)

    assert looked == [PARTITION] * is_known
