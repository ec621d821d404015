"""Rows that wait for the row that they belong to, as a sub-category for its category.

They are kept as they came, counted as parked, and written in the transaction that brings their
parent, in the order in which they came. Rows of both types of one partition are written one
transaction at a time, so that no row is parked while its parent comes.
"""

import asyncio
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from aiokafka import ConsumerRecord
from psycopg.rows import class_row

from processors.database.pool import Connection
from processors.database.queries import load
from processors.kafka.batch import Batch
from processors.rows.accounting import progress
from processors.rows.accounting.cancellation import stopped
from processors.rows.merge.isolation import Merge
from processors.rows.merge.merge import Merged, Origin, stage
from processors.rows.merge.targets import Target
from processors.rows.model import Judged, Reject, Row
from schemas.codec.avro_reader import EPOCH
from schemas.values.stored import headers_json

_MILLISECOND = timedelta(milliseconds=1)

_SQL = load("processors.rows.parking", "parked_rows.sql")

_FAMILY = 0x666F78
"""Of advisory locks of two numbers, the other being the partition."""

MOST_RELEASED = 2000
"""Rows that one transaction writes of those that waited. The sweep goes on with the rest."""


@dataclass(frozen=True)
class Waiting:
    """The type whose rows wait for rows of its parent: their topic, and how they are judged.

    Who leaves some of them behind sets `left`, and the sweep looks at once.
    """

    target: Target
    topic: str
    judge: Callable[[Batch], Awaitable[Judged]]
    left: asyncio.Event = field(default_factory=asyncio.Event)


class Taken(NamedTuple):
    """A row that waited."""

    topic_id: str
    offset: int
    appended_at: datetime
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, str]]
    import_id: str | None
    number: int
    line: int | None
    sheet: str | None
    parent_key: str


class Released(NamedTuple):
    """Rows that were taken to be written. Of `merged` some may have to wait on.

    `left`: more may wait.
    """

    topic_id: str
    batch: Batch
    merged: Merged
    rejects: Sequence[Reject]
    taken: Sequence[Taken]
    left: bool

    def by_parent(self) -> Counter[str]:
        """How many wait no longer, by the key of their parent."""
        still = {row.offset for row in self.merged.parked}
        still |= {reject.record.offset for reject in self.rejects if reject.cancelled}
        return Counter(row.parent_key for row in self.taken if row.offset not in still)


async def take_turn(connection: Connection, partition: int) -> None:
    """Waits until no other transaction writes parents or children of this partition."""
    await connection.execute(_SQL["turn"], {"family": _FAMILY, "partition": partition})


async def park(
    connection: Connection, topic_id: str, target: Target, batch: Batch, rows: Sequence[Row]
) -> None:
    """Keeps rows of a batch until their parent comes."""
    by_offset = {record.offset: record for record in batch.records}
    records = [by_offset[row.offset] for row in rows]
    import_type = target.import_type
    await connection.execute(
        _SQL["park"],
        {
            "topic_id": topic_id,
            "topic": batch.topic,
            "partition": batch.partition,
            "offsets": [row.offset for row in rows],
            "appended": [EPOCH + record.timestamp * _MILLISECOND for record in records],
            "keys": [record.key for record in records],
            "values": [record.value for record in records],
            "headers": [headers_json(record.headers) for record in records],
            "imports": [row.import_id for row in rows],
            "numbers": [row.number for row in rows],
            "lines": [row.line for row in rows],
            "sheets": [row.sheet for row in rows],
            "parent_keys": [import_type.routing(row.key) for row in rows],
            "parent_names": [import_type.parent_name(row.values) for row in rows],
        },
    )


async def release(
    connection: Connection,
    waiting: Waiting,
    partition: int,
    keys: Collection[str],
    most: int,
    merge: Merge,
) -> Released | None:
    """Writes `most` of the rows that wait for these parents, as far as these are there.

    None: no row waits. Those of an import that was cancelled meanwhile are rejects. Raises
    BatchTooLargeError.
    """
    async with connection.cursor(row_factory=class_row(Taken)) as cursor:
        await cursor.execute(
            _SQL["take"],
            {"topic": waiting.topic, "partition": partition, "keys": list(keys), "most": most},
        )  # fmt: skip
        taken = sorted(await cursor.fetchall(), key=attrgetter("offset"))
    if not taken:
        return None
    records = [_record(waiting.topic, partition, row) for row in taken]
    batch = Batch(waiting.topic, partition, taken[0].offset, taken[-1].offset + 1, records, None)
    judged = await waiting.judge(batch)
    if imports := judged.imports():
        _, cancelled, _ = await progress.watermarks(connection, batch, imports)
        judged = stopped(batch, judged, cancelled)
    merged = Merged()
    if judged.rows:
        await connection.execute("DROP TABLE IF EXISTS pg_temp.staging")
        origin = Origin(waiting.topic, partition, released=True)
        merged = await merge(connection, waiting.target, origin, stage(judged.rows))
    topic_id = taken[0].topic_id
    if merged.parked:
        await park(connection, topic_id, waiting.target, batch, merged.parked)
    rejects = list(_tied(judged.rejects, taken))
    return Released(topic_id, batch, merged, rejects, taken, left=len(taken) == most)


async def freed(
    connection: Connection, waiting: Waiting, partitions: Collection[int]
) -> dict[int, list[str]]:
    """Keys of parents for which rows wait in vain, by partition: they are there, or an import of
    those rows was cancelled."""
    queries = load("processors.rows.merge", waiting.target.sql)
    cursor = await connection.execute(
        queries["freed"], {"topic": waiting.topic, "partitions": sorted(partitions)}
    )
    found: dict[int, list[str]] = {}
    for partition, key in await cursor.fetchall():
        found.setdefault(partition, []).append(key)
    return found


def _record(topic: str, partition: int, row: Taken) -> ConsumerRecord:
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=row.offset,
        timestamp=(row.appended_at - EPOCH) // _MILLISECOND,
        timestamp_type=1,
        key=row.key,
        value=row.value,
        checksum=None,
        serialized_key_size=len(row.key),
        serialized_value_size=len(row.value),
        headers=tuple((name, b64decode(value)) for name, value in row.headers),
    )


def _tied(rejects: Iterable[Reject], taken: Iterable[Taken]) -> Iterable[Reject]:
    """Rejects with the imports that the rows are counted in, though nobody can read them now."""
    rows = {row.offset: row for row in taken}
    for reject in rejects:
        row = rows[reject.record.offset]
        yield reject._replace(
            import_id=row.import_id, number=row.number, line=row.line, sheet=row.sheet
        )
