"""Jobs: by the clock and by hand, never twice at once, with a record of each run."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest
from prometheus_client import REGISTRY

from processors import metrics
from processors.jobs.catalogue import JOBS
from processors.jobs.job_run import run
from processors.jobs.lease import MOST_DEATHS, StoppedError
from processors.jobs.scheduler import Scheduler, due
from processors.jobs.upkeep import DriftError
from processors.settings import Settings
from tests.fix_stack import AS_DJANGO, Site, eventually

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 18, 12, 30, tzinfo=UTC)  # a Wednesday
LAST = {
    "check-accounts": datetime(2026, 11, 18, 12, 7, tzinfo=UTC),
    "clean": datetime(2026, 11, 15, 2, 0, tzinfo=UTC),
    "check-texts": datetime(2026, 11, 18, 0, 30, tzinfo=UTC),
    "enrich-nightly": datetime(2026, 11, 18, 1, 0, tzinfo=UTC),
    "resolve-pages": datetime(2026, 11, 18, 3, 0, tzinfo=UTC),
}
"""When each was due last, at NOW."""


def settings(site: Site, **others: Any) -> Settings:
    return Settings(database_url=site.database_url, **others)  # type: ignore[arg-type]


def known_since(site: Site, since: datetime) -> None:
    """As if workers had run since then."""
    site.execute("INSERT INTO ingest.jobs SELECT unnest(%s::text[]), %s", list(JOBS), since)


def due_now(site: Site, now: datetime = NOW) -> dict[str, datetime]:
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        return {job: at for at, job in due(connection, now, PARIS)}


def outcomes(site: Site) -> Counter[tuple[str, str | None]]:
    return Counter(site.query("SELECT job, outcome FROM ingest.job_runs"))


def listed(site: Site) -> dict[str, dict[str, Any]]:
    done = site.foxstream_worker("jobs", "--json")
    assert done.code == 0, done.stderr
    found: Any = done.json()
    return {each["job"]: each for each in found}


@contextmanager
def locked(site: Site, table: str) -> Iterator[None]:
    """Nobody else reads or writes the table meanwhile."""
    with psycopg.connect(site.database_url) as connection:
        connection.execute(f"LOCK TABLE {table}".encode())
        yield


def test_a_new_job_has_missed_nothing(tables: Site) -> None:
    """What was due before anybody knew of the job is not caught up: no plan at noon of day one."""
    assert due_now(tables) == {}
    tables.execute("UPDATE ingest.jobs SET since = %s", NOW - timedelta(minutes=25))
    assert due_now(tables) == {"check-accounts": LAST["check-accounts"]}
    assert set(listed(tables)) == set(JOBS)
    assert listed(tables)["clean"]["last"] is None
    # FoxJobLate goes by it: a job that never runs is late as well.
    since = {"name": "clean"}
    assert (
        REGISTRY.get_sample_value("fox_job_last_success_timestamp_seconds", since)
        == (NOW - timedelta(minutes=25)).timestamp()
    )


def test_a_dump_that_is_restored_under_running_workers(tables: Site) -> None:
    """A table is there before its key: nothing is inserted meanwhile that keeps the key from being made."""
    known_since(tables, NOW)
    tables.execute("ALTER TABLE ingest.jobs DROP CONSTRAINT jobs_pkey")
    with pytest.raises(psycopg.errors.InvalidColumnReference):
        due_now(tables)
    assert tables.query("SELECT count(*) FROM ingest.jobs") == [(len(JOBS),)]

    for command in ("migrate", "run"):
        done = tables.foxstream_worker(command)
        assert done.code == 2
        assert "tables lack their primary keys: jobs." in done.stderr

    tables.execute("ALTER TABLE ingest.jobs ADD PRIMARY KEY (name)")
    assert tables.foxstream_worker("migrate").code == 0


def test_a_worker_that_runs_no_jobs_reports_them(tables: Site) -> None:
    """A scheduler of somebody else's may run them: what is late is known, and nothing is run."""
    known_since(tables, NOW - timedelta(days=60))
    asyncio.run(Scheduler(settings(tables, jobs_scheduled=False), lambda: NOW).look())

    assert outcomes(tables) == {}
    since = {"name": "resolve-pages"}
    assert (
        REGISTRY.get_sample_value("fox_job_last_success_timestamp_seconds", since)
        == (NOW - timedelta(days=60)).timestamp()
    )


