"""Row topics to PostgreSQL: batch after batch, each in one transaction, partitions side by side."""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Any

from faust.types import TP

from processors import metrics
from processors.database.pool import Pool
from processors.draining import Batch, BatchConsumer
from processors.judging import Judged
from processors.outbox import Outbox
from processors.settling import settle
from processors.writing.limit import RejectLimit
from processors.writing.targets import Target
from processors.writing.transaction import Written, write
from schemas.codec import Decoder

WAITING_BATCHES = 4
"""Per partition, while the one before is written: enough to fill a transaction with small fetches."""


class RowWriter:
    """Writes the batches of one import type, up to `batch_rows` rows in a transaction."""

    def __init__(
        self,
        target: Target,
        decoder: Decoder,
        judge: Callable[[Batch], Judged],
        pool: Pool,
        outbox: Outbox,
        batch_rows: int,
        limit: RejectLimit,
    ) -> None:
        self._target = target
        self._decoder = decoder
        self._judge = judge
        self._pool = pool
        self._outbox = outbox
        self._batch_rows = batch_rows
        self._limit = limit

    async def run(self, events: AsyncIterable[Any], consumer: BatchConsumer) -> None:
        """Takes the events of the topic's stream, whose values are batches."""
        lanes: dict[TP, asyncio.Queue[Batch]] = {}
        async with asyncio.TaskGroup() as tasks:
            async for event in events:
                batch: Batch = event.value
                if batch.tp not in lanes:
                    lanes[batch.tp] = asyncio.Queue(WAITING_BATCHES)
                    tasks.create_task(self._lane(lanes[batch.tp], consumer))
                await lanes[batch.tp].put(batch)

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
        with metrics.BATCH_SECONDS.labels(self._target.import_type.name).time():
            results = await settle(batch, consumer, self._write, self._pool)
        for written in results:
            self._count(batch, written)
            self._outbox.tell(batch.topic, batch.partition, written)

    async def _write(self, batch: Batch) -> Written:
        if self._decoder.knows(record.value for record in batch.records):
            # In the loop: threads that want the interpreter at the same time cost a fifth more.
            judged = self._judge(batch)
        else:  # the registry is asked, which may take a while
            judged = await asyncio.to_thread(self._judge, batch)
        return await write(self._pool, self._target, batch, judged, self._limit)

    def _count(self, batch: Batch, written: Written) -> None:
        kind = self._target.import_type.name
        metrics.BATCH_ROWS.labels(kind).observe(len(batch.records))
        for outcome, rows in written.outcomes.total().items():
            metrics.ROWS.labels(kind, outcome).inc(rows)
        for reject in written.rejects:
            metrics.REJECTS.labels(kind, reject.faults[0].code).inc()
