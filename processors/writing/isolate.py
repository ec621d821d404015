"""Bad rows among good ones: halving at savepoints.

Rows that PostgreSQL refuses cost O(k·log n) statements for k of n; the others are written.
"""

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

import psycopg

from processors.database.pool import Connection
from processors.draining import BatchTooLargeError
from processors.judging import Row
from processors.writing.merge import Staged, merge
from processors.writing.outcomes import Outcomes
from processors.writing.sqlstate import Blame, blame
from processors.writing.targets import Target
from schemas.faults import Fault

ISOLATING_SECONDS = 4.0
"""Longest search of one transaction. PostgreSQL's own transaction_timeout is lost once an error was
rolled back to a savepoint (seen with 18.4)."""

Refused = list[tuple[Row, Fault]]
Merge = Callable[[Connection, Target, int, Sequence[Staged]], Awaitable[tuple[Outcomes, Refused]]]


async def merge_all(
    connection: Connection, target: Target, partition: int, staged: Sequence[Staged]
) -> tuple[Outcomes, Refused]:
    """Writes all rows, or raises psycopg.Error."""
    return await merge(connection, target, partition, staged), []


async def merge_isolating(
    connection: Connection, target: Target, partition: int, staged: Sequence[Staged]
) -> tuple[Outcomes, Refused]:
    """Writes all rows that PostgreSQL takes; returns the others, each with its fault.

    Raises psycopg.Error where the rows are not to blame, BatchTooLargeError where there are so many
    bad ones that it takes too long.
    """
    return await _isolate(connection, target, partition, staged, monotonic() + ISOLATING_SECONDS)


async def _isolate(
    connection: Connection, target: Target, partition: int, staged: Sequence[Staged], until: float
) -> tuple[Outcomes, Refused]:
    if len(staged) > 1 and monotonic() > until:
        raise BatchTooLargeError
    try:
        async with connection.transaction():
            outcomes = await merge(connection, target, partition, staged)
            await connection.execute("DROP TABLE staging")
            return outcomes, []
    except psycopg.Error as error:
        if blame(error) is not Blame.ROWS:
            raise
        parts = _parts(staged)
        if len(parts) == 1:
            return Outcomes(), [(staged[0].rows[0], _fault(error))]
    outcomes = Outcomes()
    refused: Refused = []
    for part in parts:
        some, bad = await _isolate(connection, target, partition, part, until)
        outcomes.update(some)
        refused += bad
    return outcomes, refused


def _parts(staged: Sequence[Staged]) -> list[Sequence[Staged]]:
    """Two halves; or, of one that was folded, its rows one by one; or the one row itself."""
    if len(staged) == 1:
        return [[Staged(0, (row,))] for row in staged[0].rows]
    middle = len(staged) // 2
    return [staged[:middle], staged[middle:]]


_CODES = {
    "22001": "too-long",
    "22003": "out-of-range",
    "22021": "encoding",
    "23514": "out-of-range",
}


def _fault(error: psycopg.Error) -> Fault:
    """In PostgreSQL's words, which name types and constraints but no values."""
    reason = error.diag.message_primary or str(error)
    return Fault(
        error.diag.column_name,
        _CODES.get(error.sqlstate or "", "refused"),
        f"La base de données refuse cette ligne : {reason}.",
    )
