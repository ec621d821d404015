"""Guards the log against states that arrive after later ones.

A tracker that was stopped while publishing may resume after its successor has published a later
state: the older state is then the last on the compacted topic, which keeps only the last one. If that
tracker lives, it notices and publishes the later state again (processors/imports/tracker.py); if it
dies, nobody would. So the worker to which the partition is assigned reads the log as well, and has
the import published again. The same applies to a tombstone of an import that exists, and to a state
of one that was removed. The position moves in the transaction that marks them, as for rows: every
state on the log is checked.
"""

from uuid import UUID

import structlog

from processors.database.pool import transaction
from processors.database.queries import load
from processors.kafka.batch import Batch
from processors.kafka.records.record_values import decode_records
from processors.kafka.schema_lookups import decoded
from processors.rows.accounting import positions
from processors.rows.batch_loop import BatchWriter
from schemas.codec.framing import DecodeError
from schemas.values.stored import uuid_of

log = structlog.get_logger(__name__)

_SQL = load("processors.imports", "log_guard.sql")

TOMBSTONE = -1
"""As a version: older than any state."""


class LogGuard(BatchWriter):
    """Reads the partitions of the log that are assigned to this worker."""

    async def _write(self, batch: Batch) -> None:
        """Marks imports whose last state in the batch is older than the one in PostgreSQL."""
        last = await decoded(self._decoder, self._last, batch)
        async with transaction(self._pool) as connection:
            await positions.advance(connection, batch)
            if not last:
                return
            last_states = {
                "ids": list(last),
                "versions": [version for version, _ in last.values()],
                "offsets": [offset for _, offset in last.values()],
            }
            for query in ("overtaken", "reappeared"):
                cursor = await connection.execute(_SQL[query], last_states)
                for (import_id,) in await cursor.fetchall():
                    log.warning(
                        "older state on the log", action="state_strayed", import_id=str(import_id)
                    )

    def _last(self, batch: Batch) -> dict[UUID, tuple[int, int]]:
        """Version and offset of the last state of each import. Unreadable records are skipped."""
        results = decode_records(self._decoder, batch.records)
        last: dict[UUID, tuple[int, int]] = {}
        for record, state in zip(batch.records, results, strict=True):
            if record.value is None:
                version = TOMBSTONE
            elif isinstance(state, DecodeError):
                continue
            else:
                version = state["version"]
            if import_id := uuid_of((record.key or b"").decode(errors="replace")):
                last[import_id] = version, record.offset
        return last
