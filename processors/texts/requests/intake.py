"""Stores requests, and answers that a restored database may lack, from the topics of enrichment.

Both move their position in the transaction that stores them. So partitions never wait for the model:
requests wait in a table.
"""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

import structlog
from psycopg.types.json import Jsonb

from processors.database.pool import transaction
from processors.database.queries import load
from processors.kafka.batch import Batch
from processors.kafka.records.record_values import decode_records
from processors.kafka.schema_lookups import decoded, looked_up
from processors.rows.accounting import positions, rejects
from processors.rows.batch_loop import BatchWriter
from processors.rows.model import Reject
from processors.texts.kinds import KINDS
from processors.texts.requests.store import ANEW
from schemas.codec.framing import DecodeError, Record
from schemas.faults import Fault
from schemas.values.stored import uuid_of

log = structlog.get_logger(__name__)

_SQL = load("processors.texts.requests", "store.sql")

_PLACES = UUID("6b0de1f3-6c8c-5d1e-9a41-27d1a54c7f90")
"""Namespace of the ids of requests that have none: of their place in the topic."""

REASONS = frozenset(
    {"import", "asked", "upstream", "missing", "expired", "low-quality", "withdrawn", *ANEW}
)
PRIORITIES = range(10)


class Requests(BatchWriter):
    """Stores the requests of the partitions assigned to this worker."""

    async def _write(self, batch: Batch) -> None:
        known = self._decoder.knows(record.value for record in batch.records)
        run = asyncio.to_thread if known else looked_up
        results = await run(decode_records, self._decoder, batch.records)
        async with transaction(self._pool) as connection:
            topic_id = await positions.advance(connection, batch)
            valid: list[dict[str, Any]] = []
            rejected: list[Reject] = []
            for place, (record, request) in enumerate(zip(batch.records, results, strict=True)):
                try:
                    valid.append(_checked(request, f"{topic_id} {batch.partition} {record.offset}"))
                    valid[-1]["place"] = place
                except ValueError as error:  # DecodeError is one
                    code = getattr(error, "code", "malformed")
                    rejected.append(_reject(record, code, str(error)))
            cursor = await connection.execute(_SQL["receive"], {"requests": Jsonb(valid)})
            rejected += [
                _reject(batch.records[place], "unknown-entity", "the site has no such row")
                for (place,) in await cursor.fetchall()
            ]
            if rejected:
                await rejects.store(connection, topic_id, rejected)


def _reject(record: Any, code: str, message: str) -> Reject:
    return Reject(record, None, 0, None, None, [Fault(None, code, message)])


def _checked(request: Record | DecodeError, place: str) -> dict[str, Any]:
    """The request as PostgreSQL stores it. Raises ValueError if it is malformed."""
    if isinstance(request, DecodeError):
        raise request
    if request["kind"] not in KINDS:
        raise ValueError(f"there is no kind {request['kind'][:40]!r}")
    if request["reason"] not in REASONS or request["priority"] not in PRIORITIES:
        raise ValueError("there is no such reason or priority")
    if "\0" in request["entity"]:
        raise ValueError("an entity holds no NUL")
    entity_id = uuid_of(request["entity"])
    request_id = request["id"]
    import_id = request["import_id"]
    return {
        **request,
        "id": str(UUID(request_id) if request_id is not None else uuid5(_PLACES, place)),
        "entity_id": entity_id and str(entity_id),
        "import_id": import_id and str(UUID(import_id)),
    }


class Results(BatchWriter):
    """Stores answers of the topic of results that PostgreSQL lacks."""

    async def _write(self, batch: Batch) -> None:
        last = await decoded(self._decoder, self._last, batch)
        results = [found for found in last.values() if not isinstance(found, float)]
        removed = {name: at for name, at in last.items() if isinstance(at, float)}
        async with transaction(self._pool) as connection:
            await positions.advance(connection, batch)
            if results:
                await connection.execute(_SQL["results_read"], {"results": Jsonb(results)})
            if removed:
                values = {"hashes": list(removed), "times": list(removed.values())}
                await connection.execute(_SQL["removed_read"], values)

    def _last(self, batch: Batch) -> dict[str, Record | float]:
        """The last result of each prompt; or the time of its tombstone, in seconds since 1970."""
        return dict(self._good(batch))

    def _good(self, batch: Batch) -> Iterator[tuple[str, Record | float]]:
        """The results and tombstones of a batch, by the hash of their prompt.

        Malformed ones are logged: no other system publishes on the topic.
        """
        results = decode_records(self._decoder, batch.records)
        for record, result in zip(batch.records, results, strict=True):
            if record.value is None and record.key is not None:
                yield record.key.decode("utf-8", "replace"), record.timestamp / 1000
            elif isinstance(result, DecodeError) or result["kind"] not in KINDS:
                log.warning("no result", action="result_malformed", partition=batch.partition)
            else:
                answered_at = result["answered_at"].isoformat()
                yield result["prompt_hash"], {**result, "answered_at": answered_at}
