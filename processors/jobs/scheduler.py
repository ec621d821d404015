"""Runs due jobs: each worker may run them, the lease decides. Without a schedule it only reports them.

Missed times are made up for by one run, however many were missed. A run that died or was stopped with
its worker is due again.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import NamedTuple
from zoneinfo import ZoneInfo

import structlog

from processors import metrics
from processors.database.connection import connect
from processors.database.queries import load
from processors.errors import UnreachableError
from processors.jobs import lease
from processors.jobs.catalogue import JOBS
from processors.jobs.job_run import run
from processors.jobs.lease import Connection
from processors.jobs.schedule import Clock
from processors.settings import Settings

log = structlog.get_logger(__name__)

_SQL = load("processors.jobs", "jobs.sql")


class Due(NamedTuple):
    """A job, and its due time."""

    at: datetime
    job: str


def due(connection: Connection, now: datetime, zone: ZoneInfo) -> list[Due]:
    """Due jobs, the earliest due time first; runs whose lease has ended are recorded as died."""
    with connection.transaction():
        connection.execute(_SQL["known"], {"jobs": list(JOBS)})
    for job in JOBS:
        lease.bury(connection, job)
    found = []
    large = (connection.execute(_SQL["large_import"]).fetchone() or (None,))[0]
    for name, since, last, done_at, dealt_with in connection.execute(_SQL["status"]).fetchall():
        metrics.JOB_FAILED.labels(name).set(last in ("failed", "died"))
        metrics.JOB_DONE.labels(name).set((done_at or since).timestamp())
        at = _last(name, now, zone, large)
        if at is not None and at > since and (dealt_with is None or dealt_with < at):
            found.append(Due(at, name))
    return sorted(found)


def _last(
    job: str, now: datetime, zone: ZoneInfo, large_import: datetime | None
) -> datetime | None:
    when = JOBS.get(job)  # None for a job of another version
    if isinstance(when, Clock):
        return when.last(now, zone)
    return None if when is None else large_import


class Scheduler:
    """Runs due jobs one after another. `clock` returns the current time."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._zone = ZoneInfo(settings.jobs_time_zone)

    async def look(self) -> None:
        """Runs due jobs. A failure is logged and recorded; it must not end the worker."""
        stop = Event()
        try:
            await asyncio.to_thread(self._run_due, stop)
        except UnreachableError as error:
            log.warning("jobs are late", action="jobs_late", reason=str(error))
        except Exception:
            log.exception("jobs are late", action="jobs_late")
        finally:
            stop.set()  # if it is cancelled, the thread goes on until its next transaction

    def _run_due(self, stop: Event) -> None:
        for at, job in self._due():
            if not self._settings.jobs_scheduled or stop.is_set():
                return
            self._run(job, at, stop)

    def _due(self) -> list[Due]:
        url = self._settings.database_url.get_secret_value()
        with connect(url, autocommit=True) as connection:
            return due(connection, self._clock(), self._zone)

    def _run(self, job: str, at: datetime, stop: Event) -> None:
        try:
            counts = run(self._settings, job, at, stop)
        except UnreachableError:
            raise
        except lease.StoppedError:
            log.warning("a job stops with its worker", action="job_stopped", job=job)
            outcome = "stopped"
        except Exception as error:
            log.exception("a job failed", action="job_failed", job=job, reason=str(error))
            outcome = "failed"
        else:
            if counts is None:
                return
            log.info("a job is done", action="job_done", job=job, counts=dict(counts))
            outcome = "done"
        metrics.JOB_RUNS.labels(job, outcome).inc()
