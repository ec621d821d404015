"""The lease of a job, which is the record of its run: one run of a job at a time.

A run renews its lease in each of its transactions: one that lost it writes nothing more. A run whose
lease ends before it does is recorded as died by the next worker that checks.
"""

from collections.abc import Mapping
from datetime import datetime
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import psycopg
import structlog
from psycopg.types.json import Jsonb

from processors.database.queries import load
from processors.errors import WorkerError
from schemas.values.stored import without_nul

log = structlog.get_logger(__name__)

_SQL = load("processors.jobs", "jobs.sql")

LEASE_SECONDS = 120
"""Longer than any transaction of a job."""

MOST_DEATHS = 3
"""Runs of one due time that die, one after the other, before it is given up."""

Connection = psycopg.Connection[tuple[Any, ...]]
Counts = Mapping[str, int]


class BusyError(WorkerError):
    """The same job runs somewhere else."""

    exit_code = 4


class LostError(WorkerError):
    """The run took too long between two of its transactions and was given up by another."""


class StoppedError(WorkerError):
    """The worker of the run ends."""


class Run:
    """A run of a job that holds its lease.

    `message` says what ended the work before it was complete; None if nothing did.
    """

    def __init__(self, job: str, run_id: UUID, stop: Event) -> None:
        self.job = job
        self.id = run_id
        self.message: str | None = None
        self._stop = stop

    def hold(self, connection: Connection, counts: Counts) -> None:
        """Renews the lease and notes how far the run is, in the caller's transaction.

        Raises LostError and StoppedError: the transaction must not commit.
        """
        if self._stop.is_set():
            raise StoppedError(f"{self.job} stops with its worker")
        values = {"id": self.id, "seconds": LEASE_SECONDS, "counts": Jsonb(dict(counts))}
        if connection.execute(_SQL["hold"], values).fetchone() is None:
            raise LostError(f"this run of {self.job} was given up by another")

    def end(self, connection: Connection, outcome: str, counts: Counts | None) -> None:
        """Records the outcome of the run; if `counts` is None, those recorded last stay."""
        connection.execute(
            _SQL["end"],
            {
                "id": self.id,
                "outcome": outcome,
                "counts": None if counts is None else Jsonb(dict(counts)),
                "message": self.message and without_nul(self.message[:1000]),
            },
        )


def begin(connection: Connection, job: str, due_at: datetime | None, stop: Event) -> Run | None:
    """Takes the lease of a job; None if it runs already, or if the run of `due_at` is done.

    `due_at` is None for a run by hand. Must be called outside of a transaction.
    """
    bury(connection, job)
    run = Run(job, uuid4(), stop)
    values = {
        "id": run.id,
        "job": job,
        "due_at": due_at,
        "seconds": LEASE_SECONDS,
        "most_deaths": MOST_DEATHS,
    }
    return None if connection.execute(_SQL["begin"], values).fetchone() is None else run


def bury(connection: Connection, job: str) -> None:
    """Records a run whose lease has ended as died."""
    for (run_id,) in connection.execute(_SQL["bury"], {"job": job}).fetchall():
        log.error("a run died", action="job_died", job=job, run=str(run_id))
