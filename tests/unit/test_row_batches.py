"""What is measured of a batch: each transaction by itself, and none that was not committed."""

import asyncio
from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import REGISTRY

from processors.errors import BatchTooLargeError
from processors.kafka.batch import BATCH_BYTES, Batch
from processors.rows import writer
from processors.rows.accounting.positions import FencedError
from processors.rows.accounting.reject_limit import RejectLimit
from processors.rows.accounting.row_counts import Outcomes
from processors.rows.accounting.written import Written
from processors.rows.merge.targets import TARGETS
from processors.rows.model import NO_ROWS, Reject, Validated
from processors.rows.writer import RelatedTypes, RowWriter, WriterResources
from schemas.import_types import VILLE
from schemas.runtime.traces import BatchSpans
from tests.unit.test_validation import city

MEASURED = ("fox_batch_rows_count", "fox_batch_rows_sum", "fox_batch_seconds_count")


class Consumer:
    """It holds its partitions."""

    def is_current(self, _: Batch) -> bool:
        return True

    def mark_written(self, batch: Batch) -> None:
        """Nothing."""

    async def seek_again(self, batch: Batch) -> None:
        """Nothing."""


@dataclass
class Outbox:
    """Keeps what it is given to publish."""

    told: list[Written] = field(default_factory=list)

    def add(self, _: int, written: Written) -> None:
        self.told.append(written)


@dataclass
class Database:
    """Takes up to `most` records in a transaction. Batches that start at `fenced` or later are somebody
    else's; at `stopped` the worker is told to end."""

    most: int
    fenced: int = 1000
    stopped: int = 1000

    async def write(self, _: object, __: object, batch: Batch, *___: object) -> Written:
        if batch.start >= self.fenced:
            raise FencedError(batch, 7)
        if batch.start >= self.stopped:
            raise CancelledError
        if len(batch.records) > self.most:
            raise BatchTooLargeError
        outcomes = Outcomes()
        outcomes.by_import[None]["inserted"] += len(batch.records)
        return Written(batch.topic, outcomes, [], [])


async def validate(_: Batch) -> None:
    """Nothing is wrong with any record."""


def samples() -> Mapping[str, float]:
    kind = {"type": VILLE.name}
    found = {name: REGISTRY.get_sample_value(name, kind) or 0.0 for name in MEASURED}
    inserted = REGISTRY.get_sample_value("fox_rows_total", {**kind, "outcome": "inserted"})
    return {**found, "inserted": inserted or 0.0}


async def measured(database: Database, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, float]:
    """What is measured of a batch of 1,000 records, and how often something is published."""
    monkeypatch.setattr(writer, "write", database.write)
    nothing: Any = None
    fakes: Any = (validate, Consumer(), Outbox())
    validated, consumer, outbox = fakes
    resources = WriterResources(nothing, outbox, BatchSpans(None))
    target = TARGETS[VILLE.name]
    row_writer = RowWriter(target, validated, resources, 5000, RejectLimit(1), RelatedTypes())
    records = [city() for _ in range(1000)]
    for offset, record in enumerate(records):
        record.offset = offset
    before = samples()
    with suppress(CancelledError):
        await row_writer._process(Batch("fox.rows.ville", 0, 0, 1000, records, object()), consumer)
    return {
        **{name: value - before[name] for name, value in samples().items()},
        "published": len(outbox.told),
    }


