"""What rows of a retry or a correction settle: rejects of the import that it is a child of.

A reject is settled once, by the first row that stands for it and is written. The parent's counters
move in the same transaction: one rejected or cancelled row less, one more of what its row became.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from processors.database.pool import Connection
from processors.database.queries import load
from processors.rows.model import Row

_SQL = load("processors.rows.accounting", "resolution.sql")

Moves = Mapping[str, Counter[str]]
"""Changes of counters, by import id; of the children, `settles`."""


async def settle(connection: Connection, by_row: Sequence[tuple[Row, str]]) -> Moves:
    """Settles what written rows stand for; `by_row` has the outcome of each."""
    return await _settle(
        connection,
        [
            {**row.settles._asdict(), "child": row.import_id, "outcome": outcome}
            for row, outcome in by_row
            if row.settles is not None
        ],
    )


async def settle_late(connection: Connection) -> dict[str, Moves]:
    """Settles rejects that came after the rows that stand for them; what moves, by topic.

    Partitions do not wait for each other where they are read again after a restore.
    """
    cursor = await connection.execute(_SQL["early"])
    names = ("import_id", "line", "sheet", "child", "outcome")
    written: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for topic, *row in await cursor.fetchall():
        written[topic].append(dict(zip(names, row, strict=True)))
    return {topic: await _settle(connection, rows) for topic, rows in written.items()}


async def _settle(connection: Connection, written: list[dict[str, Any]]) -> Moves:
    named = {(row["import_id"], row["child"]) for row in written}
    cursor = await connection.execute(_SQL["settle"], {"rows": Jsonb(written)})
    moves: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for import_id, child, outcome, cancelled, rows in await cursor.fetchall():
        moves[import_id]["cancelled" if cancelled else "rejected"] -= rows
        moves[import_id][outcome] += rows
        if (import_id, child) in named:
            moves[child]["settles"] += rows
    return moves
