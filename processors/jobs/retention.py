"""Removes data older than the retention period: imports with their rows, rejects, history.

The age of an import counts from its end. The trackers publish tombstones of removed imports
(processors/imports/tracker.py). Texts, their provenance and their
answers stay: they are not paid again.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta

from processors.database.queries import load, of_dropped_values
from processors.jobs.lease import Connection, Counts, Run
from processors.settings import Settings

_SQL = load("processors.jobs", "retention.sql")
_SQL = {
    **_SQL,
    "dropped_values": of_dropped_values(_SQL["rejects"]),
    "dropped_values_of": of_dropped_values(_SQL["rejects_of"]),
}

CHUNK = 10_000
"""Most rows of one table that a statement removes."""

OF_IMPORTS = (
    "rejects_of",
    "dropped_values_of",
    "parked_of",
    "progress_of",
    "settled_early_of",
    "enrichment_of",
    "enrichment_scans_of",
    "ai_budgets_of",
    "ai_import_costs_of",
    "import_logs_of",
    "forget",
    "imports_of",
)
"""Data of imports, and the imports themselves last."""

BY_AGE = (
    "rejects",
    "dropped_values",
    "enrichment",
    "ai_calls",
    "ai_rejected",
    "ai_budgets",
    "ai_batches",
    "text_history",
    "progress",
    "import_logs",
    "forgotten",
    "job_runs",
)
"""Data with an age of its own, or of unknown imports."""


def clean(settings: Settings, run: Run, connection: Connection, batch: int) -> Counts:
    """Removes in short transactions of `batch` imports; returns what was removed, by table."""
    total = Counter[str]()
    before = datetime.now(UTC) - timedelta(days=settings.retention_days)
    # The many rejects and dropped values of a large import first: the remaining ones are removed with it.
    for what in ("rejects", "dropped_values"):
        _remove_old(run, connection, what, before, total)
    while _remove_imports(run, connection, before, batch, total):
        pass
    for what in BY_AGE:
        _remove_old(run, connection, what, before, total)
    return {name: total[name] for name in sorted(total) if total[name]} or {"imports": 0}


def _remove_imports(
    run: Run, connection: Connection, before: datetime, batch: int, total: Counter[str]
) -> int:
    """Removes some imports; returns how many."""
    with connection.transaction():
        rows = connection.execute(_SQL["ended"], {"before": before, "limit": batch}).fetchall()
        ids = [import_id for (import_id,) in rows]
        for what in OF_IMPORTS if ids else ():
            removed = connection.execute(_SQL[what], {"ids": ids}).rowcount
            if what != "forget":
                total[what.removesuffix("_of")] += removed
        run.hold(connection, total)
    return len(ids)


def _remove_old(
    run: Run, connection: Connection, what: str, before: datetime, total: Counter[str]
) -> None:
    removed = CHUNK
    while removed == CHUNK:
        with connection.transaction():
            values = {"before": before, "limit": CHUNK}
            removed = connection.execute(_SQL[what], values).rowcount
            total[what] += removed
            run.hold(connection, total)