@pytest.mark.parametrize(("most", "transactions"), [(1000, 1), (500, 2), (250, 4), (300, 4)])
async def test_each_transaction_is_measured_by_its_own_records(
    most: int, transactions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of fox_batch_rows is the number of records, however often the batch was halved."""
    assert await measured(Database(most), monkeypatch) == {
        "fox_batch_rows_count": transactions,
        "fox_batch_rows_sum": 1000,
        "fox_batch_seconds_count": 1,
        "inserted": 1000,
        "published": transactions,
    }


async def test_half_of_a_batch_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed is measured; the half that is somebody else's is not."""
    assert await measured(Database(500, fenced=500), monkeypatch) == {
        "fox_batch_rows_count": 1,
        "fox_batch_rows_sum": 500,
        "fox_batch_seconds_count": 1,
        "inserted": 500,
        "published": 1,
    }


async def test_what_is_committed_is_measured_and_published_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that is stopped in the second half has accounted for the first."""
    found = await measured(Database(500, stopped=500), monkeypatch)
    assert (found["fox_batch_rows_sum"], found["inserted"], found["published"]) == (500, 500, 1)


async def test_a_batch_that_is_not_committed_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its position stands elsewhere: it took no time to its commit, as there is none."""
    assert set((await measured(Database(1000, fenced=0), monkeypatch)).values()) == {0}


async def joined(sizes: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The records of each transaction, of fetches of one record of these sizes."""
    written: list[int] = []

    async def process(batch: Batch, *_: object) -> list[object]:
        written.append(len(batch.records))
        if sum(written) == len(sizes):
            raise CancelledError
        return []

    monkeypatch.setattr(writer, "process_batch", process)
    nothing: Any = None
    resources = WriterResources(nothing, nothing, BatchSpans(None))
    row_writer = RowWriter(
        TARGETS[VILLE.name], nothing, resources, 5000, RejectLimit(1), RelatedTypes()
    )
    queue: asyncio.Queue[Batch] = asyncio.Queue()
    token = object()
    for offset, size in enumerate(sizes):
        batch = Batch("fox.rows.ville", 0, offset, offset + 1, [city()], token, size)
        queue.put_nowait(batch)
    with suppress(CancelledError):
        await row_writer._write_partition(queue, nothing)
    return written


@pytest.mark.parametrize(
    ("sizes", "transactions"),
    [
        ([100] * 6, [6]),
        ([BATCH_BYTES // 2] * 5, [2, 2, 1]),
        ([BATCH_BYTES * 2, 1, 1], [1, 2]),
        ([1, BATCH_BYTES], [1, 1]),
    ],
)
async def test_a_transaction_is_bounded_by_bytes(
    sizes: list[int], transactions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetches are joined to a batch up to so many bytes, and a large one is alone."""
    assert await joined(sizes, monkeypatch) == transactions


def test_the_size_of_a_batch() -> None:
    """Keys and values count; halves have sizes of their own."""
    records = [city() for _ in range(4)]
    for offset, record in enumerate(records):
        record.offset = offset
    one = records[0].serialized_key_size + records[0].serialized_value_size
    batch = Batch("fox.rows.ville", 0, 0, 4, records, object())

    assert batch.size == 4 * one
    assert [half.size for half in batch.halves()] == [2 * one, 2 * one]
    assert batch.joined(batch).size == 8 * one


class Upstream:
    """Answers with a batch of nothing."""

    async def check(self, *_: object) -> Validated:
        return Validated(NO_ROWS, [])


@pytest.mark.parametrize(("upstream", "named"), [(None, {"an-import"}), (Upstream(), set())])
async def test_lineage_is_checked_in_upstream_topics_alone(
    upstream: Any, named: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written of a row that names an import: of a topic of files as it is."""
    seen: list[set[str]] = []

    async def validate_(_: Batch) -> Validated:
        return Validated(NO_ROWS, [Reject(city(), "an-import", 1, 2, None, [])])

    async def write(
        _: object, __: object, batch: Batch, validated: Validated, *___: object
    ) -> Written:
        seen.append(validated.imports())
        return Written(batch.topic, Outcomes(), [], [])

    monkeypatch.setattr(writer, "write", write)
    fakes: Any = (None, Consumer(), Outbox(), validate_)
    nothing, consumer, outbox, judge = fakes
    resources = WriterResources(nothing, outbox, BatchSpans(None))
    row_writer = RowWriter(
        TARGETS[VILLE.name], judge, resources, 5000, RejectLimit(1), RelatedTypes(), upstream
    )
    await row_writer._process(Batch("fox.rows.ville", 0, 0, 1, [city()], object()), consumer)

    assert seen == [named]
