"""Accepted uses of keys by hour or day: which periods a report has, and the counts of each."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from keywright.service.management.ports import Usage

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class Period(StrEnum):
    """What uses are counted by, in UTC."""

    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """How long it lasts."""
        return _HOUR if self is Period.HOUR else _DAY

    def beginning_of(self, moment: datetime) -> datetime:
        """Give the beginning of the period that *moment* is in."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return hour if self is Period.HOUR else hour.replace(hour=0)

    def first(self, now: datetime, since: datetime | None = None) -> datetime:
        """
        Give the beginning of the first period of a report.

        Args:
            now: In the last period.
            since: In the first one, where it is not longer ago than 14 days by hour or 400 days by day; None for the
                last 24 hours or 7 days.
        """
        usual, longest = (23 * _HOUR, 14 * _DAY) if self is Period.HOUR else (6 * _DAY, 400 * _DAY)
        return self.beginning_of(now - usual if since is None else max(since, now - longest))


@dataclass(frozen=True, slots=True)
class Count:
    """Accepted uses in the period that begins at `start`."""

    start: datetime
    count: int


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """How a key was used, and the counts of each period, those without uses included."""

    usage: Usage
    counts: list[Count]


def counts_of(hours: dict[datetime, int], period: Period, first: datetime, now: datetime) -> list[Count]:
    """
    Add hourly counts up into periods, empty ones included.

    Args:
        hours: Counts by the beginning of the hour.
        period: What to count by.
        first: The beginning of the first period.
        now: In the last one.
    """
    totals: dict[datetime, int] = {}
    start = first
    while start <= now:
        totals[start] = 0
        start += period.length
    for hour, count in hours.items():
        if (start := period.beginning_of(hour)) in totals:
            totals[start] += count
    return [Count(start, count) for start, count in totals.items()]
