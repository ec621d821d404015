"""Job status for operators: when each job is due, its last run, and the next."""

from datetime import datetime
from typing import TypedDict
from zoneinfo import ZoneInfo

from processors.database.connection import query
from processors.database.queries import load
from processors.jobs.catalogue import JOBS
from processors.jobs.schedule import Clock
from processors.settings import Settings

_SQL = load("processors.jobs", "jobs.sql")


class LatestRun(TypedDict):
    """A row of the statement `latest`."""

    job: str
    due_at: datetime | None
    started_at: datetime
    leased_until: datetime
    ended_at: datetime | None
    outcome: str | None
    counts: dict[str, int]
    message: str | None


class RunStatus(TypedDict):
    """A run as JSON: times are ISO 8601 in UTC.

    `outcome` of an unfinished run: `running`, or `died` if its lease has ended.
    """

    due_at: str | None
    started_at: str
    ended_at: str | None
    outcome: str | None
    counts: dict[str, int]
    message: str | None


class JobStatus(TypedDict):
    """A job as JSON: its schedule, its last run and the time of the next."""

    job: str
    schedule: str
    time_zone: str
    last: RunStatus | None
    next: str | None


def listed(settings: Settings, now: datetime) -> list[JobStatus]:
    """The status of each job."""
    runs = {run["job"]: run for run in query(settings.database_url, LatestRun, _SQL["latest"])}
    zone = ZoneInfo(settings.jobs_time_zone)
    jobs: list[JobStatus] = []
    for name, when in JOBS.items():
        scheduled = settings.jobs_scheduled and when is not None
        next_at = when.next(now, zone) if scheduled and isinstance(when, Clock) else None
        jobs.append(
            {
                "job": name,
                "schedule": str(when) if scheduled else "by hand",
                "time_zone": settings.jobs_time_zone,
                "last": _status(runs[name]) if name in runs else None,
                "next": _iso(next_at),
            }
        )
    return jobs


def _status(run: LatestRun) -> RunStatus:
    outcome, lease = run["outcome"], run["leased_until"]
    if run["ended_at"] is None:
        outcome = "running" if lease > datetime.now(lease.tzinfo) else "died"
    return {
        "due_at": _iso(run["due_at"]),
        "started_at": run["started_at"].isoformat(),
        "ended_at": _iso(run["ended_at"]),
        "outcome": outcome,
        "counts": run["counts"],
        "message": run["message"],
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def lines(jobs: list[JobStatus], zone: ZoneInfo) -> list[str]:
    """The list as text; times in `zone`."""
    return [line for job in jobs for line in _job_lines(job, zone)]


def _job_lines(job: JobStatus, zone: ZoneInfo) -> list[str]:
    next_at = f", next {_local(job['next'], zone)}" if job["next"] else ""
    texts = [f"{job['job']}: {job['schedule']}{next_at}"]
    last = job["last"]
    if last is None:
        return [*texts, "  never run"]
    why = "by hand" if last["due_at"] is None else f"due {_local(last['due_at'], zone)}"
    counts = ", ".join(f"{count} {name}" for name, count in last["counts"].items())
    details = "; ".join(filter(None, (counts, last["message"])))
    texts.append(f"  last {_local(last['started_at'], zone)} ({why}): {last['outcome']}")
    return [*texts, f"  {details}"] if details else texts


def _local(at: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(at).astimezone(zone):%Y-%m-%d %H:%M %Z}"
