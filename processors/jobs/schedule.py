"""When jobs are due, on the clock of a time zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOUR = timedelta(hours=1)


class Clock(NamedTuple):
    """A minute of every hour, of a day, or of a day of the week (0: Monday).

    A time that the change to summer time leaves out comes an hour later; one that comes twice is
    due the first time.
    """

    minute: int
    hour: int | None = None
    weekday: int | None = None

    def last(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The latest time that is not after `now`, in UTC."""
        return max(at for at in self._around(now, zone) if at <= now)

    def next(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The first time after `now`, in UTC."""
        return min(at for at in self._around(now, zone) if at > now)

    def _around(self, now: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        local = now.astimezone(zone)
        if self.hour is None:
            at = local.replace(minute=self.minute, second=0, microsecond=0).astimezone(UTC)
            yield from (at - _HOUR, at, at + _HOUR)
            return
        for days in range(-7, 8):
            day = local.date() + timedelta(days=days)
            if self.weekday in (None, day.weekday()):
                yield datetime.combine(day, time(self.hour, self.minute), zone).astimezone(UTC)

    def __str__(self) -> str:
        if self.hour is None:
            return f"hourly at :{self.minute:02}"
        day = "daily" if self.weekday is None else DAYS[self.weekday]
        return f"{day} {self.hour}:{self.minute:02}"
