"""The lease of a job in PostgreSQL, without workers: whose run counts when one took too long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import psycopg
import pytest

from processors.jobs import lease
from processors.jobs.lease import MOST_DEATHS, Connection, LostError, Run, StoppedError, begin, bury
from tests.fix_stack import eventually
from tests.integration.test_row_writer import database

__all__ = ["database"]  # fixtures

DUE = datetime(2026, 11, 15, 2, 0, tzinfo=UTC)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """It commits by itself."""
    with psycopg.connect(database, autocommit=True) as found:
        yield found


def run(connection: Connection, due_at: datetime | None = DUE, job: str = "clean") -> Run:
    found = begin(connection, job, due_at, Event())
    assert found is not None
    return found


def expire(connection: Connection) -> None:
    """As if the lease of each run had ended."""
    connection.execute("UPDATE ingest.job_runs SET leased_until = now() - interval '1 second'")


def records(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT outcome, counts, attempt FROM ingest.job_runs ORDER BY started_at, attempt"
    ).fetchall()


def test_one_run_at_a_time(connection: Connection) -> None:
    """By the clock and by hand alike; another job runs beside it."""
    run(connection)

    for due_at in (DUE, DUE + timedelta(days=7), None):
        assert begin(connection, "clean", due_at, Event()) is None
    run(connection, job="analyze")


@pytest.mark.parametrize("due_at", [DUE, None])
def test_two_that_begin_at_once(
    connection: Connection, database: str, due_at: datetime | None
) -> None:
    """The later one waits for the earlier, and learns that the job runs."""
    with psycopg.connect(database) as earlier, ThreadPoolExecutor() as other:
        assert begin(earlier, "clean", due_at, Event()) is not None
        later = other.submit(begin, connection, "clean", due_at, Event())
        eventually(
            lambda: earlier.execute(
                "SELECT FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).fetchall()
        )
        earlier.commit()

        assert later.result() is None


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_what_was_dealt_with_is_not_due_again(connection: Connection, outcome: str) -> None:
    """Nor what was due before it; by hand it runs all the same."""
    run(connection).end(connection, outcome, {})

    for due_at in (DUE, DUE - timedelta(days=7)):
        assert begin(connection, "clean", due_at, Event()) is None
    run(connection, DUE + timedelta(days=7)).end(connection, outcome, {})
    run(connection, None)


def test_what_stopped_with_its_worker_is_due_again(connection: Connection) -> None:
    for _ in range(MOST_DEATHS + 1):
        run(connection).end(connection, "stopped", {})


def test_what_dies_again_and_again_is_given_up(connection: Connection) -> None:
    """Of one due time: the next is tried, and so is a run by hand."""
    for _ in range(MOST_DEATHS):
        run(connection)
        expire(connection)
        bury(connection, "clean")

    assert begin(connection, "clean", DUE, Event()) is None
    assert [outcome for outcome, *_ in records(connection)] == ["died"] * MOST_DEATHS
    run(connection, None).end(connection, "stopped", {})
    run(connection, DUE + timedelta(days=7))


def test_only_a_lease_that_has_ended_is_given_up(connection: Connection) -> None:
    run(connection)
    run(connection, job="analyze")
    connection.execute(
        "UPDATE ingest.job_runs SET leased_until = now() - interval '1 second' WHERE job = 'analyze'"
    )

    bury(connection, "clean")

    assert [outcome for outcome, *_ in records(connection)] == [None, None]


def test_holding_renews_the_lease(connection: Connection) -> None:
    held = run(connection)
    connection.execute("UPDATE ingest.job_runs SET leased_until = now() + interval '1 second'")

    held.hold(connection, {"rows": 7})

    [(renewed,)] = connection.execute(
        "SELECT leased_until > now() + interval '100 seconds' FROM ingest.job_runs"
    ).fetchall()
    assert renewed
    assert records(connection) == [(None, {"rows": 7}, 1)]
    assert lease.LEASE_SECONDS >= 100


def test_a_run_that_was_given_up(connection: Connection) -> None:
    """It learns so in its next transaction, and says nothing of what became of it."""
    lost = run(connection)
    expire(connection)
    other = run(connection)

    with pytest.raises(LostError):
        lost.hold(connection, {"rows": 7})
    lost.end(connection, "done", {"rows": 7})

    assert records(connection) == [("died", {}, 1), (None, {}, 2)]
    other.hold(connection, {})


def test_a_run_whose_worker_ends(connection: Connection) -> None:
    stop = Event()
    held = begin(connection, "clean", DUE, stop)
    assert held is not None
    held.hold(connection, {"rows": 7})
    stop.set()

    with pytest.raises(StoppedError):
        held.hold(connection, {"rows": 8})

    held.end(connection, "stopped", None)
    assert records(connection) == [("stopped", {"rows": 7}, 1)]
