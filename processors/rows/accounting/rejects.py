"""Rejects in PostgreSQL: the record byte for byte, and its faults. Rows that are written without some of
their values are stored alike, in a table of their own."""

import json
from collections.abc import Iterator, Sequence
from typing import LiteralString
from uuid import UUID, uuid5

from processors.database.pool import Connection
from processors.database.queries import of_dropped_values
from processors.rows.model import Reject
from schemas.values.stored import headers_json, moment, without_nul

_NAMESPACE = UUID("f3a0a1de-4c53-5b5e-8f0d-3f6f3b0d8a57")

# Many rows in one statement: a cancelled import has thousands.
_INSERT: LiteralString = """
INSERT INTO ingest.rejects (
    id, topic, partition, "offset", appended_at, key, value, headers, import_id, line, sheet, faults,
    cancelled, settles_import, settles_line, settles_sheet
)
SELECT *
FROM unnest(
    %s::uuid[], %s::text[], %s::integer[], %s::bigint[], %s::timestamptz[], %s::bytea[],
    %s::bytea[], %s::text[]::json[], %s::uuid[], %s::integer[], %s::text[], %s::text[]::jsonb[],
    %s::boolean[], %s::uuid[], %s::integer[], %s::text[]
)
ON CONFLICT (id) DO NOTHING
"""


_INSERT_DROPPED = of_dropped_values(_INSERT)


async def store(connection: Connection, topic_id: str, rejects: Sequence[Reject]) -> None:
    """Stores rejects that are not stored yet: a log that is read again has the same rejects again."""
    await _store(connection, _INSERT, topic_id, rejects)


async def store_dropped(connection: Connection, topic_id: str, rows: Sequence[Reject]) -> None:
    """As `store`, rows that are written without some of their values."""
    await _store(connection, _INSERT_DROPPED, topic_id, rows)


async def _store(
    connection: Connection, insert: LiteralString, topic_id: str, rejects: Sequence[Reject]
) -> None:
    for portion in _portions(rejects):
        rows = [_columns(topic_id, reject) for reject in portion]
        await connection.execute(insert, list(map(list, zip(*rows, strict=True))))


_STATEMENT_BYTES = 8 << 20


def _portions(rejects: Sequence[Reject]) -> Iterator[list[Reject]]:
    """As many as a statement may hold, most often all."""
    portion: list[Reject] = []
    size = 0
    for reject in rejects:
        portion.append(reject)
        size += len(reject.record.value or b"")
        if size > _STATEMENT_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _columns(topic_id: str, reject: Reject) -> tuple[object, ...]:
    record = reject.record
    faults = [
        # jsonb takes no NUL (PostgreSQL, "JSON Types"); a header, a value or a message may hold one.
        {name: text and without_nul(text) for name, text in fault._asdict().items()}
        for fault in reject.faults
    ]
    return (
        uuid5(_NAMESPACE, f"{topic_id}/{record.partition}/{record.offset}"),
        record.topic,
        record.partition,
        record.offset,
        moment(record.timestamp),
        record.key,
        record.value,
        headers_json(record.headers),
        reject.import_id and UUID(reject.import_id),
        reject.line,
        reject.sheet,
        json.dumps(faults, ensure_ascii=False),
        reject.cancelled,
        reject.resolves and UUID(reject.resolves.id),
        reject.resolves and reject.resolves.line,
        reject.resolves and reject.resolves.sheet,
    )
