"""Reports on the usage of keys: accepted uses and refusals by hour or day in UTC, and the recent sources."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from keywright.service.management.ports import SECRETS_PER_PAGE, Usage, UsageCount, UsageStore
from keywright.service.ports import Clock
from keywright.service.principal import Principal
from keywright.service.turns import Turns

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONGEST = {HOUR: timedelta(days=14), DAY: timedelta(days=400)}
"""The longest report, by its period. It is read in one step, a row for each period."""
KEYS_IN_A_STEP = 50
"""For how many keys one step of a list reads the counts."""

_USUAL = {HOUR: 23 * HOUR, DAY: 6 * DAY}


@dataclass(frozen=True, slots=True)
class Count:
    """The accepted uses and the refusals, by code, in one hour or day, which begins at `start`."""

    start: datetime
    count: int
    refused: Mapping[str, int]


class UsageReport(NamedTuple):
    """The usage of one key as stored, and every period since the beginning of the report."""

    usage: Usage
    counts: Sequence[Count]


@dataclass(frozen=True, slots=True)
class UsageReports:
    """Adds up the stored usage of keys."""

    store: UsageStore
    clock: Clock
    turns: Turns

    async def of_key(
        self,
        principal: Principal,
        key_id: UUID,
        period: timedelta,
        since: datetime | None,
        *,
        limit: int = SECRETS_PER_PAGE,
        before: UUID | None = None,
    ) -> UsageReport | None:
        """
        Report the uses and refusals of one key.

        Args:
            period: `HOUR` or `DAY`.
            since: The beginning of the report; None for the last 24 hours or 7 days.
            limit: The most secrets of the key to give, newest first, and their sources.
            before: The id of the secret below which they begin; None for the newest.

        Returns:
            None where the principal's organization has no such key.
        """
        now = self.clock()
        beginning = now - _USUAL[period] if since is None else max(since, now - LONGEST[period])
        start = start_of(beginning, period)
        org_id = principal.organization.id
        async with self.turns.one(org_id):
            usage = await self.store.usage(
                org_id, key_id, since=start, by_day=period == DAY, limit=limit, before=before
            )
        return None if usage is None else UsageReport(usage, counts_of(_hours(usage), start, now, period))

    async def last_days(self, principal: Principal, key_ids: Sequence[UUID]) -> dict[UUID, list[Count]]:
        """Give the uses and refusals of each key on each of the last 7 days, today last."""
        now = self.clock()
        start = start_of(now - 6 * DAY, DAY)
        org_id = principal.organization.id
        days: dict[UUID, list[Count]] = {}
        for first in range(0, len(key_ids), KEYS_IN_A_STEP):
            some = key_ids[first : first + KEYS_IN_A_STEP]
            async with self.turns.one(org_id):
                counts = await self.store.daily_counts(org_id, some, since=start)
                days |= {key_id: counts_of(counts.get(key_id, {}), start, now, DAY) for key_id in some}
        return days


def _hours(usage: Usage) -> dict[datetime, UsageCount]:
    """Give the counts of uses and refusals, hours or days, together."""
    moments = {*usage.counts, *usage.refused}
    return {moment: UsageCount(usage.counts.get(moment, 0), usage.refused.get(moment, {})) for moment in moments}


def counts_of(stored: Mapping[datetime, UsageCount], since: datetime, now: datetime, period: timedelta) -> list[Count]:
    """Add stored counts of hours or days up into periods from *since* to *now*, empty ones included."""
    uses: dict[datetime, int] = {}
    refused: dict[datetime, Counter[str]] = {}
    start = start_of(since, period)
    while start <= now:
        uses[start], refused[start] = 0, Counter()
        start += period
    for moment, counted in stored.items():
        within = start_of(moment, period)
        if within in uses:
            uses[within] += counted.uses
            refused[within].update(counted.refused)
    return [Count(start, count, dict(sorted(refused[start].items()))) for start, count in uses.items()]


def start_of(moment: datetime, period: timedelta) -> datetime:
    """Give the beginning of the hour or day of *moment*, in UTC."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if period == HOUR else hour.replace(hour=0)
