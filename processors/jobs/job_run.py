"""One run of a job: under its lease, with a record of its outcome."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from threading import Event

import psycopg

from processors.database.connection import connect
from processors.jobs import lease, naf_switch, retention, text_check, text_plan, upkeep
from processors.jobs.catalogue import BATCH
from processors.jobs.lease import BusyError, Connection, Counts, LostError, Run, StoppedError
from processors.rows.accounting.sqlstate import is_transient
from processors.settings import Settings

Work = Callable[[Settings, Run, Connection, int], Counts]
"""The function of a job. It works in transactions of at most so many rows on an autocommit connection,
and calls `run.hold` in each of them: its lease ends after LEASE_SECONDS without a renewal. It returns
what it counted. An exception ends the run as failed, or as died if a retry may succeed."""

WORK: Mapping[str, Work] = {
    "analyze": upkeep.analyze,
    "check-accounts": upkeep.check_accounts,
    "clean": retention.clean,
    "check-texts": text_check.check,
    "enrich-nightly": text_plan.plan,
    "repair-sous-categories": upkeep.repair_sous_categories,
    "resolve-pages": upkeep.resolve_pages,
    "switch-naf": naf_switch.switch,
}
"""The function of each job of processors.jobs.catalogue."""

DRY_RUNS: Mapping[str, Callable[[Settings, Connection], Counts]] = {"switch-naf": naf_switch.count}
"""By job: what it would count, without a change."""


def by_hand(settings: Settings, job: str, batch: int = BATCH) -> Counts:
    """Runs a job and returns its counts. Raises BusyError if another process runs it."""
    counts = run(settings, job, None, Event(), batch)
    if counts is None:
        raise BusyError(f"{job} runs somewhere else")
    return counts


def dry_run(settings: Settings, job: str) -> Counts:
    """What a run of one of DRY_RUNS would count now. It takes no lease and leaves no record."""
    with connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        return DRY_RUNS[job](settings, connection)


def run(
    settings: Settings, job: str, due_at: datetime | None, stop: Event, batch: int = BATCH
) -> Counts | None:
    """Runs a job; returns None if another process runs it or the run of `due_at` is done.

    It ends with StoppedError, at its next transaction, when `stop` is set.
    """
    with connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        leased = lease.begin(connection, job, due_at, stop)
        return None if leased is None else _work(settings, leased, connection, batch)


def _work(settings: Settings, leased: Run, connection: Connection, batch: int) -> Counts:
    try:
        counts = WORK[leased.job](settings, leased, connection, batch)
    except LostError:
        raise  # another process has recorded the run as died
    except BaseException as error:
        leased.message = str(error) or type(error).__name__
        # If the record cannot be written either, the lease ends.
        with suppress(psycopg.OperationalError):
            leased.end(connection, _outcome(error), None)
        raise
    leased.end(connection, "done", counts)
    return counts


def _outcome(error: BaseException) -> str:
    """A transient failure is retried, as after a death; others need an operator."""
    if isinstance(error, StoppedError | KeyboardInterrupt):
        return "stopped"
    return "died" if is_transient(error) else "failed"
