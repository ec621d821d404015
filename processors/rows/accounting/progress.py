"""What became of each import's rows, per partition: counters and watermark, in PostgreSQL."""

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
    """Where one import stands in one partition, as absolute figures. `accounted` are rows."""

    import_id: str
    revision: int
    watermark: int
    accounted: int


async def watermarks(
    connection: Connection, batch: Batch, imports: set[str]
) -> tuple[dict[str, int], set[str], set[str]]:
    """The highest settled row number of each import in the batch's partition; which are cancelled.

    Last, which ask for texts: one that the tracker has not told of yet may.
    """
    cursor = await connection.execute(
        _SQL["watermarks"],
        {"topic": batch.topic, "partition": batch.partition, "imports": sorted(imports)},
    )
    rows: list[tuple[object, int, bool, bool]] = await cursor.fetchall()
    return (
        {str(import_id): watermark for import_id, watermark, *_ in rows},
        {str(import_id) for import_id, _, cancelled, _ in rows if cancelled},
        {str(import_id) for import_id, *_, asking in rows if asking},
    )


async def add(
    connection: Connection,
    tp: TP,
    highest: Mapping[str, int],
    outcomes: Mapping[str | None, Counter[str]],
    moves: Mapping[str, Counter[str]],
) -> list[Progress]:
    """Adds the outcomes of a batch of the partition; `highest` are its highest row numbers, by import.

    `released` among the outcomes are rows of other imports that waited for those of this one.
    `moves` are changes besides, of other imports as well: counters of one partition may be negative.
    """
    changes = [
        {
            "import_id": import_id,
            "watermark": highest.get(import_id, 0),
            **_sum(outcomes.get(import_id, _NOTHING), moves.get(import_id, _NOTHING)),
        }
        for import_id in {**highest, **moves}
    ]
    cursor = await connection.execute(
        _SQL["add"],
        {"topic": tp.topic, "partition": tp.partition, "changes": Jsonb(changes)},
    )
    rows: list[tuple[str, int, int, int]] = await cursor.fetchall()
    return [Progress(*row) for row in rows]


_NOTHING: Counter[str] = Counter()


def _sum(outcomes: Counter[str], moves: Counter[str]) -> dict[str, int]:
    return {name: outcomes[name] + moves[name] for name in (*OUTCOMES, "released", "settles")}
