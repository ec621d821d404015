"""Rejects in PostgreSQL: the record byte for byte, and what is wrong with it."""

import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import LiteralString
from uuid import UUID, uuid5

from processors.database.pool import Connection
from processors.judging import Reject

_NAMESPACE = UUID("f3a0a1de-4c53-5b5e-8f0d-3f6f3b0d8a57")

_INSERT: LiteralString = """
INSERT INTO ingest.rejects (
    id, topic, partition, "offset", appended_at, key, value, headers, import_id, line, sheet, faults
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO NOTHING
"""


async def store(connection: Connection, topic_id: str, rejects: Sequence[Reject]) -> None:
    """Keeps what is not kept yet: a log that is read again gives the same rejects again."""
    async with connection.cursor() as cursor:
        await cursor.executemany(_INSERT, [_columns(topic_id, reject) for reject in rejects])


def _columns(topic_id: str, reject: Reject) -> tuple[object, ...]:
    record = reject.record
    faults = [
        # jsonb takes no NUL (PostgreSQL, "JSON Types"); a header or a message may hold one.
        {name: text and text.replace("\0", "␀") for name, text in fault._asdict().items()}
        for fault in reject.faults
    ]
    return (
        uuid5(_NAMESPACE, f"{topic_id}/{record.partition}/{record.offset}"),
        record.topic,
        record.partition,
        record.offset,
        datetime.fromtimestamp(record.timestamp / 1000, UTC),
        record.key,
        record.value,
        json.dumps([[name, b64encode(value or b"").decode()] for name, value in record.headers]),
        reject.import_id and UUID(reject.import_id),
        reject.line,
        reject.sheet,
        json.dumps(faults, ensure_ascii=False),
    )
