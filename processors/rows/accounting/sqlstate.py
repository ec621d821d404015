"""Whose fault a failed statement is, by its SQLSTATE (PostgreSQL, appendix A)."""

from enum import Enum

import psycopg
from psycopg_pool import PoolTimeout


class Blame(Enum):
    """Who has to do what."""

    SERVER = "again"  # passes by itself: again, for as long as it takes
    ROWS = "isolate"  # at least one row of those sent is bad: find it
    SIZE = "halve"  # too much at once, or a slow server: less of it may pass
    PEOPLE = "halt"  # the configuration is wrong: stop this partition, loudly


_SERVER_CLASSES = frozenset({"08", "40", "53", "57", "58"})
# A fail-over made it read-only, a lock is not free, the database is being created anew.
_SERVER_STATES = frozenset({"25006", "55P03", "3D000"})
_ROW_CLASSES = frozenset({"22", "23", "54"})

_TIMEOUTS = frozenset({"57014", "25P03", "25P04"})  # of a statement, a pause, a transaction


def blame(error: psycopg.Error) -> Blame:
    """Unknown states count as a fault of the configuration: never reject a topic by mistake."""
    state = error.sqlstate
    if state is None:
        return _without_answer(error)
    if state in _TIMEOUTS:
        return Blame.SIZE
    if state[:2] in _SERVER_CLASSES or state in _SERVER_STATES:
        return Blame.SERVER
    if state[:2] in _ROW_CLASSES:
        return Blame.ROWS
    return Blame.PEOPLE


def _without_answer(error: psycopg.Error) -> Blame:
    """The server did not say: the connection failed, or the client refused what it was to send."""
    if isinstance(error, psycopg.OperationalError):
        return Blame.SERVER
    return Blame.ROWS if isinstance(error, psycopg.DataError) else Blame.PEOPLE


def passes(error: BaseException) -> bool:
    """Whether the same again may work, after a while."""
    if isinstance(error, PoolTimeout | TimeoutError):
        return True
    return isinstance(error, psycopg.Error) and blame(error) in (Blame.SERVER, Blame.SIZE)
