"""All jobs and their due times."""

from collections.abc import Mapping

from processors.jobs.schedule import Clock

BATCH = 100
"""Default number of rows, or imports, in a transaction of a job."""

AFTER_IMPORTS = "after large imports"
"""Due when an import that wrote many rows is finished."""

JOBS: Mapping[str, Clock | str | None] = {
    "analyze": AFTER_IMPORTS,
    "check-accounts": Clock(7),
    "clean": Clock(0, 3, 6),
    "enrich-nightly": Clock(0, 2),
    "repair-sous-categories": None,
    "resolve-pages": Clock(0, 4),
}
"""None: only by hand. What each does: processors.jobs.job_run."""
