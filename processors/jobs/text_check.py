"""Looks each night at the texts of the model that stand on the site.

It records which of them people have edited, and has the syntheses of withdrawn reviews written anew,
or removes them where no public review is left.
"""

from collections import Counter
from collections.abc import Sequence

from processors.database.queries import load
from processors.jobs.lease import Connection, Counts, Run
from processors.settings import Settings

_SQL = load("processors.jobs", "text_check.sql")

COUNTED = ("edited", "restored", "gone", "renewed", "removed")

_REMOVALS = ("unlink", "remove_synthesis", "remove_record", "remove_history", "rate")


def check(_: Settings, run: Run, connection: Connection, batch: int) -> Counts:
    """Counts columns that were edited, have the model's text again or are gone, and syntheses."""
    total = Counter[str]()
    _look_at_columns(run, connection, batch, total)
    _look_at_reviews(run, connection, batch, total)
    return {name: total[name] for name in COUNTED}


def _look_at_columns(run: Run, connection: Connection, batch: int, total: Counter[str]) -> None:
    after: Sequence[object] = ("", "00000000-0000-0000-0000-000000000000", "")
    while True:
        with connection.transaction():
            values = dict(zip(("table", "row", "column"), after, strict=True))
            row = connection.execute(_SQL["columns"], {**values, "limit": batch}).fetchone()
            if row is None:
                return
            *after, edited, restored, gone = row
            total.update(edited=edited, restored=restored, gone=gone)
            run.hold(connection, total)


def _look_at_reviews(run: Run, connection: Connection, batch: int, total: Counter[str]) -> None:
    after = "00000000-0000-0000-0000-000000000000"
    while True:
        with connection.transaction():
            values = {"after": after, "limit": batch}
            pages = connection.execute(_SQL["syntheses"], values).fetchall()
            if not pages:
                return
            after = pages[-1][0]
            bare = [page for page, has_reviews, _ in pages if not has_reviews]
            for name in _REMOVALS if bare else ():
                connection.execute(_SQL[name], {"ids": bare})
            stale = [page for page, has_reviews, is_stale in pages if has_reviews and is_stale]
            renewed = connection.execute(_SQL["renew"], {"run": str(run.id), "ids": stale}).rowcount
            total.update(removed=len(bare), renewed=renewed)
            run.hold(connection, total)
