"""Jobs that keep the tables in order."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import islice

from psycopg import sql
from psycopg.errors import Diagnostic

from processors.database.grants import ANALYZED
from processors.database.pool import open_pool
from processors.database.queries import load
from processors.errors import WorkerError
from processors.jobs.lease import Connection, Counts, Run
from processors.operator.naf.naf_files import read, read_naf2025, shipped
from processors.rows.derived import public_pages
from processors.settings import Settings
from schemas.values.slugs import slugify

_SQL = load("processors.jobs", "jobs.sql")

NAME_LENGTH = 100
SLUG_LENGTH = 120
_CUT = 90
_SLUG_CUT = 40


class DriftError(WorkerError):
    """Imports whose rows do not add up."""


def resolve_pages(settings: Settings, run: Run, connection: Connection, batch: int) -> Counts:
    """Resolves the page of every company with an activity again."""
    total = Counter[str]()

    async def resolve() -> Mapping[str, int]:
        database_url = settings.database_url.get_secret_value()
        async with open_pool(database_url, 1, settings.session_seconds) as pool:
            made, after = await public_pages.resolve_all(pool, None)
            total.update(made._asdict())
            while after is not None:
                run.hold(connection, {"made": total["made"], "retired": total["retired"]})
                made, after = await public_pages.resolve_all(pool, after)
                total.update(made._asdict())
            return await public_pages.counted(pool)

    left = asyncio.run(resolve())
    return {"made": total["made"], "retired": total["retired"], **left}


def check_accounts(settings: Settings, run: Run, connection: Connection, batch: int) -> Counts:
    """Compares the rows of each finished import with their outcomes."""
    drifts = connection.execute(_SQL["drift"]).fetchall()
    if drifts:
        listed = ", ".join(f"{import_id} ({drift})" for import_id, drift in drifts)
        raise DriftError(f"rows without an outcome, or with two: {listed}")
    return {"drift_rows": 0}


def repair_sous_categories(
    settings: Settings, run: Run, connection: Connection, batch: int
) -> Counts:
    """Gives the sub-categories that stand for NAF codes the names, slugs and descriptions they need.

    The codes are those of both nomenclatures: which of them a site has is its own decision.
    """
    total = Counter[str]()
    rev2 = {code: activity.label for code, activity in read(shipped()).items()}
    every = iter({**rev2, **read_naf2025().labels}.items())
    while labels := dict(islice(every, batch)):
        with connection.transaction():
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
                    "cut": _CUT,
                },
            ).fetchone()
            names = ("checked", "repaired", "names", "slugs", "descriptions")
            total.update(dict(zip(names, found or (), strict=True)))
            run.hold(connection, total)
    return dict(total)


def _name(code: str, label: str) -> str:
    return label if len(label) <= NAME_LENGTH else f"{label[:_CUT].rstrip()} ({code})"


def analyze(settings: Settings, run: Run, connection: Connection, batch: int) -> Counts:
    """Brings the planner's statistics up to date: autovacuum comes a while after a large import.

    PostgreSQL only warns of a table that the role may not analyze: the run says which.
    """
    skipped: list[str] = []

    def warned(diagnostic: Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            skipped.append(diagnostic.message_primary or "")

    connection.add_notice_handler(warned)
    try:
        for number, table in enumerate(ANALYZED):
            with connection.transaction():
                run.hold(connection, {"tables": number - len(skipped)})
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
    finally:
        connection.remove_notice_handler(warned)
    run.message = "; ".join(skipped) or None
    return {"tables": len(ANALYZED) - len(skipped), "refused": len(skipped)}
