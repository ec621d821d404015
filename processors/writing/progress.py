"""What became of each import's rows, per partition: counters and watermark, in PostgreSQL."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from psycopg.types.json import Jsonb

from processors.database.pool import Connection
from processors.database.queries import load
from processors.draining import Batch

_SQL = load("processors.writing", "progress.sql")

OUTCOMES = (
    "inserted",
    "updated",
    "unchanged",
    "duplicate",
    "stale",
    "rejected",
    "parked",
    "cancelled",
)


class Progress(NamedTuple):
    """Where one import stands in one partition, as absolute figures. `accounted` are rows."""

    import_id: str
    revision: int
    watermark: int
    accounted: int


async def watermarks(connection: Connection, batch: Batch, imports: set[str]) -> dict[str, int]:
    """The highest settled row number of each import in the batch's partition."""
    cursor = await connection.execute(
        _SQL["watermarks"],
        {"topic": batch.topic, "partition": batch.partition, "imports": sorted(imports)},
    )
    rows: list[tuple[object, int]] = await cursor.fetchall()
    return {str(import_id): watermark for import_id, watermark in rows}


async def add(
    connection: Connection,
    batch: Batch,
    highest: Mapping[str, int],
    outcomes: Mapping[str | None, Counter[str]],
) -> list[Progress]:
    """Adds the outcomes of a batch; `highest` are its highest row numbers, by import.

    `released` among the outcomes are rows of other imports that waited for those of this one.
    """
    changes = [
        {
            "import_id": import_id,
            "watermark": number,
            **{name: outcomes.get(import_id, Counter())[name] for name in (*OUTCOMES, "released")},
        }
        for import_id, number in highest.items()
    ]
    cursor = await connection.execute(
        _SQL["add"],
        {"topic": batch.topic, "partition": batch.partition, "changes": Jsonb(changes)},
    )
    rows: list[tuple[str, int, int, int]] = await cursor.fetchall()
    return [Progress(*row) for row in rows]
