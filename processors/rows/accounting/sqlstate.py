"""Classifies a failed statement by its SQLSTATE (PostgreSQL, appendix A)."""

from enum import Enum

import psycopg
from psycopg_pool import PoolTimeout


class Blame(Enum):
    """What caused the failure, and what has to be done."""

    SERVER = "retry"  # transient: retry for as long as it takes
    ROWS = "isolate"  # at least one of the rows must be rejected: find it
    SIZE = "halve"  # too much at once, or a slow server: halves may succeed
    OPERATOR = "halt"  # the configuration is wrong: halt this partition


_SERVER_CLASSES = frozenset({"08", "40", "53", "57", "58"})
# A fail-over made it read-only, a lock is taken, the database is being created anew.
_SERVER_STATES = frozenset({"25006", "55P03", "3D000"})
_ROW_CLASSES = frozenset({"22", "23", "54", "P0"})  # P0: a trigger of the site raises

_TIMEOUTS = frozenset({"57014", "25P03", "25P04"})  # of a statement, a pause, a transaction


def blame(error: psycopg.Error) -> Blame:
    """Unknown states count as wrong configuration, so that a topic is never rejected by mistake."""
    state = error.sqlstate
    if state is None:
        return _without_sqlstate(error)
    if state in _TIMEOUTS:
        return Blame.SIZE
    if state[:2] in _SERVER_CLASSES or state in _SERVER_STATES:
        return Blame.SERVER
    if state[:2] in _ROW_CLASSES:
        return Blame.ROWS
    return Blame.OPERATOR


def _without_sqlstate(error: psycopg.Error) -> Blame:
    """The connection failed, or the client could not convert the parameters."""
    if isinstance(error, psycopg.OperationalError):
        return Blame.SERVER
    return Blame.ROWS if isinstance(error, psycopg.DataError) else Blame.OPERATOR


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed after a while."""
    if isinstance(error, PoolTimeout | TimeoutError):
        return True
    return isinstance(error, psycopg.Error) and blame(error) in (Blame.SERVER, Blame.SIZE)
