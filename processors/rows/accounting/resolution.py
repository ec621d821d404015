"""Rejects of a parent import that are resolved by the rows of a child import.

A reject is resolved once, by the first row that replaces it and is written. The parent's counters
move in the same transaction: one rejected or cancelled row less, one more with the row's outcome. A row
that lacked values and is completed by a row of a child import has its outcome already: it no longer counts
among those that lack values, and nothing else moves.
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
"""Changes of counters, by import id; those of child imports are `settles`."""


async def resolve(connection: Connection, by_row: Sequence[tuple[Row, str]]) -> Moves:
    """Resolves the rejects that written rows replace; `by_row` has the outcome of each row."""
    return await _resolve(
        connection,
        [
            {
                "import_id": row.resolves.id,
                "line": row.resolves.line,
                "sheet": row.resolves.sheet,
                "child": row.import_id,
                "outcome": outcome,
            }
            for row, outcome in by_row
            if row.resolves is not None
        ],
    )


async def resolve_late(connection: Connection) -> dict[str, Moves]:
    """Resolves rejects that came after the rows that replace them; returns the moves by topic.

    Partitions do not wait for each other when they are read again after a restore.
    """
    cursor = await connection.execute(_SQL["early"])
    names = ("import_id", "line", "sheet", "child", "outcome")
    written: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for topic, *row in await cursor.fetchall():
        written[topic].append(dict(zip(names, row, strict=True)))
    return {topic: await _resolve(connection, rows) for topic, rows in written.items()}


async def _resolve(connection: Connection, written: list[dict[str, Any]]) -> Moves:
    direct = {(row["import_id"], row["child"]) for row in written}
    cursor = await connection.execute(_SQL["resolve"], {"rows": Jsonb(written)})
    moves: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for import_id, child, outcome, cancelled, rows in await cursor.fetchall():
        if outcome is None:
            moves[import_id]["dropped"] -= rows
            continue
        moves[import_id]["cancelled" if cancelled else "rejected"] -= rows
        moves[import_id][outcome] += rows
        if (import_id, child) in direct:
            moves[child]["settles"] += rows
    return moves
