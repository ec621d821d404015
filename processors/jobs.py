"""What is done now and then, by hand or by the clock: `foxstream-worker job NAME`.

Each is safe to repeat and to break off. Two runs of one do not meet: each transaction takes the
job's lock, or leaves the work to who has it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from processors.database.pool import open_pool
from processors.database.queries import load
from processors.enrichment import nightly
from processors.errors import UnreachableError, WorkerError
from processors.reference import read, shipped
from processors.settings import Settings
from processors.writing import pages
from schemas.slugs import slugify

_SQL = load("processors", "jobs.sql")
_PAGES = load("processors.writing", "pages.sql")
_PARKING = load("processors.writing", "parking.sql")

NAME_LENGTH = 100
SLUG_LENGTH = 120
_CUT = 90
_SLUG_CUT = 40

Counts = Mapping[str, int]


class BusyError(WorkerError):
    """The same job runs somewhere else."""

    exit_code = 4


class DriftError(WorkerError):
    """Imports whose rows do not add up."""


def run(settings: Settings, job: str, batch: int) -> Counts:
    """What the job did, as counts. `batch`: rows in one of its transactions."""
    try:
        return JOBS[job](settings, batch)
    except psycopg.OperationalError as error:
        raise UnreachableError(f"PostgreSQL cannot be reached: {error}") from error


def _resolve_pages(settings: Settings, batch: int) -> Counts:
    """Looks at every company with an activity again."""

    async def resolve() -> Counts:
        total = Counter[str]()
        async with open_pool(settings.database_url.get_secret_value(), 1) as pool:
            made, after = await pages.look_again(pool, None)
            total.update(made._asdict())
            while after is not None:
                made, after = await pages.look_again(pool, after)
                total.update(made._asdict())
            left = await pages.counted(pool)
        return {"made": total["made"], "retired": total["retired"], **left}

    return asyncio.run(resolve())


def _check_accounts(settings: Settings, batch: int) -> Counts:
    """Compares the rows of each import that has ended with what became of them."""
    with psycopg.connect(settings.database_url.get_secret_value(), connect_timeout=5) as connection:
        drifts = connection.execute(_SQL["drift"]).fetchall()
    if drifts:
        told = ", ".join(f"{import_id} ({drift})" for import_id, drift in drifts)
        raise DriftError(f"rows without an outcome, or with two: {told}")
    return {"drift_rows": 0}


def _repair_sous_categories(settings: Settings, batch: int) -> Counts:
    """Gives the sub-categories that stand for NAF codes the names, slugs and descriptions they need."""
    total = Counter[str]()
    activities = iter(read(shipped()).items())
    with psycopg.connect(settings.database_url.get_secret_value(), connect_timeout=5) as connection:
        while some := dict(islice(activities, batch)):
            with connection.transaction():
                _take_turn(connection, "repair-sous-categories")
                labels = {code: activity.label for code, activity in some.items()}
                found = connection.execute(
                    _SQL["repair"],
                    {
                        "codes": list(labels),
                        "names": [_name(code, label) for code, label in labels.items()],
                        "slugs": [
                            slugify(f"{label[:_SLUG_CUT]} {code}")[:SLUG_LENGTH]
                            for code, label in labels.items()
                        ],
                        "descriptions": [f"NAF {code} : {label}" for code, label in labels.items()],
                    },
                ).fetchone()
                names = ("checked", "repaired", "names", "slugs", "descriptions")
                total.update(dict(zip(names, found or (), strict=True)))
    return dict(total)


def _name(code: str, label: str) -> str:
    return label if len(label) <= NAME_LENGTH else f"{label[:_CUT].rstrip()} ({code})"


def _take_turn(connection: psycopg.Connection, job: str) -> None:
    row = connection.execute(_SQL["turn"], {"job": job}).fetchone()
    if row is None or not row[0]:
        raise BusyError(f"{job} runs somewhere else")


def unresolved(settings: Settings, limit: int) -> list[dict[str, object]]:
    """Companies that have no page, by what it lacks."""
    return _listed(settings, _PAGES["unresolved"], {"limit": limit})


def parked(settings: Settings, import_id: UUID | None, limit: int) -> list[dict[str, object]]:
    """Rows that wait for the row that they belong to, of one import or of all and of upstream systems."""
    return _listed(settings, _PARKING["listed"], {"import_id": import_id, "limit": limit})


def _listed(
    settings: Settings, query: LiteralString, values: dict[str, object]
) -> list[dict[str, object]]:
    url = settings.database_url.get_secret_value()
    try:
        with psycopg.connect(url, connect_timeout=5, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()
    except psycopg.OperationalError as error:
        raise UnreachableError(f"PostgreSQL cannot be reached: {error}") from error


JOBS: Mapping[str, Callable[[Settings, int], Counts]] = {
    "check-accounts": _check_accounts,
    "enrich-nightly": nightly.plan,
    "repair-sous-categories": _repair_sous_categories,
    "resolve-pages": _resolve_pages,
}
