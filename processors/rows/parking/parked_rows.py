"""Parked rows: they wait for the row that they belong to, as a sub-category for its category.

They are stored as they came, counted as parked, and written in the transaction that writes their
parent, in the order in which they came. Rows of a family (parents and children, of files and of
upstream systems) whose partitions have one number are written one transaction at a time, so that no
row is parked while its parent is written.
"""

import asyncio
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
from processors.rows.accounting.cancellation import reject_cancelled
from processors.rows.merge.isolation import Merge
from processors.rows.merge.merge import Merged, Origin, stage
from processors.rows.merge.register import UNKNOWN_COMPANY
from processors.rows.merge.targets import Target
from processors.rows.model import Reject, Row, Validated
from schemas.codec.avro_reader import EPOCH
from schemas.import_types import ImportType
from schemas.values.stored import headers_json, headers_of

_MILLISECOND = timedelta(milliseconds=1)

_SQL = load("processors.rows.parking", "parked_rows.sql")

_FAMILY_LOCKS = {
    "CATEGORIE": 0x666F78,
    "ENTREPRISE": 0x666F79,
    "VILLE": 0x666F7A,
    "DEPARTEMENT": 0x666F7B,
}
"""First keys of the family locks, which are advisory locks, by the parent's type; the second key is the
partition."""

MOST_RELEASED = 2000
"""The most parked rows that one transaction releases. The sweep goes on with the rest."""


@dataclass(frozen=True)
class ChildType:
    """The type whose rows wait for parent rows: their topics, and how they are validated.

    At most `most_parked` rows of one import wait. A transaction that leaves parked rows to be released
    sets `more_parked`, and the sweep runs at once.
    """

    target: Target
    topics: Sequence[str]
    validate: Callable[[Batch], Awaitable[Validated]]
    most_parked: int | None = None
    more_parked: asyncio.Event = field(default_factory=asyncio.Event)


class ParkedRow(NamedTuple):
    """A row of ingest.parked, and of the statement `take`."""

    topic_id: str
    topic: str
    offset: int
    appended_at: datetime
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, str | None]]
    import_id: str | None
    row_number: int
    line: int | None
    sheet: str | None
    parent_key: str


class Released(NamedTuple):
    """Parked rows that were taken to be written. Some of `merged` may be parked again.

    `more_parked`: more rows may wait.
    """

    topic_id: str
    batch: Batch
    merged: Merged
    rejects: Sequence[Reject]
    taken: Sequence[ParkedRow]
    more_parked: bool

    def by_parent(self) -> Counter[str]:
        """The number of released rows by the key of their parent."""
        still_parked = {row.offset for row in self.merged.parked}
        still_parked |= {reject.record.offset for reject in self.rejects if reject.cancelled}
        return Counter(row.parent_key for row in self.taken if row.offset not in still_parked)


async def lock_family(connection: Connection, import_type: ImportType, partition: int) -> None:
    """Waits until no other transaction writes rows of the type's family, of partitions of this number."""
    lock = _FAMILY_LOCKS[(import_type.parent or import_type).name]
    await connection.execute(_SQL["lock_family"], {"lock": lock, "partition": partition})


async def park(
    connection: Connection, topic_id: str, target: Target, batch: Batch, rows: Sequence[Row]
) -> None:
    """Stores rows of a batch until their parent is written."""
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
            "row_numbers": [row.row_number for row in rows],
            "lines": [row.line for row in rows],
            "sheets": [row.sheet for row in rows],
            "parent_keys": [import_type.routing(row.key) for row in rows],
            "parent_names": [
                import_type.parent_name(row.values) if import_type.parent else row.key
                for row in rows
            ],
        },
    )


async def park_within(
    connection: Connection,
    topic_id: str,
    target: Target,
    batch: Batch,
    merged: Merged,
    most: int | None,
) -> None:
    """Parks the rows of `merged` that wait; those of an import that has more than `most` are rejected."""
    if most is not None and merged.parked:
        imports = {row.import_id for row in merged.parked if row.import_id is not None}
        counts = Counter[str | None](await progress.parked(connection, imports))
        waiting: list[Row] = []
        for row in merged.parked:
            counts[row.import_id] += 1
            if row.import_id is None or counts[row.import_id] <= most:
                waiting.append(row)
            else:
                merged.rejected.append((row, UNKNOWN_COMPANY))
        merged.parked[:] = waiting
    if merged.parked:
        await park(connection, topic_id, target, batch, merged.parked)


async def release(
    connection: Connection,
    children: ChildType,
    partition: int,
    keys: Collection[str],
    most: int,
    merge: Merge,
) -> Released | None:
    """Writes at most `most` of the rows that wait for these parents, if the parents exist.

    Returns None if no row waits. Rows of an import that was cancelled meanwhile become rejects.
    Raises BatchTooLargeError.
    """
    place = {"topics": list(children.topics), "partition": partition}
    waiting = await connection.execute(_SQL["waiting"], place)
    if not keys or await waiting.fetchone() == (False,):
        return None
    async with connection.cursor(row_factory=class_row(ParkedRow)) as cursor:
        await cursor.execute(
            _SQL["take"],
            {**place, "keys": list(keys), "most": most},
        )
        taken = sorted(await cursor.fetchall(), key=attrgetter("offset"))
    if not taken:
        return None
    topic, topic_id = taken[0].topic, taken[0].topic_id
    records = [_record(topic, partition, row) for row in taken]
    batch = Batch(topic, partition, taken[0].offset, taken[-1].offset + 1, records, None)
    validated = await children.validate(batch)
    if imports := validated.imports():
        _, cancelled, _ = await progress.watermarks(connection, batch, imports)
        validated = reject_cancelled(batch, validated, cancelled)
    merged = Merged()
    if validated.rows:
        await connection.execute("DROP TABLE IF EXISTS pg_temp.staging")
        origin = Origin(topic, partition, released=True)
        merged = await merge(connection, children.target, origin, stage(validated.rows))
    if merged.parked:
        await park(connection, topic_id, children.target, batch, merged.parked)
    rejects = list(_with_lineage(validated.rejects, taken))
    others = {**place, "keys": list(keys), "topic_id": topic_id}
    remaining = await (await connection.execute(_SQL["remaining"], others)).fetchone()
    more = len(taken) == most or remaining == (True,)
    return Released(topic_id, batch, merged, rejects, taken, more_parked=more)


async def releasable(
    connection: Connection, children: ChildType, partitions: Collection[int]
) -> dict[int, list[str]]:
    """Keys of parents whose parked rows can be released, by partition: the parent exists, or an import
    of those rows was cancelled."""
    queries = load("processors.rows.merge", children.target.sql)
    cursor = await connection.execute(
        queries["releasable"],
        {"topics": list(children.topics), "partitions": sorted(partitions)},
    )
    keys: dict[int, list[str]] = {}
    for partition, key in await cursor.fetchall():
        keys.setdefault(partition, []).append(key)
    return keys


def _record(topic: str, partition: int, row: ParkedRow) -> ConsumerRecord:
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
        headers=tuple(headers_of(row.headers)),
    )


def _with_lineage(rejects: Iterable[Reject], taken: Iterable[ParkedRow]) -> Iterable[Reject]:
    """Rejects with the lineage of their parked rows: an unreadable record has none of its own."""
    rows = {row.offset: row for row in taken}
    for reject in rejects:
        row = rows[reject.record.offset]
        yield reject._replace(
            import_id=row.import_id, row_number=row.row_number, line=row.line, sheet=row.sheet
        )
