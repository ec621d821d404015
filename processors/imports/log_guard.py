"""States that come to the log after later ones.

A tracker that was stopped in the middle of publishing wakes up when its successor has published a
later state: the older one then stands last on the compacted topic, and only the last one is kept.
If it lives it notices and mends that (processors/imports/tracker.py); if it dies, nobody would. So whoever
holds the partition reads the log too, and has the import published again. So it is with a tombstone
of an import that is there, and with a state of one that was removed. The position is moved with what
was seen, as that of rows is: no state of the log goes unread.
"""

from uuid import UUID

import structlog

from processors.database.pool import transaction
from processors.database.queries import load
from processors.kafka.batch import Batch
from processors.rows.accounting import positions
from processors.rows.batch_loop import BatchLoop
from schemas.codec.framing import DecodeError

log = structlog.get_logger(__name__)

_SQL = load("processors.imports", "log_guard.sql")

TOMBSTONE = -1
"""As a version: older than any state."""


class Stragglers(BatchLoop):
    """Reads the partitions of the log that this worker holds."""

    async def _write(self, batch: Batch) -> None:
        """Notes the imports whose last state in the batch is older than what PostgreSQL holds."""
        last = self._last(batch)
        async with transaction(self._pool) as connection:
            await positions.advance(connection, batch)
            if not last:
                return
            seen = {
                "ids": list(last),
                "versions": [version for version, _ in last.values()],
                "offsets": [offset for _, offset in last.values()],
            }
            for query in ("strayed", "haunting"):
                cursor = await connection.execute(_SQL[query], seen)
                for (import_id,) in await cursor.fetchall():
                    log.warning(
                        "older state on the log", action="state_strayed", import_id=str(import_id)
                    )

    def _last(self, batch: Batch) -> dict[UUID, tuple[int, int]]:
        """Version and offset of the last state of each import. What is no state is nobody's."""
        results = self._decoder.decode_all([record.value for record in batch.records])
        last: dict[UUID, tuple[int, int]] = {}
        for record, state in zip(batch.records, results, strict=True):
            if record.value is None:
                version = TOMBSTONE
            elif isinstance(state, DecodeError):
                continue
            else:
                version = state["version"]
            if import_id := _uuid(record.key):
                last[import_id] = version, record.offset
        return last


def _uuid(key: bytes | None) -> UUID | None:
    try:
        return UUID((key or b"").decode())
    except ValueError:  # UnicodeDecodeError is one
        return None
