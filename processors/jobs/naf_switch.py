"""The switch of the site's activities to the nomenclature of FOX_NAF_PRIMARY.

Workers write new rows in it. This job rewrites the existing companies from the two codes that are
kept for each. A job that was killed can start again: what it has rewritten no longer differs.
"""

from collections.abc import Iterator, Sequence

from processors.database.queries import load
from processors.errors import ConfigurationError
from processors.jobs.lease import Connection, Counts, Run
from processors.rows.merge.merge import NESTED_LOOPS
from processors.settings import Settings

_SQL = load("processors.jobs", "naf_switch.sql")

EXAMINED = 10_000
"""Companies that one query compares."""


def switch(settings: Settings, run: Run, connection: Connection, batch: int) -> Counts:
    """Rewrites code and label of the companies whose code differs; returns how many.

    Companies that no register knows of keep theirs. Pages stay: they follow the code of rev. 2. Raises
    ConfigurationError if no labels are loaded.
    """
    companies = 0
    for differing in _differing(settings, connection):
        # Once at the least: the lease is to be renewed where nothing differs too.
        for start in range(0, max(len(differing), 1), batch):
            values = {
                "primary": settings.naf_primary,
                "sirens": differing[start : start + batch],
            }
            with connection.transaction():
                connection.execute(NESTED_LOOPS)
                connection.execute(_SQL["lock"], values)
                companies += connection.execute(_SQL["rewrite"], values).rowcount
                run.hold(connection, {"companies": companies})
    return {"companies": companies}


def count(settings: Settings, connection: Connection) -> Counts:
    """What `switch` would return now."""
    return {"companies": sum(map(len, _differing(settings, connection)))}


def _differing(settings: Settings, connection: Connection) -> Iterator[Sequence[str]]:
    """The companies that differ, in order of SIREN: those among each EXAMINED of the register."""
    if connection.execute(_SQL["loaded"]).fetchone() == (False,):
        raise ConfigurationError("no activities are loaded: run 'foxstream-worker reference load'")
    after: str | None = ""
    while True:
        values = {"primary": settings.naf_primary, "after": after, "limit": EXAMINED}
        with connection.transaction():
            connection.execute(NESTED_LOOPS)
            after, sirens = connection.execute(_SQL["differing"], values).fetchone() or (None, ())
        if after is None:
            return
        yield sirens
