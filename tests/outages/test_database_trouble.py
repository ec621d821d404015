"""Trouble between a worker and PostgreSQL while rows flow: nothing is lost, rejected or repeated."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic, time
from typing import Any

import httpx
import psycopg
import pytest
from confluent_kafka import murmur2
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.processes.process import GuardedProcess
from processors.errors import UnreachableError
from processors.rows.batch_loop import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from processors.worker.topology import SEEK_SESSIONS
from producers.terminal.exits import PARTIAL
from schemas.topics import ROW_PARTITIONS
from tests.fix_companies import (
    ROWS,
    Companies,
    exact,
    finish,
    hurry,
    importing,
    logged,
    make_slow,
    shared,
)
from tests.fix_stack import AS_DJANGO, SESSION_SECONDS, Site, eventually
from tests.pg_proxy import PgProxy

ROOT = Path(__file__).parents[2]

TRIES = 8
"""With four partitions: enough for each batch to be tried again, twice."""


def reasons(worker: GuardedProcess) -> list[dict[str, Any]]:
    """What a worker says of batches that it will write again: one of the many of a minute."""
    return logged(worker, "stamina.retry_scheduled")


def retries(worker: GuardedProcess) -> float:
    """How often a worker has tried a batch again."""
    [served] = logged(worker, "metrics_served")
    text = httpx.get(f"http://127.0.0.1:{served['port']}/metrics", trust_env=False).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "fox_batch_retries_total"
    )


def wait(seconds: float, unless: Callable[[], bool] = lambda: False) -> None:
    """Lets time pass; fails where `unless` comes true in it."""
    until = monotonic() + seconds
    eventually(lambda: unless() or monotonic() > until, seconds + 1)
    assert not unless()


def execute(site: Site, *statements: str) -> None:
    """As the superuser, each statement by itself."""
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


# Servers that answer, but not as hoped


@contextmanager
def read_only(site: Site) -> Iterator[None]:
    """As after a fail-over to a standby that is not promoted yet."""
    try:
        execute(
            site, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
        )
        yield
    finally:
        execute(site, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Somebody alters the table, and takes his time."""
    with psycopg.connect(site.database_url) as connection:
        connection.execute("LOCK TABLE enterprise_entreprise IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def disk_full(site: Site, application: str = "") -> Iterator[None]:
    """No row can be written; or none by one application."""
    execute(
        site,
        f"""
        CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF '{application}' IN ('', current_setting('application_name')) THEN
                    RAISE 'could not extend file' USING ERRCODE = 'disk_full';
                END IF;
                RETURN NULL;
            END
        $$
        """,
        "CREATE TRIGGER full_ BEFORE INSERT ON enterprise_entreprise"
        " FOR EACH STATEMENT EXECUTE FUNCTION full_()",
    )
    try:
        yield
    finally:
        execute(site, "DROP FUNCTION full_ CASCADE")


@pytest.mark.parametrize(
    ("trouble", "name"),
    [
        (read_only, "ReadOnlySqlTransaction|PoolTimeout"),
        (locked, "LockNotAvailable"),
        (disk_full, "DiskFull"),
    ],
)
def test_a_server_that_refuses_for_a_while(
    site: Site,
    companies: Companies,
    trouble: Callable[[Site], AbstractContextManager[None]],
    name: str,
) -> None:
    """The batch waits and is written; no row is to blame."""
    make_slow(site, 0.2)
    site.settings = {
        **site.settings,
        "FOX_DATABASE_URL": f"{site.database_url}?options=-c%20lock_timeout%3D1s",
    }
    worker = site.worker()
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        with trouble(site):
            eventually(lambda: retries(worker) >= TRIES)
        assert command.poll() is None
        assert companies.written(path) < ROWS
        finish(site, companies, command)
    assert re.search(name, reasons(worker)[0]["caused_by"])
    assert worker.running
    assert not logged(worker, "partition_halted")


def test_the_runbook_shows_who_waits_for_a_lock_and_who_holds_it(site: Site) -> None:
    """Its statement, as an operator copies it."""
    section = (
        (ROOT / "docs" / "runbooks.md").read_text("utf-8").partition("### FoxCommitStalled")[2]
    )
    query = section.partition("```sql\n")[2].partition(";\n```")[0]
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND pid = %s"
    with (
        locked(site),
        psycopg.connect(site.database_url) as connection,
        ThreadPoolExecutor() as pool,
    ):
        waiter = connection.info.backend_pid
        reading = pool.submit(connection.execute, "TABLE enterprise_entreprise")
        try:
            eventually(lambda: site.query(waiting, waiter))

            [row] = [row for row in site.query(query.replace("%", "%%")) if row[0] == waiter]
        finally:
            connection.cancel()
        assert row[3] == "TABLE enterprise_entreprise"
        assert row[4] != waiter
        assert row[7].startswith("LOCK TABLE enterprise_entreprise")
        with pytest.raises(psycopg.errors.QueryCanceled):
            reading.result()


def test_a_row_that_somebody_holds(site: Site, companies: Companies) -> None:
    """Its partition waits for it, however long it is; the others are written to their end."""
    worker = site.worker()
    path = companies.file(80_000)
    sirens = [line[:9] for line in path.read_text(encoding="utf-8").splitlines()[1:80_001]]
    held = murmur2(sirens[0].encode(), ROW_PARTITIONS)
    others = sum(murmur2(siren.encode(), ROW_PARTITIONS) != held for siren in sirens)
    with (
        psycopg.connect(site.database_url, options=AS_DJANGO) as somebody,
        importing(site, path) as command,
    ):
        somebody.execute(
            "INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom)"
            " VALUES (gen_random_uuid(), now(), now(), %s, 'Sienne')",
            [sirens[0]],
        )
        eventually(lambda: companies.written(path) == others)
        assert command.poll() is None
        somebody.rollback()
        finish(site, companies, command)
    assert worker.running


def test_too_many_connections(site: Site, companies: Companies) -> None:
    """A worker whose connections are ended, and which gets no others, and later fewer, goes on."""
    make_slow(site, 0.3)
    role = site.prefix.replace(".", "_limited")
    schemas = "IN SCHEMA public, ingest TO"
    execute(
        site,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT ALL ON SCHEMA public, ingest TO {role}",
        f"GRANT ALL ON ALL TABLES {schemas} {role}",
        f"GRANT ALL ON ALL SEQUENCES {schemas} {role}",
    )
    site.settings = {
        **site.settings,
        "FOX_DATABASE_URL": site.database_url.replace("//foxstream@", f"//{role}@"),
    }
    worker = site.worker()
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        execute(
            site,
            f"ALTER ROLE {role} CONNECTION LIMIT 0",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'",
        )
        wait(8, unless=lambda: not worker.running)
        assert companies.written(path) < ROWS
        execute(site, f"ALTER ROLE {role} CONNECTION LIMIT 2")
        finish(site, companies, command)
    assert "too many connections" in worker.launch.log.read_text(encoding="utf-8")


# Servers that do not answer

OUTAGE = (1 + SEEK_SESSIONS) * SESSION_SECONDS + 3
"""Until the group has noticed who is dead, and then longer than a seek may take."""

SILENCE = SESSION_SECONDS + 4.0
"""Longer than a transaction may take."""


def test_an_outage_longer_than_a_seek_may_take(site: Site, companies: Companies) -> None:
    """Workers wait for PostgreSQL with limited pauses, and through rebalances, without a restart.

    One is killed meanwhile, one sleeps beyond its session in the middle of a try, one is started.
    """
    make_slow(site, 0.3)
    survivor, sleeper, killed = site.worker(), site.worker(), site.worker()
    eventually(lambda: shared(site, 3))
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        written = companies.written(path)
        stopped = time()
        site.stack.postgres.stop()
        try:
            killed.kill()
            sleeper.pause()
            late = site.worker()
            assert late.wait(30) == UnreachableError.exit_code
            wait(OUTAGE - (time() - stopped), unless=lambda: not survivor.running)
        finally:
            sleeper.resume()
            site.stack.postgres.start()
        assert written < ROWS
        finish(site, companies, command)
        assert survivor.running
        # Asleep in the middle of a seek it has slept beyond that seek's limit: then it ends.
        assert sleeper.running or sleeper.returncode == UnreachableError.exit_code
    pauses = [event["wait_for"] for event in reasons(survivor)]
    assert pauses[0] <= FIRST_PAUSE_SECONDS
    assert max(pauses) <= LONGEST_PAUSE_SECONDS


def test_a_silent_server(site: Site, companies: Companies) -> None:
    """A worker that has to seek in the silence ends, or waits and goes on; it never hangs."""
    make_slow(site, 0.3)
    left = site.worker()
    with PgProxy(site.database_url) as proxy:
        site.settings = {**site.settings, "FOX_DATABASE_URL": proxy.url}
        worker = site.worker()
        eventually(lambda: shared(site, 2))
        path = companies.file()
        with importing(site, path) as command:
            companies.begun(path)
            proxy.hold()
            left.stop()  # which makes the other seek
            quiet = monotonic() + SILENCE
            eventually(lambda: monotonic() > quiet or not worker.running)
            assert companies.written(path) < ROWS
            proxy.release()
            if not worker.running:
                assert worker.returncode == UnreachableError.exit_code
                site.worker()
            finish(site, companies, command)


def test_a_server_that_vanishes(site: Site, companies: Companies) -> None:
    """Connections that nobody will ever answer are given up; the worker goes on with others."""
    make_slow(site, 0.3)
    with PgProxy(site.database_url) as proxy:
        site.settings = {**site.settings, "FOX_DATABASE_URL": proxy.url}
        worker = site.worker()
        path = companies.file()
        with importing(site, path) as command:
            companies.begun(path)
            proxy.strand()
            finish(site, companies, command)
        assert worker.running


# Somebody else's partition


def test_a_batch_that_is_retried_is_given_up_with_its_partition(
    site: Site, companies: Companies
) -> None:
    """The worker that gets the partition writes it; the other one does not even ask."""
    make_slow(site, 0.1)
    slow = site.settings
    site.settings = {**slow, "FOX_DATABASE_URL": f"{site.database_url}?application_name=loser"}
    loser = site.worker()
    path = companies.file()
    with importing(site, path) as command:
        companies.begun(path)
        with disk_full(site, "loser"):
            eventually(lambda: retries(loser) >= 8)
            stuck = companies.written(path)
            site.settings = slow
            winner = site.worker()
            eventually(lambda: shared(site, 2))
            eventually(lambda: companies.written(path) > stuck)
            tries = retries(loser)
            eventually(lambda: retries(loser) >= tries + 2)  # of what it has left
            assert loser.running
        finish(site, companies, command)
    assert winner.running
    assert not logged(loser, "batch_fenced")
    assert not logged(winner, "batch_fenced")


def test_a_worker_that_stops_in_a_transaction(site: Site, companies: Companies) -> None:
    """PostgreSQL ends the transaction before the group notices; the sleeper wakes to nothing."""
    make_slow(site, 0.3)
    site.worker()
    site.settings = {
        **site.settings,
        "FOX_DATABASE_URL": f"{site.database_url}?application_name=sleeper",
    }
    sleeper = site.worker()
    eventually(lambda: shared(site, 2))
    path = companies.file()
    with importing(site, path) as command:
        [(pid,)] = eventually(lambda: writing(site))
        sleeper.pause()
        eventually(lambda: state(site, pid) == "idle in transaction")
        eventually(lambda: state(site, pid) is None)
        eventually(lambda: shared(site, 1))
        hurry(site)
        assert command.wait(180) == PARTIAL
    before = counted(site)
    sleeper.resume()
    eventually(lambda: shared(site, 2))
    wait(1)
    assert counted(site) == before
    exact(site, companies)


def writing(site: Site) -> list[tuple[Any, ...]]:
    """The id of the server's process that lingers in a transaction of the sleeper."""
    return site.query(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'sleeper'"
        " AND datname = current_database() AND wait_event = 'PgSleep'"
    )


def state(site: Site, pid: int) -> str | None:
    """What a process of the server does; None when it is gone."""
    found = site.query("SELECT state FROM pg_stat_activity WHERE pid = %s", pid)
    return found[0][0] if found else None


def counted(site: Site) -> list[list[tuple[Any, ...]]]:
    """All that a batch of rows may change, in the versions that PostgreSQL keeps of rows.

    The positions of other topics move when the tracker hears of the end.
    """
    return [
        site.query(f"SELECT xmin, ctid FROM {table} ORDER BY ctid")
        for table in (
            "enterprise_entreprise",
            "ingest.positions WHERE topic LIKE '%%rows.%%'",
            "ingest.progress",
        )
    ]


def test_workers_come_and_go(site: Site, companies: Companies) -> None:
    """One, two, four, two, one, in order or not, while an import flows."""
    make_slow(site, 0.8)
    workers = [site.worker()]
    eventually(lambda: shared(site, 1))
    path = companies.file(2 * ROWS)
    with importing(site, path) as command:
        eventually(lambda: companies.written(path))
        workers.append(site.worker())
        eventually(lambda: shared(site, 2))
        workers += [site.worker(), site.worker()]
        eventually(lambda: shared(site, 4))
        workers.pop(0).kill()
        workers.pop(0).stop()
        eventually(lambda: shared(site, 2))
        workers.pop(0).stop()
        eventually(lambda: shared(site, 1))
        assert companies.written(path) < 2 * ROWS
        finish(site, companies, command)
    assert workers[0].running
