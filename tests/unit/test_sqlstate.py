"""What a failed statement leads to, state by state: retry, halve, isolate or halt."""

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolTimeout

from processors.rows.accounting.sqlstate import Blame, blame, is_transient

# The states that PostgreSQL really has for each class.
AGAIN = [
    "08000", "08001", "08003", "08004", "08006", "08007",
    "40001", "40002", "40003", "40P01",
    "53000", "53100", "53200", "53300", "53400",
    "55P03",
    "57000", "57P01", "57P02", "57P03", "57P05",
    "58000", "58030",
    "25006",
    "3D000",
]  # fmt: skip
ROWS = [
    "22000", "22001", "22003", "22007", "22008", "22021", "22P02", "22P05",
    "23502", "23503", "23505", "23514", "23P01",
    "P0001", "P0003",
    "54000", "54001", "54011",
]  # fmt: skip
PEOPLE = [
    "42501", "42601", "42703", "42804", "42883", "42P01", "42P10", "42P18",
    "3F000",
    "28000", "28P01",
    "0A000",
    "XX000", "F0000", "0L000", "2BP01", "38000", "99999",
]  # fmt: skip


def error(state: str) -> psycopg.Error:
    """The error that psycopg raises for a state, one that it does not know included."""
    try:
        return errors.lookup(state)()
    except KeyError:
        unknown = psycopg.DatabaseError()
        unknown.sqlstate = state
        return unknown


@pytest.mark.parametrize("state", AGAIN)
def test_server(state: str) -> None:
    """What passes by itself is tried again."""
    assert blame(error(state)) is Blame.SERVER
    assert is_transient(error(state))


@pytest.mark.parametrize("state", ROWS)
def test_rows(state: str) -> None:
    """What a row brought about is looked for among the rows."""
    assert blame(error(state)) is Blame.ROWS
    assert not is_transient(error(state))


@pytest.mark.parametrize("state", PEOPLE)
def test_people(state: str) -> None:
    """What a person has to set right, and whatever is unknown, halts and rejects nothing."""
    assert blame(error(state)) is Blame.OPERATOR
    assert not is_transient(error(state))


@pytest.mark.parametrize("state", ["25P03", "25P04"])
def test_what_took_too_long(state: str) -> None:
    """A transaction that PostgreSQL ended for its time is tried again with less in it."""
    assert blame(error(state)) is Blame.SIZE
    assert is_transient(error(state))


def test_connections_that_fail() -> None:
    """A failure without a state, as a refused connection is, is tried again."""
    assert is_transient(psycopg.OperationalError("connection refused"))
    assert is_transient(PoolTimeout("couldn't get a connection after 10.00 sec"))


def test_a_silent_server() -> None:
    """One that does not answer in time (processors.database.pool.connected) is asked again."""
    assert is_transient(TimeoutError())


def test_data_that_the_client_refuses() -> None:
    """What psycopg itself cannot send is the row's."""
    assert blame(psycopg.DataError("PostgreSQL text fields cannot contain NUL bytes")) is Blame.ROWS


def test_statements_that_the_client_refuses() -> None:
    """A mistake in our own use of psycopg halts: no row is to blame for it."""
    assert blame(psycopg.ProgrammingError("the query has 0 placeholders")) is Blame.OPERATOR
    assert blame(psycopg.InterfaceError("the cursor is closed")) is Blame.OPERATOR


def test_others() -> None:
    """An error that is none of the database's does not pass."""
    assert not is_transient(ValueError("x"))


@pytest.mark.parametrize("state", ["55000", "55006", "55P02", "55P04"])
def test_objects_in_the_wrong_state(state: str) -> None:
    """Of class 55 only a lock that was not to be had passes by itself."""
    assert blame(error(state)) is Blame.OPERATOR


@pytest.mark.parametrize("state", ["25000", "25001", "25P01", "25P02"])
def test_transactions_in_the_wrong_state(state: str) -> None:
    """Of class 25 only what a server's failover or a time-out brings passes by itself."""
    assert blame(error(state)) is Blame.OPERATOR