def test_what_was_missed_is_caught_up_once(tables: Site) -> None:
    """However many times were missed, and however many workers find out at the same moment."""
    known_since(tables, NOW - timedelta(days=60))
    assert due_now(tables) == LAST

    with ThreadPoolExecutor(8) as workers:
        ran = list(
            workers.map(
                lambda _: run(settings(tables), "clean", LAST["clean"], Event()) is not None,
                range(24),
            )
        )

    assert ran.count(True) == 1
    assert outcomes(tables) == {("clean", "done"): 1}
    assert set(due_now(tables)) == LAST.keys() - {"clean"}
    assert "clean" in due_now(tables, NOW + timedelta(days=7))


def test_two_workers_run_each_job_once(site: Site) -> None:
    """Workers that start together after a downtime share what was missed; the next finds nothing."""
    known_since(site, datetime.now(UTC) - timedelta(days=8))
    site.settings = {"FOX_JOBS_SCHEDULED": "true"}
    began = datetime.now(UTC)
    workers = site.worker("imports"), site.worker("imports")
    eventually(lambda: outcomes(site).keys() >= {(job, "done") for job in LAST}, 120)
    eventually(lambda: all('"worker started"' in worker.log_tail() for worker in workers))
    assert (
        site.query("SELECT job, due_at FROM ingest.job_runs GROUP BY 1, 2 HAVING count(*) > 1")
        == []
    )
    told = listed(site)
    assert told["clean"]["schedule"] == "Sunday 3:00"
    assert told["clean"]["last"]["outcome"] == "done"
    assert told["clean"]["last"]["due_at"] is not None
    assert told["clean"]["next"] > began.isoformat()
    assert told["repair-sous-categories"]["schedule"] == "by hand"


