"""One run of a job: under its lease, with a record of what became of it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from threading import Event

import psycopg

from processors.database.connection import connect
from processors.jobs import lease, retention, text_plan, upkeep
from processors.jobs.catalogue import BATCH
from processors.jobs.lease import BusyError, Connection, Counts, LostError, Run, StoppedError
from processors.rows.accounting.sqlstate import is_transient
from processors.settings import Settings

Work = Callable[[Settings, Run, Connection, int], Counts]
"""Does a job by a connection that commits by itself; the number is of rows in a transaction."""

WORK: Mapping[str, Work] = {
    "analyze": upkeep.analyze,
    "check-accounts": upkeep.check_accounts,
    "clean": retention.clean,
    "enrich-nightly": text_plan.plan,
    "repair-sous-categories": upkeep.repair_sous_categories,
    "resolve-pages": upkeep.resolve_pages,
}
"""Of each job of processors.jobs.catalogue."""


def by_hand(settings: Settings, job: str, batch: int = BATCH) -> Counts:
    """What the job did, as counts. Raises BusyError where it runs somewhere else."""
    counts = run(settings, job, None, Event(), batch)
    if counts is None:
        raise BusyError(f"{job} runs somewhere else")
    return counts


def run(
    settings: Settings, job: str, due_at: datetime | None, stop: Event, batch: int = BATCH
) -> Counts | None:
    """Runs a job; None where it runs somewhere else or what was due then is done.

    It ends with StoppedError, at its next transaction, when `stop` is set.
    """
    with connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        held = lease.begin(connection, job, due_at, stop)
        return None if held is None else _work(settings, held, connection, batch)


def _work(settings: Settings, held: Run, connection: Connection, batch: int) -> Counts:
    try:
        counts = WORK[held.job](settings, held, connection, batch)
    except LostError:
        raise  # the record is of whoever gave it up
    except BaseException as error:
        held.message = str(error) or type(error).__name__
        # Where the record cannot be written either, the lease ends.
        with suppress(psycopg.OperationalError):
            held.end(connection, _outcome(error), None)
        raise
    held.end(connection, "done", counts)
    return counts


def _outcome(error: BaseException) -> str:
    """What passes by itself is tried again, as after a death; for the rest somebody has to look."""
    if isinstance(error, StoppedError | KeyboardInterrupt):
        return "stopped"
    return "died" if is_transient(error) else "failed"
