"""All jobs and their due times."""

from collections.abc import Mapping

from processors.jobs.schedule import Clock

BATCH = 100
"""Default number of rows, or imports, in a transaction of a job."""

AFTER_IMPORTS = "after large imports"
"""Due when an import that inserted or updated 10,000 rows or more is finished (`large_import` in jobs.sql)."""

JOBS: Mapping[str, Clock | str | None] = {
    "analyze": AFTER_IMPORTS,
    "check-accounts": Clock(minute=7),
    "check-texts": Clock(minute=30, hour=1),
    "clean": Clock(minute=0, hour=3, weekday=6),
    "enrich-nightly": Clock(minute=0, hour=2),
    "repair-sous-categories": None,
    "resolve-pages": Clock(minute=0, hour=4),
    "switch-naf": None,
}
"""None: the job only runs by hand. processors/jobs/job_run.py maps each job to its function."""
