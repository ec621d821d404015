"""The jobs there are, and when each is due."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from processors.enrichment import nightly
from processors.jobs import cleaning, upkeep
from processors.jobs.schedule import Clock
from processors.leases import Connection, Counts, Run
from processors.settings import Settings

Work = Callable[[Settings, Run, Connection, int], Counts]
"""Does a job by a connection that commits by itself; the number is of rows in a transaction."""

AFTER_IMPORTS = "after large imports"
"""Due when an import that wrote much has ended."""


class Job(NamedTuple):
    """A job. `due` None: only by hand."""

    work: Work
    due: Clock | str | None


JOBS: Mapping[str, Job] = {
    "analyze": Job(upkeep.analyze, AFTER_IMPORTS),
    "check-accounts": Job(upkeep.check_accounts, Clock(7)),
    "clean": Job(cleaning.clean, Clock(0, 3, 6)),
    "enrich-nightly": Job(nightly.plan, Clock(0, 2)),
    "repair-sous-categories": Job(upkeep.repair_sous_categories, None),
    "resolve-pages": Job(upkeep.resolve_pages, Clock(0, 4)),
}
