"""What bad rows cost that only PostgreSQL refuses: statements and seconds of one transaction.

    python -m tests.benchmarks.isolation [ROWS]

A rule that foxstream knows nothing of refuses k rows of a batch, spread evenly. Statements are all
that the writing connection sends, COPY and savepoints included. Writes results/isolation.json.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any
from uuid import uuid4

import psycopg
from aiokafka import ConsumerRecord
from psycopg_pool import AsyncConnectionPool

from processors.database.pool import Connection, Pool
from processors.errors import BatchTooLargeError
from processors.kafka.batch import Batch
from processors.kafka.topic_identity import Identity
from processors.rows.accounting.positions import StoredPositions
from processors.rows.accounting.reject_limit import RejectLimit
from processors.rows.accounting.written import Written
from processors.rows.merge.targets import TARGETS
from processors.rows.transaction import write
from processors.rows.validation import validate
from schemas.codec.framing import Encoder, RowDecoder, load
from schemas.codec.schema import Schema
from schemas.import_types import ENTREPRISE
from tests.benchmarks.measuring import save
from tests.benchmarks.samples import siren
from tests.benchmarks.stage import stage, words

ROWS = 5_000
BAD = (0, 1, 10, 100, 1_000)
TOPIC = "isolation"


class CountingCursor(psycopg.AsyncCursor[tuple[Any, ...]]):
    """Counts what is sent."""

    sent = 0

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        CountingCursor.sent += 1
        return await super().execute(*args, **kwargs)

    @asynccontextmanager
    async def copy(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        CountingCursor.sent += 1
        async with super().copy(*args, **kwargs) as copy:
            yield copy


class CountingConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """Of such cursors; a transaction or savepoint is a statement to begin and one to end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = CountingCursor

    @asynccontextmanager
    async def transaction(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        CountingCursor.sent += 2
        async with super().transaction(*args, **kwargs) as transaction:
            yield transaction


class OneSchema:
    """A registry of the row's schema."""

    def schema(self, _: int) -> Schema:
        return load("entreprise_row")


def main(rows: int) -> None:
    with stage() as ready:
        results = [asyncio.run(isolate(ready.database(), rows, bad)) for bad in BAD if bad <= rows]
    save("isolation", results, rows=rows)


async def isolate(database: str, rows: int, bad: int) -> dict[str, Any]:
    """One batch with so many bad rows, into an empty table."""
    pool: Pool
    async with AsyncConnectionPool(
        database, min_size=1, connection_class=CountingConnection, open=False
    ) as opened:
        pool = opened  # type: ignore[assignment]
        async with pool.connection() as connection:
            await prepare(connection)
        identity = {TOPIC: Identity("cluster", "id", 1)}

        async def identify(_: Iterable[str]) -> Mapping[str, Identity]:
            return identity

        batch = batch_of(rows, bad)
        await StoredPositions(pool, identity, identify).restore({batch.tp: 0})
        before, began = CountingCursor.sent, perf_counter()
        transactions = await write_all(pool, batch)
        seconds = perf_counter() - began
    assert sum(len(written.rejects) for written in transactions) == bad
    result = {
        "rows": rows,
        "bad": bad,
        "transactions": len(transactions),
        "statements": CountingCursor.sent - before,
        "seconds": round(seconds, 3),
    }
    print("{bad:>5} bad of {rows:,}: {statements:>6} statements, {seconds:.3f} s".format_map(result))  # fmt: skip
    return result


async def write_all(pool: Pool, batch: Batch) -> list[Written]:
    """As processors.rows.batch_loop does: in halves where the search for bad rows takes too long."""
    validated = validate(batch, 1, ENTREPRISE, RowDecoder("entreprise_row", OneSchema()))
    try:
        return [await write(pool, TARGETS[ENTREPRISE.name], batch, validated, RejectLimit(1))]
    except BatchTooLargeError:
        first, second = batch.halves()
        return [*await write_all(pool, first), *await write_all(pool, second)]


async def prepare(connection: Connection) -> None:
    await connection.execute("ALTER TABLE enterprise_entreprise ADD CHECK (nom NOT LIKE 'bad%')")


def batch_of(rows: int, bad: int) -> Batch:
    encoder = Encoder("entreprise_row", 1)
    import_id = str(uuid4())
    every = rows // bad if bad else rows + 1
    records = []
    for number in range(rows):
        nom = "bad" if number % every == every - 1 and number < every * bad else "good"
        tie = {"id": import_id, "number": number + 1, "line": number + 2}
        key = siren(number)
        row = {**dict.fromkeys(ENTREPRISE.field), "siren": key, "nom": nom, "import": tie}
        records.append(record_of(number, key.encode(), encoder.encode(row)))
    return Batch(TOPIC, 0, 0, rows, records, object())


def record_of(offset: int, key: bytes, value: bytes) -> ConsumerRecord:
    return ConsumerRecord(
        topic=TOPIC,
        partition=0,
        offset=offset,
        timestamp=1_760_000_000_000,
        timestamp_type=1,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key),
        serialized_value_size=len(value),
        headers=(),
    )


if __name__ == "__main__":
    main(*words([ROWS]))
