"""Outcomes of each import's rows by partition: counters and watermark, in PostgreSQL."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from faust.types import TP
from psycopg.types.json import Jsonb

from processors.database.pool import Connection
from processors.database.queries import load
from processors.kafka.batch import Batch
from schemas.outcomes import OUTCOMES

_SQL = load("processors.rows.accounting", "progress.sql")


class Progress(NamedTuple):
    """Progress of one import in one partition, in absolute numbers. `accounted`: rows with an outcome."""

    import_id: str
    revision: int
    watermark: int
    accounted: int


async def watermarks(
    connection: Connection, batch: Batch, imports: set[str]
) -> tuple[dict[str, int], set[str], set[str]]:
    """Three results for imports of the batch's partition: their watermarks, those that are cancelled,
    and those that request texts (which an import that the tracker has not stored yet may do).
    """
    cursor = await connection.execute(
        _SQL["watermarks"],
        {"topic": batch.topic, "partition": batch.partition, "imports": sorted(imports)},
    )
    rows: list[tuple[object, int, bool, bool]] = await cursor.fetchall()
    return (
        {str(import_id): watermark for import_id, watermark, *_ in rows},
        {str(import_id) for import_id, _, cancelled, _ in rows if cancelled},
        {str(import_id) for import_id, *_, requests_texts in rows if requests_texts},
    )


async def parked(connection: Connection, imports: set[str]) -> dict[str, int]:
    """The number of parked rows of each of these imports, in all partitions."""
    cursor = await connection.execute(_SQL["parked"], {"imports": sorted(imports)})
    return {import_id: int(count) for import_id, count in await cursor.fetchall()}


async def add(
    connection: Connection,
    tp: TP,
    watermarks: Mapping[str, int],
    outcomes: Mapping[str | None, Counter[str]],
    moves: Mapping[str, Counter[str]],
) -> list[Progress]:
    """Adds the outcomes of a batch of the partition; `watermarks` are its last row numbers, by import.

    `released` among the outcomes counts rows of other imports that waited for rows of this one,
    `dropped` rows that lack some of their values.
    `moves` are further changes, of other imports as well: counters of one partition may be negative.
    """
    changes = [
        {
            "import_id": import_id,
            "watermark": watermarks.get(import_id, 0),
            **_sum(outcomes.get(import_id, _NONE), moves.get(import_id, _NONE)),
        }
        for import_id in {**watermarks, **moves}
    ]
    cursor = await connection.execute(
        _SQL["add"],
        {"topic": tp.topic, "partition": tp.partition, "changes": Jsonb(changes)},
    )
    rows: list[tuple[str, int, int, int]] = await cursor.fetchall()
    return [Progress(*row) for row in rows]


_NONE: Counter[str] = Counter()

_BESIDE = ("released", "settles", "dropped")
"""Counters that are not outcomes of rows."""


def _sum(outcomes: Counter[str], moves: Counter[str]) -> dict[str, int]:
    return {name: outcomes[name] + moves[name] for name in (*OUTCOMES, *_BESIDE)}
