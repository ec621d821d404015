"""What a look at the positions says: how far behind, and whether the database went back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic, time

import pytest
from faust.types import TP
from prometheus_client import REGISTRY, CollectorRegistry
from structlog.testing import capture_logs

from processors import metrics
from processors.monitoring import lag as lag_module
from processors.monitoring.lag import Lag

A, B = TP("lag.a", 0), TP("lag.a", 1)


@dataclass
class Consumer:
    """One that holds what `stored` has positions of."""

    stored: dict[TP, int]
    ends: dict[TP, int]
    oldest: dict[TP, float] = field(default_factory=dict)
    halted: set[TP] = field(default_factory=set)
    fetched: dict[TP, int] = field(default_factory=dict)
    committed: dict[TP, int] = field(default_factory=dict)
    taken_back: list[TP] = field(default_factory=list)
    beginnings: dict[TP, int] = field(default_factory=dict)
    should_stop: bool = False
    watermarks: dict[TP, int] = field(default_factory=dict)

    def high_watermark(self, tp: TP) -> int:
        return self.watermarks.get(tp, 0)

    def assignment(self) -> Iterable[TP]:
        return set(self.stored)

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        return {tp: self.beginnings.get(tp, 0) for tp in tps}

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        return {tp: self.ends[tp] for tp in tps}

    def written(self, tp: TP) -> int:
        return self.committed.get(tp, 0)

    def fetch_position(self, tp: TP) -> int:
        return self.fetched.get(tp, 0)

    def unwritten_since(self, tp: TP, position: int) -> float | None:
        return self.oldest.get(tp)

    async def seek_stored(self, tp: TP) -> None:
        self.taken_back.append(tp)

    async def read(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        return {tp: self.stored[tp] for tp in tps}


def gap(tp: TP) -> float | None:
    where = {"topic": tp.topic, "partition": str(tp.partition)}
    return REGISTRY.get_sample_value("fox_position_gap_rows", where)


def metric(name: str, tp: TP) -> float | None:
    return REGISTRY.get_sample_value(
        f"fox_consumer_lag_{name}", {"topic": tp.topic, "partition": str(tp.partition)}
    )


async def test_rows_and_seconds() -> None:
    consumer = Consumer({A: 10, B: 5}, {A: 10, B: 25}, {B: time() - 60})
    lag = Lag(consumer.read, lambda: consumer)

    await lag.look()

    assert (metric("rows", A), metric("seconds", A)) == (0, 0)
    assert metric("rows", B) == 20
    assert 60 <= (metric("seconds", B) or 0) < 62


async def test_a_lag_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no samples after a while; how many partitions are assigned is known all the same."""
    consumer = Consumer({A: 10, B: 5}, {A: 10, B: 25})
    lag = Lag(consumer.read, lambda: consumer)
    await lag.look()

    async def away(_: Iterable[TP]) -> Mapping[TP, int]:
        raise OSError("PostgreSQL is away")

    lag._stored = away
    with pytest.raises(OSError, match="away"):
        await lag.look()
    assert (metric("rows", B), assigned()) == (20, 2)

    monkeypatch.setattr(metrics, "monotonic", lambda: monotonic() + metrics.KNOWN_SECONDS + 1)
    assert (metric("rows", B), metric("seconds", B), gap(B)) == (None, None, None)
    assert assigned() == 2

    del consumer.stored[A]
    lag._stored = consumer.read
    await lag.look()
    assert (metric("rows", B), metric("rows", A), assigned()) == (20, None, 1)


def assigned() -> float | None:
    return REGISTRY.get_sample_value("fox_partitions_assigned", {"topic": A.topic})


def test_a_value_that_was_never_read_has_no_sample() -> None:
    """Not the 0 with which every gauge begins."""
    registry = CollectorRegistry()
    gauge = metrics.ReadGauge("unfinished", "Imports.", registry=registry)
    assert registry.get_sample_value("unfinished") is None

    gauge.set(127)

    assert registry.get_sample_value("unfinished") == 127


async def test_a_partition_that_nobody_reads_ages() -> None:
    """From the first look that found it there; a row that is written starts it anew."""
    consumer = Consumer({A: 10}, {A: 20})
    lag = Lag(consumer.read, lambda: consumer)

    await lag.look()
    first = metric("seconds", A) or 0
    await lag.look()
    second = metric("seconds", A) or 0
    consumer.stored[A] = 11
    await lag.look()

    assert second > first
    assert (metric("seconds", A) or 0) < second


async def test_markers_of_transactions_are_nothing_to_write() -> None:
    consumer = Consumer({A: 10}, {A: 11}, fetched={A: 11})
    lag = Lag(consumer.read, lambda: consumer)

    await lag.look()
    assert (metric("rows", A), metric("seconds", A)) == (0, 0)

    consumer.oldest[A] = time() - 1  # handed out, not written
    await lag.look()
    assert metric("rows", A) == 1


