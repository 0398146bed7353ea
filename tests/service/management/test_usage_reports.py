"""Usage reports: the counts of the store, added up into the periods of a report."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from keywright.service.management.ports import Usage, UsageCount
from keywright.service.management.usage_reports import DAY, HOUR, LONGEST, Count, UsageReports, counts_of
from keywright.service.principal import Organization, Principal
from tests.service.fake_store import FakeStore
from tests.service.managing import turns_for_many

NOW = datetime(2026, 11, 23, 12, 30, 5, 7, tzinfo=UTC)
KEY, OTHER = UUID(int=1), UUID(int=2)
ALICE = Principal(
    issuer="https://id.acme.example/",
    subject="alice",
    client_id=None,
    organization=Organization.named("https://id.acme.example/", "acme"),
    granted=frozenset(),
)


class CountingStore(FakeStore):
    """Has hourly counts of one key of one organization, and records each call: `since`, and whether it is by day."""

    def __init__(self, hours: dict[datetime, int], refused: dict[datetime, int] | None = None) -> None:
        super().__init__()
        self.hours = hours
        self.refused = refused or {}
        self.asked: list[tuple[datetime, bool]] = []

    async def usage(
        self, org_id: UUID, key_id: UUID, *, since: datetime, by_day: bool = False, **page: Any
    ) -> Usage | None:
        self.asked.append((since, by_day))
        if (org_id, key_id) != (ALICE.organization.id, KEY):
            return None
        counts, refused = (_by_day(self.hours), _by_day(self.refused)) if by_day else (self.hours, self.refused)
        by_code = {moment: {"revoked": count} for moment, count in refused.items()}
        return Usage(last_used_at=NOW, counts=counts, sources=[], secrets=[], refused=by_code)

    async def daily_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, UsageCount]]:
        self.asked.append((since, True))
        days = {day: UsageCount(count, {"revoked": 1}) for day, count in _by_day(self.hours).items()}
        return {KEY: days} if KEY in key_ids else {}


def _by_day(hours: dict[datetime, int]) -> dict[datetime, int]:
    days: Counter[datetime] = Counter()
    for hour, count in hours.items():
        days[hour.replace(hour=0)] += count
    return dict(days)


def reports(store: FakeStore) -> UsageReports:
    return UsageReports(store, lambda: NOW, turns_for_many())


def at(day: int, hour: int) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


async def test_hours_of_one_key() -> None:
    """A report by the hour has the last 24, empty ones included, the current one last."""
    store = CountingStore({at(23, 12): 3, at(22, 13): 1, at(22, 12): 9})
    report = await reports(store).of_key(ALICE, KEY, HOUR, None)
    assert report is not None
    assert len(report.counts) == 24
    assert (report.counts[0], report.counts[-1]) == (Count(at(22, 13), 1, {}), Count(at(23, 12), 3, {}))
    assert sum(count.count for count in report.counts) == 4
    assert report.usage.last_used_at == NOW


async def test_days_of_one_key() -> None:
    """A report by the day has the last 7 in UTC, each with the uses of all of its hours."""
    store = CountingStore({at(23, 0): 3, at(23, 12): 4, at(17, 23): 1})
    report = await reports(store).of_key(ALICE, KEY, DAY, None)
    assert report is not None
    assert [count.count for count in report.counts] == [1, 0, 0, 0, 0, 0, 7]
    assert store.asked == [(at(17, 0), True)]


@pytest.mark.parametrize("period", [HOUR, DAY])
async def test_refusals_of_one_key(period: timedelta) -> None:
    """Each period has its refusals by code, one without uses as well; they are no uses."""
    store = CountingStore({at(23, 12): 3}, {at(23, 12): 2, at(23, 11): 5, at(17, 12): 1})
    report = await reports(store).of_key(ALICE, KEY, period, NOW - 2 * period)
    assert report is not None
    *_, before, last = report.counts
    hourly = period == HOUR
    assert last == Count(at(23, 12) if hourly else at(23, 0), 3, {"revoked": 2 if hourly else 7})
    assert (before.count, before.refused) == (0, {"revoked": 5} if hourly else {})


@pytest.mark.parametrize("period", [HOUR, DAY])
async def test_a_report_reaches_back_so_far(period: timedelta) -> None:
    """A report with an early beginning is cut to the longest of its period: the store gives 401 counts at most."""
    store = CountingStore({})
    report = await reports(store).of_key(ALICE, KEY, period, NOW - 2 * LONGEST[period])
    assert report is not None
    assert len(report.counts) == LONGEST[period] // period + 1
    ((since, by_day),) = store.asked
    assert (NOW - since) // (DAY if by_day else HOUR) <= 400
    nearer = await reports(store).of_key(ALICE, KEY, period, NOW - period)
    assert nearer is not None
    assert len(nearer.counts) == 2


async def test_a_key_that_is_not_there() -> None:
    """Of a key that the organization has not, there is no report."""
    assert await reports(CountingStore({})).of_key(ALICE, OTHER, DAY, None) is None


async def test_the_last_days_of_many_keys() -> None:
    """The last days of every key are read in one call, those of a key without uses as well."""
    store = CountingStore({at(22, 5): 2})
    days = await reports(store).last_days(ALICE, [KEY, OTHER])
    assert [count.count for count in days[KEY]] == [0, 0, 0, 0, 0, 2, 0]
    assert [count.refused for count in days[KEY]] == [{}, {}, {}, {}, {}, {"revoked": 1}, {}]
    assert days[OTHER] == [Count(at(17 + n, 0), 0, {}) for n in range(7)]
    assert store.asked == [(at(17, 0), True)]


def test_periods_begin_in_utc() -> None:
    """A period begins with an hour or a day in UTC, whatever the zone of the moments."""
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    stored = {
        at(22, 23): UsageCount(1, {}),
        at(23, 0): UsageCount(2, {"revoked": 1}),
        at(23, 1): UsageCount(0, {"expired": 4, "revoked": 2}),
    }
    counts = counts_of(stored, at(23, 0).astimezone(elsewhere), at(23, 1), DAY)
    assert counts == [Count(at(23, 0), 2, {"expired": 4, "revoked": 3})]
