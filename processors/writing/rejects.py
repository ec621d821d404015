"""Rejects in PostgreSQL: the record byte for byte, and what is wrong with it."""

import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid5

from processors.database.pool import Connection
from processors.judging import Reject

_NAMESPACE = UUID("f3a0a1de-4c53-5b5e-8f0d-3f6f3b0d8a57")

_COLUMNS = 'id, topic, partition, "offset", appended_at, key, value, headers, import_id, line, sheet, faults'


def reject_id(topic: str, partition: int, offset: int) -> UUID:
    """The same record is the same reject, in every run and after a restore of the database."""
    return uuid5(_NAMESPACE, f"{topic}/{partition}/{offset}")


async def store(connection: Connection, rejects: Sequence[Reject]) -> None:
    into = f"COPY ingest.rejects ({_COLUMNS}) FROM STDIN"
    async with connection.cursor() as cursor, cursor.copy(into) as copy:
        for reject in rejects:
            await copy.write_row(_columns(reject))


def _columns(reject: Reject) -> tuple[object, ...]:
    record = reject.record
    return (
        reject_id(record.topic, record.partition, record.offset),
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
        # jsonb takes no NUL (PostgreSQL, "JSON Types"); a header or a message may hold one.
        json.dumps(
            [
                {name: text and text.replace("\0", "␀") for name, text in fault._asdict().items()}
                for fault in reject.faults
            ],
            ensure_ascii=False,
        ),
    )
