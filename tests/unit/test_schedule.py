"""When jobs are due."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from processors.jobs.catalogue import JOBS
from processors.jobs.schedule import Clock
from processors.settings import LEAST_RETENTION_DAYS, Settings
from schemas.topics import DAY_MS, IMPORT_EVENTS, REJECTS, ROWS_ENTREPRISE

PARIS = ZoneInfo("Europe/Paris")


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("clock", "now", "last", "next_"),
    [
        # Winter is UTC + 1, summer UTC + 2.
        (Clock(0, 2), utc(2026, 1, 10, 0, 59), utc(2026, 1, 9, 1), utc(2026, 1, 10, 1)),
        (Clock(0, 2), utc(2026, 1, 10, 1), utc(2026, 1, 10, 1), utc(2026, 1, 11, 1)),
        (Clock(0, 2), utc(2026, 7, 10, 12), utc(2026, 7, 10, 0), utc(2026, 7, 11, 0)),
        # 15 November 2026 is a Sunday.
        (Clock(0, 3, 6), utc(2026, 11, 15, 1, 59), utc(2026, 11, 8, 2), utc(2026, 11, 15, 2)),
        (Clock(0, 3, 6), utc(2026, 11, 15, 2), utc(2026, 11, 15, 2), utc(2026, 11, 22, 2)),
        (Clock(7), utc(2026, 1, 10, 12, 6), utc(2026, 1, 10, 11, 7), utc(2026, 1, 10, 12, 7)),
        (Clock(7), utc(2026, 1, 10, 12, 7), utc(2026, 1, 10, 12, 7), utc(2026, 1, 10, 13, 7)),
        # 29 March 2026, 2:00 does not exist: it is 3:00, at 1:00 UTC.
        (Clock(0, 2), utc(2026, 3, 29, 5), utc(2026, 3, 29, 1), utc(2026, 3, 30, 0)),
        # 25 October 2026, 2:00 comes twice: at 0:00 UTC and an hour later.
        (Clock(0, 2), utc(2026, 10, 25, 1, 30), utc(2026, 10, 25, 0), utc(2026, 10, 26, 1)),
    ],
)
def test_the_last_and_the_next_time(
    clock: Clock, now: datetime, last: datetime, next_: datetime
) -> None:
    """On the clock of the time zone, through its changes."""
    assert clock.last(now, PARIS) == last
    assert clock.next(now, PARIS) == next_


def test_each_time_follows_the_one_before() -> None:
    """Minute by minute through a year's changes, nothing is skipped and nothing comes twice."""
    for clock in (Clock(7), Clock(0, 2), Clock(0, 3, 6)):
        now, seen = utc(2026, 3, 20), set()
        while now < utc(2026, 4, 10):
            last, coming = clock.last(now, PARIS), clock.next(now, PARIS)
            assert last <= now < coming
            assert clock.next(last, PARIS) == coming
            seen.add(coming)
            now += timedelta(minutes=7)
        assert len(seen) == {Clock(7): 21 * 24 + 1, Clock(0, 2): 22, Clock(0, 3, 6): 4}[clock]


def test_the_schedule_is_the_specified_one() -> None:
    """Cleaning Sundays at 3:00, texts at 2:00 each night."""
    assert str(JOBS["clean"]) == "Sunday 3:00"
    assert str(JOBS["enrich-nightly"]) == "daily 2:00"
    assert str(JOBS["check-accounts"]) == "hourly at :07"
    assert JOBS["repair-sous-categories"] is None


def test_an_import_is_known_as_long_as_its_rows_may_be_read_again() -> None:
    """The least retention is longer than that of the topics that rows and events come from."""
    for topic in (ROWS_ENTREPRISE, IMPORT_EVENTS):
        assert topic.retention_ms is not None
        assert topic.retention_ms < LEAST_RETENTION_DAYS * DAY_MS
    assert REJECTS.retention_ms == Settings.model_fields["retention_days"].default * DAY_MS
    with pytest.raises(ValidationError):
        Settings(retention_days=7)


def test_a_time_zone_that_is_none_is_a_configuration_error() -> None:
    """A typing error must not move the schedule."""
    for name in ("Europe/Pariss", "", "/etc/passwd"):
        with pytest.raises(ValidationError):
            Settings(jobs_time_zone=name)
