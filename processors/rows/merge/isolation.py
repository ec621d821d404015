"""Finds the rows that PostgreSQL rejects by halving at savepoints.

k rejected rows of n cost O(k·log n) statements; the others are written.
"""

from collections.abc import Awaitable, Callable
from time import monotonic

import psycopg
from psycopg import errors

from processors.database.pool import Connection
from processors.errors import BatchTooLargeError
from processors.rows.accounting.sqlstate import Blame, blame
from processors.rows.merge.merge import Merged, Origin, Staged, merge
from processors.rows.merge.targets import Target
from schemas.faults import Fault

ISOLATING_SHARE = 0.5
"""Longest search, as a share of the transaction's limit. PostgreSQL's own transaction_timeout is lost
once an error was rolled back to a savepoint (observed with 18.4)."""

Merge = Callable[[Connection, Target, Origin, Staged], Awaitable[Merged]]


async def merge_all(
    connection: Connection, target: Target, origin: Origin, staged: Staged
) -> Merged:
    """Writes all rows, or raises psycopg.Error."""
    return await merge(connection, target, origin, staged)


async def merge_isolating(
    connection: Connection,
    target: Target,
    origin: Origin,
    staged: Staged,
    *,
    transaction_seconds: float,
) -> Merged:
    """Writes all rows that PostgreSQL accepts; `rejected` are the others, each with its fault.

    `transaction_seconds` is the limit of the transaction in which it is called.

    Raises psycopg.Error if the rows are not to blame, BatchTooLargeError if there are so many
    rejected rows that it takes too long.
    """
    until = monotonic() + ISOLATING_SHARE * transaction_seconds
    return await _isolate(connection, target, origin, staged, until)


async def _isolate(
    connection: Connection, target: Target, origin: Origin, staged: Staged, until: float
) -> Merged:
    if len(staged) > 1 and monotonic() > until:
        raise BatchTooLargeError
    try:
        async with connection.transaction():
            merged = await merge(connection, target, origin, staged)
            await connection.execute("DROP TABLE staging")
            return merged
    except psycopg.Error as error:
        if blame(error) is not Blame.ROWS or connection.site.is_violated(error):
            raise
        _check_parent(target, error)
        parts = _parts(staged)
        if len(parts) == 1:
            return Merged(rejected=[(staged.rows[staged.places[0]], _fault(error))])
    merged = Merged()
    for part in parts:
        merged.update(await _isolate(connection, target, origin, part, until))
    return merged


def _check_parent(target: Target, error: psycopg.Error) -> None:
    """A row whose parent was deleted just now is not at fault: tried again, it is parked."""
    if isinstance(error, errors.ForeignKeyViolation) and target.import_type.parent is not None:
        raise errors.SerializationFailure("a parent was deleted while rows were written") from error


def _parts(staged: Staged) -> list[Staged]:
    """Two halves; or the repetitions of one row, one by one; or the one row itself."""
    if len(staged) == 1:
        [place] = staged.places
        return [Staged(staged.rows, [i], [0]) for i in staged.group(place)]
    middle = len(staged) // 2
    return [staged.part(0, middle), staged.part(middle, len(staged))]


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
