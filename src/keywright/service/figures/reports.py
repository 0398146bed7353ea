"""The reports for operators: what the store has added up, by period, with every period in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from keywright.keys.record import Status
from keywright.service.figures.ports import (
    MOST_ACKNOWLEDGEMENTS_READ,
    MOST_CHANGES_READ,
    MOST_SESSIONS,
    ConnectedSession,
    Delays,
    FiguresStore,
    KeyCount,
    VerdictCount,
)
from keywright.service.figures.top import TopReport, TopReports
from keywright.service.ports import Clock
from keywright.service.principal import Principal
from keywright.service.turns import Turns

LONGEST_HOURS: Final = 2160
"""The longest report, in hours: 90 days."""

EXPIRY_DAYS: Final = 30

AGES: Final = ("day", "week", "month", "quarter", "year", "longer", "never")
"""How long ago an active key was used last: within so long, and not within the one before."""

BOUNDS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2000)
"""The bounds of the histogram of delays, in milliseconds."""


class Per(StrEnum):
    """The period of a report on verdicts."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


_LENGTHS: Final = {Per.MINUTE: timedelta(minutes=1), Per.HOUR: timedelta(hours=1), Per.DAY: timedelta(days=1)}
_NUMBERS: Final = {Per.MINUTE: 60, Per.HOUR: 48, Per.DAY: 30}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Verdicts(NamedTuple):
    """The verdicts of each period from `since` to `until`, by code."""

    since: datetime
    until: datetime
    periods: Mapping[datetime, Mapping[str, int]]


class KeyReport(NamedTuple):
    """The numbers of keys by status, by age since the last use, and by the day of their expiry."""

    counted_at: datetime | None
    states: Mapping[str, int]
    ages: Mapping[str, int]
    expiries: Mapping[date, int]


class DelayReport(NamedTuple):
    """See `Delays`: with the median, the 99th percentile, and the number up to each bound; None for no bound."""

    delays: Delays
    p50_ms: int | None
    p99_ms: int | None
    histogram: Mapping[int | None, int]

    @property
    def acknowledgements(self) -> int:
        """The number of acknowledgements."""
        return sum(self.histogram.values())


class ConnectedReport(NamedTuple):
    """The sessions that use their caches at a moment, and whether there are more."""

    at: datetime
    sessions: Sequence[ConnectedSession]
    more: bool


@dataclass(slots=True, kw_only=True)
class Figures:
    """
    Reads the figures. The edge checks that the principal is an operator.

    Every method raises `StorageUnavailable` when the store does, and takes a turn of the principal's organization.
    """

    store: FiguresStore
    clock: Clock
    turns: Turns
    _top: TopReports = field(init=False)

    def __post_init__(self) -> None:
        self._top = TopReports(self.store, self.clock)

    async def verdicts(self, principal: Principal, per: Per) -> Verdicts:
        """Give the verdicts of the last 60 minutes, 48 hours or 30 days, the current one included."""
        length, now = _LENGTHS[per], self.clock()
        since = start_of(now, length) - (_NUMBERS[per] - 1) * length
        reader = principal.organization.id
        async with self.turns.one(reader):
            if per is Per.MINUTE:
                found = await self.store.verdict_minutes(reader, since=since)
            else:
                found = await self.store.verdict_hours(reader, since=since)
        return Verdicts(since, now, _by_period(found, since, now, length))

    async def top(self, principal: Principal, *, hours: int, limit: int) -> TopReport:
        """Give the *limit* keys and organizations with the most uses in the last *hours*, the current one included."""
        reader = principal.organization.id
        async with self.turns.one(reader):
            report = await self._top.of_last(hours, reader)
        return report.shortened(limit)

    async def keys(self, principal: Principal) -> KeyReport:
        """Give the numbers of keys as they were counted last."""
        reader = principal.organization.id
        async with self.turns.one(reader):
            return _key_report(await self.store.key_count(reader))

    async def revocations(self, principal: Principal, *, hours: int) -> DelayReport:
        """Give how long acknowledgements of the revocations and deletions of the last *hours* took."""
        reader = principal.organization.id
        async with self.turns.one(reader):
            delays = await self.store.revocation_delays(
                reader, hours=hours, changes=MOST_CHANGES_READ, acknowledgements=MOST_ACKNOWLEDGEMENTS_READ
            )
        return delay_report(delays)

    async def sessions(self, principal: Principal) -> ConnectedReport:
        """Give the processes that cache keys now."""
        reader = principal.organization.id
        async with self.turns.one(reader):
            found = await self.store.connected_sessions(reader)
        return ConnectedReport(found.at, found.sessions[:MOST_SESSIONS], len(found.sessions) > MOST_SESSIONS)


def start_of(moment: datetime, length: timedelta) -> datetime:
    """Give the beginning, in UTC, of the minute, hour or day of *moment*."""
    return moment - (moment - _EPOCH) % length


def _by_period(
    found: Sequence[VerdictCount], since: datetime, now: datetime, length: timedelta
) -> dict[datetime, dict[str, int]]:
    """Add counts up into periods from *since* to *now*, empty ones included."""
    periods: dict[datetime, dict[str, int]] = {start: {} for start in _starts(since, now, length)}
    for each in found:
        # A process whose clock is ahead may have counted in a period that has not begun.
        codes = periods.get(start_of(each.start, length))
        if codes is not None:
            codes[each.code] = codes.get(each.code, 0) + each.number
    return periods


def _starts(since: datetime, now: datetime, length: timedelta) -> Iterator[datetime]:
    start = since
    while start <= now:
        yield start
        start += length


def _key_report(found: KeyCount | None) -> KeyReport:
    numbers = {} if found is None else found.numbers
    days = [] if found is None else [found.counted_at.date() + timedelta(days=n) for n in range(EXPIRY_DAYS)]
    return KeyReport(
        counted_at=None if found is None else found.counted_at,
        states={state.value: numbers.get(f"state.{state}", 0) for state in Status},
        ages={age: numbers.get(f"age.{age}", 0) for age in AGES},
        expiries={day: numbers.get(f"day.{day.isoformat()}", 0) for day in days},
    )


def delay_report(delays: Delays) -> DelayReport:
    """Give the percentiles, each a delay that occurred, and the histogram of delays."""
    histogram: dict[int | None, int] = dict.fromkeys((*BOUNDS_MS, None), 0)
    for ms, number in delays.acknowledgements.items():
        histogram[next((bound for bound in BOUNDS_MS if ms <= bound), None)] += number
    return DelayReport(delays, _percentile(delays, 50), _percentile(delays, 99), histogram)


def _percentile(delays: Delays, percent: int) -> int | None:
    """Give the smallest delay that so many percent of the acknowledgements do not exceed; None without any."""
    rest = -(-sum(delays.acknowledgements.values()) * percent // 100)
    for ms, number in sorted(delays.acknowledgements.items()):
        rest -= number
        if rest <= 0:
            return ms
    return None
