"""How a batch is seen through: what its consumer is told, whatever the writing of it comes to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
import pytest
from aiokafka import ConsumerRecord
from faust.types import TP
from psycopg_pool import PoolTimeout

from processors.database.pool import Pool
from processors.database.site_tables import UnfilledColumnError
from processors.errors import BatchTooLargeError
from processors.kafka.batch import Batch
from processors.kafka.consumer import BatchConsumer
from processors.rows import batch_loop
from processors.rows.accounting.positions import FencedError
from processors.rows.accounting.reject_limit import RejectLimitError
from processors.rows.batch_loop import process_batch


@dataclass
class Consumer:
    """What a batch consumer is told. `current`: of how many batches the partition is still ours."""

    current: int = 1000
    wrote_to: list[int] = field(default_factory=list)
    sought: list[int] = field(default_factory=list)
    halted: list[tuple[TP, bool]] = field(default_factory=list)

    def is_current(self, batch: Batch) -> bool:
        self.current -= 1
        return self.current >= 0

    def mark_written(self, batch: Batch) -> None:
        self.wrote_to.append(batch.end)

    async def seek_again(self, batch: Batch) -> None:
        self.sought.append(batch.start)

    def halt(self, tp: TP, *, again: bool) -> None:
        self.halted.append((tp, again))


class Nowhere:
    """A pool of a server that is away."""

    def connection(self) -> Any:
        raise PoolTimeout


@dataclass
class Work:
    """Writes batches, or fails as it is told: by how many records there are, or once each."""

    fault: Callable[[Batch], Exception | None] = lambda batch: None
    once: list[Exception] = field(default_factory=list)
    batches: list[tuple[int, int]] = field(default_factory=list)

    async def __call__(self, batch: Batch) -> int:
        self.batches.append((batch.start, batch.end))
        fault = self.once.pop(0) if self.once else self.fault(batch)
        if fault is not None:
            raise fault
        return len(batch.records)


def batch(records: int) -> Batch:
    """One from offset 10 on, whose last two offsets hold no records."""
    found = [
        ConsumerRecord("t", 0, 10 + at, 0, 1, None, b"", None, 0, 0, ()) for at in range(records)
    ]
    return Batch("t", 0, 10, 12 + records, found, object())


async def seen_through(work: Work, consumer: Consumer, records: int = 4) -> list[int]:
    return await process_batch(
        batch(records), cast(BatchConsumer, consumer), work, cast(Pool, Nowhere())
    )


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no pause between two tries."""
    monkeypatch.setattr(batch_loop, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(batch_loop, "LONGEST_PAUSE_SECONDS", 0.0)


async def test_a_batch_that_is_written() -> None:
    consumer = Consumer()

    assert await seen_through(Work(), consumer) == [4]
    assert (consumer.wrote_to, consumer.sought, consumer.halted) == ([16], [], [])


async def test_a_batch_of_somebody_else() -> None:
    """Nothing of a partition that was taken away is written, nor tried again once it is."""
    work = Work()
    assert await seen_through(work, Consumer(current=0)) == []
    assert work.batches == []

    work = Work(lambda _: psycopg.OperationalError())
    assert await seen_through(work, Consumer(current=3)) == []
    assert work.batches == [(10, 16)] * 3


async def test_a_batch_that_was_applied_before() -> None:
    """The answer to its COMMIT was lost: it counts as written, and reading goes on after it."""
    consumer = Consumer()

    assert await seen_through(Work(lambda each: FencedError(each, each.end)), consumer) == []
    assert (consumer.wrote_to, consumer.sought, consumer.halted) == ([16], [], [])


@pytest.mark.parametrize("stored", [9, 10, 15, 17])
async def test_a_batch_that_is_not_the_next_one(stored: int) -> None:
    """The partition is taken back to where it stands: no batch is skipped, and none counts as
    written."""
    consumer = Consumer()

    assert await seen_through(Work(lambda each: FencedError(each, stored)), consumer) == []
    assert (consumer.wrote_to, consumer.sought, consumer.halted) == ([], [10], [])


@pytest.mark.parametrize(
    "error", [BatchTooLargeError(), psycopg.errors.QueryCanceled()], ids=["rounds", "time"]
)
async def test_a_batch_that_is_too_large(error: Exception) -> None:
    """It is written in two, and each half in two again: nothing between them is left out."""
    consumer = Consumer()
    work = Work(lambda each: error if len(each.records) > 1 else None)

    assert await seen_through(work, consumer) == [1, 1, 1, 1]
    assert [tried for tried in work.batches if tried[1] - tried[0] == 1] == [
        (10, 11), (11, 12), (12, 13)
    ]  # fmt: skip
    assert work.batches[-1] == (13, 16)
    assert consumer.wrote_to == [11, 12, 13, 16]


async def test_one_record_that_takes_too_long() -> None:
    """It cannot be halved: it is tried again, as for a server that is slow at the moment."""
    work = Work(once=[psycopg.errors.QueryCanceled(), psycopg.errors.QueryCanceled()])

    assert await seen_through(work, Consumer(), records=1) == [1]
    assert len(work.batches) == 3


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (psycopg.errors.UndefinedTable(), True),
        (UnfilledColumnError("vip"), True),
        (RejectLimitError("too many"), False),
    ],
)
async def test_what_only_a_person_can_put_right(error: Exception, again: bool) -> None:
    """The partition is halted, though PostgreSQL does not store why; no row is rejected.

    It is tried again later, unless the reject limit has halted it.
    """
    consumer = Consumer()
    work = Work(lambda _: error)

    assert await seen_through(work, consumer) == []
    assert (consumer.wrote_to, consumer.sought, consumer.halted) == ([], [], [(TP("t", 0), again)])
    assert len(work.batches) == 1


def test_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is about twice the one before, up to a limit, and no two workers pause alike."""
    monkeypatch.setattr(batch_loop, "FIRST_PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(batch_loop, "LONGEST_PAUSE_SECONDS", 5.0)
    away = psycopg.OperationalError()
    pace, other = batch_loop._Pace(), batch_loop._Pace()

    pauses = [pace(away) for _ in range(6)]

    for pause, longest in zip(pauses, (1, 2, 4, 5, 5, 5), strict=True):
        assert longest / 2 <= pause <= longest
    assert pauses != [other(away) for _ in range(6)]
    assert pace(psycopg.errors.CheckViolation()) is False
