"""Mirrors a compacted topic whose records exist nowhere else in PostgreSQL, key by key.

`foxstream-worker recover` publishes them to a new cluster if Kafka is lost
(docs/decisions/0015-a-mirror-of-what-only-kafka-has.md). The position moves in the transaction that
stores the records, as for rows: PostgreSQL has the topic up to its position.
"""

import structlog

from processors.database.pool import Pool, transaction
from processors.database.queries import load
from processors.kafka.batch import Batch
from processors.kafka.records.record_values import decode_records
from processors.kafka.schema_lookups import decoded
from processors.rows.accounting import positions
from processors.rows.batch_loop import BatchWriter
from schemas.codec.avro_json import to_json
from schemas.codec.framing import DecodeError, Decoder
from schemas.topics import Topic

log = structlog.get_logger(__name__)

_SQL = load("processors.imports", "record_mirror.sql")


class RecordMirror(BatchWriter):
    """Mirrors the partitions of one topic that are assigned to this worker."""

    def __init__(self, topic: Topic, decoder: Decoder, pool: Pool) -> None:
        super().__init__(decoder, pool)
        self._record = str(topic.record)

    async def _write(self, batch: Batch) -> None:
        last = await decoded(self._decoder, self._last, batch)
        stored = {key: value for key, value in last.items() if value is not None}
        async with transaction(self._pool) as connection:
            await positions.advance(connection, batch)
            await connection.execute(
                _SQL["store"],
                {
                    "topic": batch.topic,
                    "keys": list(stored),
                    "values": list(stored.values()),
                    "removed": list(last.keys() - stored.keys()),
                },
            )

    def _last(self, batch: Batch) -> dict[bytes, str | None]:
        """The last value of each key, None for a tombstone. Unreadable records are logged and skipped."""
        last: dict[bytes, str | None] = {}
        results = decode_records(self._decoder, batch.records)
        for record, result in zip(batch.records, results, strict=True):
            if record.value is None:
                last[record.key or b""] = None
            elif isinstance(result, DecodeError):
                log.warning(
                    "record is not mirrored", action="record_not_mirrored", topic=batch.topic,
                    offset=record.offset, reason=str(result),
                )  # fmt: skip
            else:
                last[record.key or b""] = to_json(self._record, result)
        return last
