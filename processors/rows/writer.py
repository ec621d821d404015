"""Row topics to PostgreSQL: batch after batch, each in one transaction, partitions side by side."""

import asyncio
from collections.abc import AsyncIterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import structlog
from faust.types import TP

from processors import metrics
from processors.database.pool import Pool
from processors.kafka.batch import Batch
from processors.kafka.consumer import BatchConsumer
from processors.rows.accounting.reject_limit import RejectLimit
from processors.rows.accounting.written import Written
from processors.rows.batch_loop import settle
from processors.rows.merge.targets import Target
from processors.rows.model import Judged
from processors.rows.outbox import Outbox
from processors.rows.parking.category_table import Categories
from processors.rows.parking.parked_rows import Waiting
from processors.rows.transaction import ALONE, Kin, write
from processors.rows.validation import judge
from schemas.codec.framing import RowDecoder
from schemas.import_types import ImportType
from schemas.outcomes import OUTCOMES
from schemas.rules import Luhn
from schemas.runtime.traces import BatchSpans

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Judge:
    """judging.judge for the rows of a topic that has so many partitions."""

    import_type: ImportType
    decoder: RowDecoder
    partitions: int
    luhn: Luhn

    async def __call__(self, batch: Batch) -> Judged:
        if self.decoder.knows(record.value for record in batch.records):
            # In the loop: threads that want the interpreter at the same time cost a fifth more.
            return self._judge(batch)
        # The registry is asked, which may take a while.
        return await asyncio.to_thread(self._judge, batch)

    def _judge(self, batch: Batch) -> Judged:
        return judge(batch, self.partitions, self.import_type, self.decoder, self.luhn)


@dataclass(frozen=True)
class Family:
    """What a type has to do with others: those whose rows wait for its rows, and the categories."""

    children: Waiting | None = None
    categories: Categories | None = None


@dataclass(frozen=True)
class Means:
    """What the writers of a process share."""

    pool: Pool
    outbox: Outbox
    spans: BatchSpans


class RowWriter:
    """Writes the batches of one import type, up to `batch_rows` rows in a transaction."""

    def __init__(
        self,
        target: Target,
        judge: Judge,
        means: Means,
        batch_rows: int,
        limit: RejectLimit,
        family: Family,
    ) -> None:
        self._target = target
        self._judge = judge
        self._means = means
        self._batch_rows = batch_rows
        self._limit = limit
        self._family = family
        # From 0: what begins at its first row has no rate.
        for outcome in OUTCOMES:
            metrics.ROWS.labels(target.import_type.name, outcome)
        for histogram in (metrics.BATCH_SECONDS, metrics.BATCH_ROWS):
            histogram.labels(target.import_type.name)

    async def run(self, events: AsyncIterable[Any], consumer: BatchConsumer) -> None:
        """Takes the events of the topic's stream, whose values are batches."""
        lanes: dict[TP, asyncio.Queue[Batch]] = {}
        async with asyncio.TaskGroup() as tasks:
            async for event in events:
                batch: Batch = event.value
                if batch.tp not in lanes:
                    lanes[batch.tp] = asyncio.Queue()
                    tasks.create_task(self._lane(lanes[batch.tp], consumer))
                lanes[batch.tp].put_nowait(batch)

    async def _lane(self, waiting: asyncio.Queue[Batch], consumer: BatchConsumer) -> None:
        """Writes what waits of one partition, as much at once as a transaction may hold."""
        batch = await waiting.get()
        while True:
            following = await waiting.get() if waiting.qsize() else None
            if (
                following is not None
                and batch.precedes(following)
                and len(batch.records) + len(following.records) <= self._batch_rows
            ):
                batch = batch.joined(following)
                continue
            await self._settle(batch, consumer)
            batch = following or await waiting.get()

    async def _settle(self, batch: Batch, consumer: BatchConsumer) -> None:
        began = perf_counter()
        headers = (record.headers for record in batch.records)
        with self._means.spans.writing(batch.topic, batch.partition, batch.start, headers):
            committed = await settle(batch, consumer, self._write, self._means.pool)
        if committed:
            seconds = metrics.BATCH_SECONDS.labels(self._target.import_type.name)
            seconds.observe(perf_counter() - began)

    async def _write(self, batch: Batch) -> Written:
        judged = await self._judge(batch)
        categories, keys, kin = self._family.categories, set[str](), ALONE
        if categories is not None:
            keys = set(map(self._target.import_type.routing, set(judged.rows.keys)))
            known = {} if self._target.import_type.parent is None else categories.ids(keys)
            kin = Kin(known, self._family.children)
        written = await write(self._means.pool, self._target, batch, judged, self._limit, kin)
        self._committed(batch, written)
        unknown = keys if written.misled else keys - kin.parents.keys()
        if categories is not None and unknown:
            await categories.refresh(unknown)
        return written

    def _committed(self, batch: Batch, written: Written) -> None:
        """Accounts for one transaction: a batch that was halved has several."""
        kind = self._target.import_type.name
        metrics.BATCH_ROWS.labels(kind).observe(len(batch.records))
        count(kind, written)
        self._means.outbox.tell(batch.topic, batch.partition, written)
        if written.freed is not None and self._family.children is not None:
            tell_freed(self._family.children, batch.partition, written.freed, self._means.outbox)


def tell_freed(waiting: Waiting, partition: int, freed: Written, outbox: Outbox) -> None:
    """Counts and tells what became of rows that have waited."""
    log.info(
        "rows wait no longer", action="rows_released", topic=waiting.topic, partition=partition,
        outcomes=dict(freed.outcomes.total()),
    )  # fmt: skip
    count(waiting.target.import_type.name, freed)
    outbox.tell(waiting.topic, partition, freed)
    if freed.left:
        waiting.left.set()


def count(kind: str, written: Written) -> None:
    """Adds a transaction to the metrics."""
    total = written.outcomes.total()
    for outcome in OUTCOMES:
        if total[outcome] > 0:
            metrics.ROWS.labels(kind, outcome).inc(total[outcome])
    for reject in (reject for reject in written.rejects if not reject.cancelled):
        metrics.REJECTS.labels(kind, reject.faults[0].code).inc()
