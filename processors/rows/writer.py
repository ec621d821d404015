"""Writes a row topic's batches to PostgreSQL, each in one transaction, partitions in parallel."""

import asyncio
from collections.abc import AsyncIterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import structlog
from faust.types import TP

from processors import metrics
from processors.database.pool import Pool
from processors.kafka.batch import BATCH_BYTES, Batch
from processors.kafka.consumer import BatchConsumer
from processors.kafka.schema_lookups import decoded
from processors.rows.accounting.reject_limit import RejectLimit
from processors.rows.accounting.written import Written
from processors.rows.batch_loop import process_batch
from processors.rows.merge.targets import Target
from processors.rows.model import Validated
from processors.rows.outbox import Outbox
from processors.rows.parking.category_table import CategoryTable
from processors.rows.parking.parked_rows import ChildType
from processors.rows.transaction import RelatedRows, write
from processors.rows.upstream_lineage import UpstreamLineage
from processors.rows.validation import validate
from schemas.codec.framing import RowDecoder
from schemas.import_types import ImportType
from schemas.outcomes import OUTCOMES
from schemas.rules import Luhn
from schemas.runtime.traces import BatchSpans

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Validator:
    """validation.validate for the rows of a topic that has so many partitions."""

    import_type: ImportType
    decoder: RowDecoder
    partitions: int
    luhn: Luhn

    async def __call__(self, batch: Batch) -> Validated:
        return await decoded(self.decoder, self._validate, batch)

    def _validate(self, batch: Batch) -> Validated:
        return validate(batch, self.partitions, self.import_type, self.decoder, self.luhn)


@dataclass(frozen=True)
class RelatedTypes:
    """Types related to a type: the one whose rows wait for its rows, and the categories."""

    children: ChildType | None = None
    categories: CategoryTable | None = None


@dataclass(frozen=True)
class WriterResources:
    """Resources that the writers of a process share."""

    pool: Pool
    outbox: Outbox
    spans: BatchSpans


class RowWriter:
    """Writes the batches of a topic of one import type, up to `batch_rows` rows in a transaction.

    `upstream`: it is the topic of upstream systems.
    """

    def __init__(
        self,
        target: Target,
        validate: Validator,
        resources: WriterResources,
        batch_rows: int,
        limit: RejectLimit,
        related: RelatedTypes,
        upstream: UpstreamLineage | None = None,
    ) -> None:
        self._target = target
        self._validate = validate
        self._resources = resources
        self._batch_rows = batch_rows
        self._limit = limit
        self._related = related
        self._upstream = upstream
        # From 0: a series that begins with its first row has no rate.
        for outcome in OUTCOMES:
            metrics.ROWS.labels(target.import_type.name, outcome)
        for histogram in (metrics.BATCH_SECONDS, metrics.BATCH_ROWS):
            histogram.labels(target.import_type.name)

    async def run(self, events: AsyncIterable[Any], consumer: BatchConsumer) -> None:
        """Takes the events of the topic's stream, whose values are batches."""
        queues: dict[TP, asyncio.Queue[Batch]] = {}
        async with asyncio.TaskGroup() as tasks:
            async for event in events:
                batch: Batch = event.value
                if batch.tp not in queues:
                    queues[batch.tp] = asyncio.Queue()
                    tasks.create_task(self._write_partition(queues[batch.tp], consumer))
                queues[batch.tp].put_nowait(batch)

    async def _write_partition(self, queue: asyncio.Queue[Batch], consumer: BatchConsumer) -> None:
        """Writes one partition's batches, as many at once as a transaction may hold."""
        batch = await queue.get()
        while True:
            following = await queue.get() if queue.qsize() else None
            if (
                following is not None
                and batch.precedes(following)
                and len(batch.records) + len(following.records) <= self._batch_rows
                and batch.size + following.size <= BATCH_BYTES
            ):
                batch = batch.joined(following)
                continue
            await self._process(batch, consumer)
            batch = following or await queue.get()

    async def _process(self, batch: Batch, consumer: BatchConsumer) -> None:
        began = perf_counter()
        headers = (record.headers for record in batch.records)
        with self._resources.spans.writing(batch.topic, batch.partition, batch.start, headers):
            committed = await process_batch(batch, consumer, self._write, self._resources.pool)
        if committed:
            seconds = metrics.BATCH_SECONDS.labels(self._target.import_type.name)
            seconds.observe(perf_counter() - began)

    async def _write(self, batch: Batch) -> Written:
        validated = await self._validate(batch)
        if self._upstream is not None and (imports := validated.imports()):
            validated = await self._upstream.check(self._resources.pool, batch, validated, imports)
        categories, keys = self._related.categories, set[str]()
        related = RelatedRows(children=self._related.children)
        if categories is not None:
            keys = set(map(self._target.import_type.routing, set(validated.rows.keys)))
            known = {} if self._target.import_type.parent is None else categories.ids(keys)
            related = RelatedRows(known, self._related.children)
        written = await write(
            self._resources.pool, self._target, batch, validated, self._limit, related
        )
        self._committed(batch, written)
        unknown = keys if written.stale_parent_ids else keys - related.parent_ids.keys()
        if categories is not None and unknown:
            await categories.refresh(unknown)
        return written

    def _committed(self, batch: Batch, written: Written) -> None:
        """Counts and publishes one transaction: a batch that was halved has several."""
        kind = self._target.import_type.name
        metrics.BATCH_ROWS.labels(kind).observe(len(batch.records))
        count(kind, written)
        self._resources.outbox.add(batch.partition, written)
        children, outbox = self._related.children, self._resources.outbox
        if written.released is not None and children is not None:
            publish_released(children, batch.partition, written.released, outbox)


def publish_released(
    children: ChildType, partition: int, released: Written, outbox: Outbox
) -> None:
    """Counts and publishes the outcomes of released rows."""
    log.info(
        "rows are released", action="rows_released", topic=released.topic, partition=partition,
        outcomes=dict(released.outcomes.total()),
    )  # fmt: skip
    count(children.target.import_type.name, released)
    outbox.add(partition, released)
    if released.more_parked:
        children.more_parked.set()


def count(kind: str, written: Written) -> None:
    """Adds a transaction to the metrics."""
    total = written.outcomes.total()
    for outcome in OUTCOMES:
        if total[outcome] > 0:
            metrics.ROWS.labels(kind, outcome).inc(total[outcome])
    for reject in (reject for reject in written.rejects if not reject.cancelled):
        metrics.REJECTS.labels(kind, _label(reject.faults[0].code)).inc()


MOST_CODES = 100
_codes: set[str] = set()


def _label(code: str) -> str:
    """The code, `other` beyond the first MOST_CODES: each is a time series, and senders may invent some."""
    if len(_codes) < MOST_CODES:
        _codes.add(code)
    return code if code in _codes else "other"
