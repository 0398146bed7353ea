"""Usage by hour or day."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from keywright.service.management.usage import Count, Period, counts_of

NOW = datetime(2026, 11, 23, 12, 34, 56, 7, tzinfo=UTC)
NOON, MIDNIGHT = datetime(2026, 11, 23, 12, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_periods_are_those_of_utc() -> None:
    """An hour and a day begin where they do in UTC, whatever the zone of a time."""
    elsewhere = datetime(2026, 11, 24, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert Period.HOUR.beginning_of(elsewhere) == datetime(2026, 11, 23, 19, tzinfo=UTC)
    assert Period.DAY.beginning_of(elsewhere) == MIDNIGHT


@pytest.mark.parametrize(
    ("period", "since", "first"),
    [
        (Period.HOUR, None, NOON - 23 * HOUR),
        (Period.DAY, None, MIDNIGHT - 6 * DAY),
        (Period.HOUR, NOW - 2 * HOUR, NOON - 2 * HOUR),
        (Period.DAY, NOW - 2 * DAY, MIDNIGHT - 2 * DAY),
        (Period.HOUR, NOW - 99 * DAY, NOON - 14 * DAY),
        (Period.DAY, NOW - 999 * DAY, MIDNIGHT - 400 * DAY),
        (Period.DAY, NOW + DAY, MIDNIGHT + DAY),
    ],
)
def test_the_first_period(period: Period, since: datetime | None, first: datetime) -> None:
    """A report has 24 hours or 7 days unless more or fewer are asked for, and 14 days by hour or 400 by day at most."""
    assert period.first(NOW, since) == first


def test_counts() -> None:
    """Hours add up to days, empty periods have a count of 0, and uses before the first period are left out."""
    hours = {NOON: 1, MIDNIGHT: 2, MIDNIGHT - HOUR: 4, MIDNIGHT - 3 * DAY: 8}
    counts = [Count(MIDNIGHT - 2 * DAY, 0), Count(MIDNIGHT - DAY, 4), Count(MIDNIGHT, 3)]
    assert counts_of(hours, Period.DAY, MIDNIGHT - 2 * DAY, NOW) == counts


def test_counts_from_the_future() -> None:
    """A report that begins after now is empty."""
    assert counts_of({NOON: 1}, Period.HOUR, NOON + HOUR, NOW) == []
