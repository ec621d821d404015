"""What operators see of the jobs: when each is due, its last run, and the next."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from processors.database.connection import query
from processors.database.queries import load
from processors.jobs.catalogue import JOBS
from processors.jobs.schedule import Clock
from processors.settings import Settings

_SQL = load("processors.jobs", "jobs.sql")

Document = dict[str, Any]


def listed(settings: Settings, now: datetime) -> list[Document]:
    """Each job with its schedule, its latest run and the next, as JSON takes it; times in UTC."""
    runs = {row.pop("job"): row for row in query(settings.database_url, _SQL["latest"])}
    zone = ZoneInfo(settings.jobs_time_zone)
    found = []
    for name, when in JOBS.items():
        scheduled = settings.jobs_scheduled and when is not None
        next_at = when.next(now, zone) if scheduled and isinstance(when, Clock) else None
        found.append(
            {
                "job": name,
                "schedule": str(when) if scheduled else "by hand",
                "time_zone": settings.jobs_time_zone,
                "last": _plain(runs[name]) if name in runs else None,
                "next": next_at and next_at.isoformat(),
            }
        )
    return found


def _plain(run: Document) -> Document:
    """`outcome` of a run that goes on: running; of one whose lease has ended: died."""
    if run["ended_at"] is None:
        lease: datetime = run["leased_until"]
        run["outcome"] = "running" if lease > datetime.now(lease.tzinfo) else "died"
    del run["leased_until"]
    return {n: v.isoformat() if isinstance(v, datetime) else v for n, v in run.items()}


def lines(found: list[Document], zone: ZoneInfo) -> list[str]:
    """The list for people; times on the clock of `zone`."""
    return [line for job in found for line in _told(job, zone)]


def _told(job: Document, zone: ZoneInfo) -> list[str]:
    next_at = f", next {_local(job['next'], zone)}" if job["next"] else ""
    told = [f"{job['job']}: {job['schedule']}{next_at}"]
    last = job["last"]
    if last is None:
        return [*told, "  never run"]
    why = "by hand" if last["due_at"] is None else f"due {_local(last['due_at'], zone)}"
    counts = ", ".join(f"{count} {name}" for name, count in last["counts"].items())
    details = "; ".join(filter(None, (counts, last["message"])))
    told.append(f"  last {_local(last['started_at'], zone)} ({why}): {last['outcome']}")
    return [*told, f"  {details}"] if details else told


def _local(at: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(at).astimezone(zone):%Y-%m-%d %H:%M %Z}"