async def test_an_open_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits behind it is counted and ages, and is not what this worker has to write."""
    consumer = Consumer({A: 10}, {A: 10}, fetched={A: 10}, watermarks={A: 15})
    lag = Lag(consumer.read, lambda: consumer)
    await lag.look()
    begun = time()
    monkeypatch.setattr(lag_module, "time", lambda: begun + 400)
    await lag.look()

    assert metric("rows", A) == 5
    assert 399 < (metric("seconds", A) or 0) < 401
    assert 399 < (opened(A) or 0) < 401
    assert lag.stuck(300) == []

    consumer.ends[A] = 15  # it is committed, and its rows have just become readable
    await lag.look()
    assert (metric("rows", A), metric("seconds", A), opened(A)) == (5, 0, 0)
    assert lag.stuck(300) == []

    monkeypatch.setattr(lag_module, "time", lambda: begun + 701)
    assert lag.stuck(300) == [A]


async def test_a_row_after_a_quiet_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for which there was nothing to write does not count."""
    consumer = Consumer({A: 10}, {A: 10})
    lag = Lag(consumer.read, lambda: consumer)
    await lag.look()
    begun = time()
    monkeypatch.setattr(lag_module, "time", lambda: begun + 3600)

    consumer.ends[A] = 11
    await lag.look()

    assert (metric("rows", A), metric("seconds", A)) == (1, 0)
    assert lag.stuck(300) == []


def opened(tp: TP) -> float | None:
    where = {"topic": tp.topic, "partition": str(tp.partition)}
    return REGISTRY.get_sample_value("fox_transaction_open_seconds", where)


async def test_a_partition_that_left_is_not_told_any_more() -> None:
    consumer = Consumer({A: 10, B: 10}, {A: 20, B: 20})
    lag = Lag(consumer.read, lambda: consumer)
    await lag.look()

    del consumer.stored[B]
    await lag.look()

    assert metric("rows", A) == 10
    assert metric("rows", B) is None


async def test_halted_partitions() -> None:
    consumer = Consumer({A: 10, B: 10}, {A: 20, B: 20}, halted={B})

    await Lag(consumer.read, lambda: consumer).look()

    assert REGISTRY.get_sample_value("fox_partitions_halted", {"topic": "lag.a"}) == 1


async def test_a_position_that_went_back_is_followed() -> None:
    """Below what this worker saw committed: also where that was since the last look."""
    consumer = Consumer({A: 10, B: 10}, {A: 20, B: 20}, committed={A: 10, B: 10})
    lag = Lag(consumer.read, lambda: consumer)
    await lag.look()
    assert consumer.taken_back == []

    consumer.committed[A] = 12
    await lag.look()

    assert consumer.taken_back == [A]


async def test_a_position_that_kafka_does_not_hold() -> None:
    """Before the log's beginning, or beyond its end; in between there is no gap."""
    consumer = Consumer({A: 10, B: 30}, {A: 20, B: 20}, beginnings={A: 15})
    lag = Lag(consumer.read, lambda: consumer)

    await lag.look()
    assert (gap(A), gap(B)) == (5, 10)

    consumer.stored |= {A: 15, B: 20}
    await lag.look()
    assert (gap(A), gap(B)) == (0, 0)


async def test_a_position_that_is_lost_is_sought_at_the_second_look() -> None:
    """That halts the partition, which no fetch would do while no record comes; once it is halted it waits.

    Rows that are in memory may be the only ones that are left: they are written first.
    """
    consumer = Consumer({A: 10, B: 30}, {A: 20, B: 20}, beginnings={A: 15}, oldest={B: 1.0})
    lag = Lag(consumer.read, lambda: consumer)

    for _ in range(3):
        await lag.look()
    consumer.oldest = {}
    await lag.look()
    assert consumer.taken_back == []
    await lag.look()
    assert consumer.taken_back == [B]

    consumer.halted = {B}
    await lag.look()
    assert consumer.taken_back == [B]


async def test_rows_that_wait_while_none_is_written() -> None:
    """Stuck is who has rows and stands still; neither who is done nor who has just moved."""
    consumer = Consumer({A: 10, B: 20}, {A: 20, B: 20})
    lag = Lag(consumer.read, lambda: consumer)

    await lag.look()
    assert lag.stuck(60) == []
    assert lag.stuck(0) == [A]

    consumer.stored[A] = 20
    await lag.look()
    assert lag.stuck(0) == []


@dataclass
class Ending(Consumer):
    """One whose thread is gone when it is asked for offsets."""

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        self.should_stop = True
        raise RuntimeError("Event loop is closed")


async def test_the_consumer_ends_during_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look is given up without a word: nothing went wrong."""
    monkeypatch.setattr(lag_module, "LOOK_SECONDS", 0)
    consumer = Ending({A: 10}, {A: 20})

    with capture_logs() as logs:
        await Lag(consumer.read, lambda: consumer).watch()

    assert (consumer.should_stop, logs) == (True, [])
