"""Whose fault a failed statement is, by its SQLSTATE (PostgreSQL, appendix A)."""

from enum import Enum

import psycopg
from psycopg_pool import PoolTimeout


class Blame(Enum):
    """Who has to do what."""

    SERVER = "again"  # passes by itself: again, for as long as it takes
    ROWS = "halve"  # at least one row of those sent is bad: find it
    PEOPLE = "halt"  # the configuration is wrong: stop this partition, loudly


_SERVER_CLASSES = frozenset({"08", "25", "40", "53", "55", "57", "58"})
_ROW_CLASSES = frozenset({"22", "23", "54"})

QUERY_CANCELED = "57014"  # by statement_timeout: too much at once
_INVALID_CATALOG_NAME = "3D000"  # the database is being created anew
_UNIQUE_VIOLATION = "23505"  # somebody else inserted the key between our look and our write


def blame(error: psycopg.Error) -> Blame:
    """Unknown states count as a fault of the configuration: never reject a topic by mistake."""
    state = error.sqlstate
    if state is None:
        # No state: the connection failed, or the client refused the data before sending it.
        return Blame.SERVER if isinstance(error, psycopg.OperationalError) else Blame.ROWS
    if state == QUERY_CANCELED:
        return Blame.ROWS
    if state[:2] in _SERVER_CLASSES or state in (_INVALID_CATALOG_NAME, _UNIQUE_VIOLATION):
        return Blame.SERVER
    if state[:2] in _ROW_CLASSES:
        return Blame.ROWS
    return Blame.PEOPLE


def passes(error: BaseException) -> bool:
    """Whether the same again may work, after a while."""
    if isinstance(error, PoolTimeout):
        return True
    return isinstance(error, psycopg.Error) and blame(error) is Blame.SERVER