def job_process(site: Site, name: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "processors.worker.commands", "job", name],
        env={**os.environ, **site.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_killed_run_gives_its_lease_up(tables: Site) -> None:
    """By hand and by the clock never at once; a run that was killed is recorded as died, and due again."""
    known_since(tables, NOW - timedelta(days=60))
    with locked(tables, "ingest.imports"):
        by_hand = job_process(tables, "clean")
        eventually(lambda: outcomes(tables) == {("clean", None): 1})
        busy = tables.foxstream_worker("job", "clean")
        assert run(settings(tables), "clean", LAST["clean"], Event()) is None
        assert listed(tables)["clean"]["last"]["outcome"] == "running"
        by_hand.send_signal(signal.SIGKILL)
        by_hand.wait()
    assert busy.code == 4
    assert "runs somewhere else" in busy.stderr
    # Nobody knows yet that it is dead.
    assert run(settings(tables), "clean", LAST["clean"], Event()) is None

    tables.execute("UPDATE ingest.job_runs SET leased_until = now() - interval '1 second'")
    assert listed(tables)["clean"]["last"]["outcome"] == "died"
    assert "clean" in due_now(tables)
    assert outcomes(tables) == {("clean", "died"): 1}
    assert run(settings(tables), "clean", LAST["clean"], Event()) is not None
    assert outcomes(tables) == {("clean", "died"): 1, ("clean", "done"): 1}


def test_who_lost_the_lease_writes_nothing(tables: Site) -> None:
    """A run that comes back after it was given up ends before its next commit."""
    old_import(tables, uuid4(), 120)
    with locked(tables, "core_importlog"):
        slow = job_process(tables, "clean")
        eventually(lambda: outcomes(tables) == {("clean", None): 1})
        eventually(lambda: waiting_for_locks(tables))
        tables.execute("UPDATE ingest.job_runs SET ended_at = now(), outcome = 'died'")

    assert slow.wait(60) == 1
    assert tables.query("SELECT count(*)::int FROM ingest.imports") == [(1,)]
    assert outcomes(tables) == {("clean", "died"): 1}


def waiting_for_locks(site: Site) -> bool:
    return bool(
        site.query(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'"
        )
    )


def test_what_dies_again_and_again_is_given_up_until_the_next_time(tables: Site) -> None:
    """A job that kills its worker does not kill all of them, one after the other."""
    known_since(tables, NOW - timedelta(days=60))
    for attempt in range(MOST_DEATHS):
        tables.execute(
            "INSERT INTO ingest.job_runs (id, job, due_at, attempt, leased_until, ended_at, outcome) "
            "VALUES (gen_random_uuid(), 'clean', %s, %s, now(), now(), 'died')",
            LAST["clean"], attempt + 1,
        )  # fmt: skip

    assert run(settings(tables), "clean", LAST["clean"], Event()) is None
    assert run(settings(tables), "clean", LAST["clean"] + timedelta(days=7), Event()) is not None


def test_a_run_that_stops_with_its_worker_is_due_again(tables: Site) -> None:
    """It ends at its next transaction, says so, and whoever looks next begins anew."""
    known_since(tables, NOW - timedelta(days=60))
    stop = Event()
    stop.set()
    for _ in range(MOST_DEATHS + 1):
        with pytest.raises(StoppedError):
            run(settings(tables), "clean", LAST["clean"], stop)

    assert "clean" in due_now(tables)
    assert run(settings(tables), "clean", LAST["clean"], Event()) is not None


def test_a_job_that_fails_says_why_and_waits_for_its_next_time(tables: Site) -> None:
    """Failures are for people: the record has the reason, the list tells it, nothing runs in circles."""
    known_since(tables, NOW - timedelta(days=60))
    old_import(tables, import_id := uuid4(), 1)

    with pytest.raises(DriftError):
        run(settings(tables), "check-accounts", LAST["check-accounts"], Event())

    last = listed(tables)["check-accounts"]["last"]
    assert last["outcome"] == "failed"
    assert str(import_id) in last["message"]
    assert str(import_id) in tables.foxstream_worker("jobs").stdout
    assert "check-accounts" not in due_now(tables)
    assert "check-accounts" in due_now(tables, NOW + timedelta(hours=1))
    failed = {job: metrics.JOB_FAILED.labels(job)._value.get() for job in JOBS}
    assert failed == {**dict.fromkeys(JOBS, 0), "check-accounts": 1}


def test_jobs_go_by_the_clock_of_a_time_zone(tables: Site) -> None:
    """Paris' by default; where another is told, by that one, whose summer is as its winter."""
    tables.settings = {"FOX_JOBS_SCHEDULED": "true"}
    hours = {datetime.fromisoformat(listed(tables)["clean"]["next"]).hour}
    tables.settings = {**tables.settings, "FOX_JOBS_TIME_ZONE": "America/Guadeloupe"}

    assert hours <= {1, 2}
    assert datetime.fromisoformat(listed(tables)["clean"]["next"]).hour == 7


def test_statistics_follow_large_imports(tables: Site) -> None:
    """ANALYZE is due when an import that wrote much has ended, once; small ones change nothing."""
    known_since(tables, datetime.now(UTC) - timedelta(days=60))
    old_import(tables, uuid4(), 2)
    assert "analyze" not in due_now(tables)
    old_import(tables, uuid4(), 1, inserted=6_000, updated=4_000)
    at = due_now(tables)["analyze"]

    assert run(settings(tables), "analyze", at, Event()) == {"tables": 6, "refused": 0}

    assert "analyze" not in due_now(tables)
    assert tables.query(
        "SELECT last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'location_ville'"
    ) == [(True,)]


def old_import(
    site: Site, import_id: UUID, days: float, inserted: int = 1, updated: int = 0,
    parent: UUID | None = None,
) -> None:  # fmt: skip
    """An import that ended so long ago, of which nobody knows what became of its rows."""
    site.execute(
        "INSERT INTO ingest.imports (id, partition, import_type, file_name, file_sha256, "
        "generate_ai_content, header, options, created_at, completed_at, status, total_rows, "
        "inserted, updated, parent, version, published_version) "
        "SELECT %s, 1, 'VILLE', 'v.csv', '', true, '[]', '{}', at, at, 'SUCCESS', %s, %s, %s, %s, 1, 1 "
        "FROM (SELECT now() - %s * interval '1 day' AS at) a",
        import_id, inserted + updated, inserted, updated, parent, days,
    )  # fmt: skip


HANGING: Sequence[tuple[str, str]] = (
    (
        "ingest.progress",
        "INSERT INTO ingest.progress (import_id, topic, partition) VALUES (%(i)s, 't', 0)",
    ),
    (
        "ingest.rejects",
        'INSERT INTO ingest.rejects (id, topic, partition, "offset", appended_at, headers, import_id, '
        "faults, rejected_at, published_at) "
        "VALUES (gen_random_uuid(), 't', 0, 0, now(), '[]', %(i)s, '[]', now(), now())",
    ),
    (
        "ingest.parked",
        'INSERT INTO ingest.parked (topic_id, topic, partition, "offset", appended_at, key, value, '
        "headers, import_id, number, parent_key, parent_name) "
        "VALUES (%(i)s, 't', 0, 0, now(), '', '', '[]', %(i)s, 1, 'p', 'p')",
    ),
    (
        "ingest.settled_early",
        "INSERT INTO ingest.settled_early VALUES (%(i)s, 1, NULL, gen_random_uuid(), 'inserted')",
    ),
    (
        "ingest.enrichment",
        "INSERT INTO ingest.enrichment (id, kind, entity_id, import_id, reason, priority) "
        "VALUES (gen_random_uuid(), 'VILLE', gen_random_uuid(), %(i)s, 'import', 1)",
    ),
    ("ingest.enrichment_scans", "INSERT INTO ingest.enrichment_scans VALUES (%(i)s)"),
    (
        "ingest.ai_calls",
        "INSERT INTO ingest.ai_calls (model, at, until, state, request_id, prompt_hash, ask, import_id, "
        "tokens, cost) VALUES ('m', now() - interval '1 hour', now(), 'answered', gen_random_uuid(), "
        "'h', 0, %(i)s, 1, 1)",
    ),
    ("ingest.ai_budgets", "INSERT INTO ingest.ai_budgets VALUES ('import ' || %(i)s::uuid)"),
    (
        "ingest.ai_import_costs",
        "INSERT INTO ingest.ai_import_costs VALUES (%(i)s, 'VILLE', current_date, 1)",
    ),
    (
        "core_importlog",
        "INSERT INTO core_importlog (id, import_type, status, file_name, generate_ai_content, "
        "ai_generation_started, ai_generation_completed, total_rows, success_rows, error_rows, "
        "created_at) VALUES (%(i)s, 'VILLE', 'SUCCESS', 'v.csv', true, true, true, 1, 1, 0, "
        "now() - interval '91 days')",
    ),
)
"""A row of each table that hangs on an import."""

AGING: Sequence[tuple[str, str]] = (
    (
        "ingest.rejects",
        'INSERT INTO ingest.rejects (id, topic, partition, "offset", appended_at, headers, faults, '
        "rejected_at, published_at) SELECT gen_random_uuid(), 't', 0, 0, at, '[]', '[]', at, at FROM a",
    ),
    (
        "ingest.enrichment",
        "INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority, state, finished_at) "
        "SELECT gen_random_uuid(), 'VILLE', gen_random_uuid(), 'missing', 2, 'done', at FROM a",
    ),
    (
        "ingest.ai_calls",
        "INSERT INTO ingest.ai_calls (model, at, until, state, request_id, prompt_hash, ask, tokens, cost) "
        "SELECT 'm', at, at, 'answered', gen_random_uuid(), 'h', 0, 1, 1 FROM a",
    ),
    (
        "ingest.ai_rejected",
        "INSERT INTO ingest.ai_rejected SELECT at::text, 0, 'VILLE', gen_random_uuid(), 'a', 'r', 1, 1, "
        "1, at FROM a",
    ),
    (
        "ingest.ai_budgets",
        "INSERT INTO ingest.ai_budgets SELECT 'day ' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM a",
    ),
    (
        "ingest.ai_batches",
        "INSERT INTO ingest.ai_batches (id, model, lease, leased_until, ended_at) "
        "SELECT gen_random_uuid(), 'm', gen_random_uuid(), at, at FROM a",
    ),
    (
        "ingest.progress",
        "INSERT INTO ingest.progress (import_id, topic, partition, updated_at) "
        "SELECT gen_random_uuid(), 't', 0, at FROM a",
    ),
    (
        "core_importlog",
        "INSERT INTO core_importlog (id, import_type, status, file_name, generate_ai_content, "
        "ai_generation_started, ai_generation_completed, total_rows, success_rows, error_rows, created_at) "
        "SELECT gen_random_uuid(), 'VILLE', 'ERROR', 'v.csv', false, false, false, 1, 1, 0, at FROM a",
    ),
)
"""A row of each table that is cleaned by its own age; `a.at` is its time."""


def test_cleaning_removes_what_is_old_and_nothing_else(tables: Site) -> None:
    """An import of 91 days goes with a row of each table that hangs on it; one of 89 days keeps its own."""
    gone, kept, parent, child, open_ = (uuid4() for _ in range(5))
    old_import(tables, gone, 91)
    old_import(tables, kept, 89)
    old_import(tables, parent, 200)  # its retry is young: that one settles its rows
    old_import(tables, child, 1, parent=parent)
    old_import(tables, open_, 300)
    tables.execute("UPDATE ingest.imports SET completed_at = NULL WHERE id = %s", open_)
    with psycopg.connect(tables.database_url, options=AS_DJANGO) as connection:
        for import_id in (gone, kept, parent, open_):
            for _, insert in HANGING:
                connection.execute(insert.encode(), {"i": import_id})
        for days in (89, 91):
            for _, insert in AGING:
                a = f"WITH a AS (SELECT now() - interval '{days} days' AS at) "
                connection.execute((a + insert).encode())
        # Kafka has not got this one yet.
        connection.execute(
            b'INSERT INTO ingest.rejects (id, topic, partition, "offset", appended_at, headers, faults, '
            b"rejected_at) VALUES (gen_random_uuid(), 't', 0, 0, now(), '[]', '[]', now() - interval '99 days')"
        )
    expected = Counter(table for table, _ in HANGING for _ in range(3))
    expected.update(table for table, _ in AGING)
    expected["ingest.rejects"] += 1

    def rows() -> dict[str, int]:
        return {t: tables.query(f"SELECT count(*)::int FROM {t}")[0][0] for t in sorted(expected)}

    before = rows()
    done = tables.foxstream_worker("job", "clean", "--batch", "1", "--json")

    assert done.code == 0, done.stderr
    assert rows() == dict(expected)
    counts: dict[str, int] = done.json()
    assert counts.pop("imports") == 1
    assert sum(counts.values()) == sum(before.values()) - expected.total()
    assert {i for (i,) in tables.query("SELECT id FROM ingest.imports")} == {
        kept,
        parent,
        child,
        open_,
    }
    assert tables.query("SELECT id, partition FROM ingest.forgotten") == [(gone, 1)]
    assert tables.foxstream_worker("job", "clean", "--json").json() == {"imports": 0}

    tables.settings = {"FOX_RETENTION_DAYS": "88"}
    assert tables.foxstream_worker("job", "clean", "--json").json()["imports"] == 1
    assert {i for (i,) in tables.query("SELECT id FROM ingest.imports")} == {parent, child, open_}
