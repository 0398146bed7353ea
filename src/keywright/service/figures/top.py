"""
The report on the most used keys and organizations.

Counts are read in slices, the newest first, and added up here. So no other reader of the database waits for more than a
slice, and what is read is bounded.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

from keywright.service.figures.ports import FiguresStore, KeyHour, UsedKey, UsedOrganization
from keywright.service.ports import Clock

MOST_COUNTS_READ: Final = 200_000
"""After so many counts, each of one key in one hour, a report reads the rest of the hour, and no earlier one."""

COUNTS_IN_A_SLICE: Final = 250

LONGEST_LIST: Final = 50

REUSED_FOR: Final = 10
"""A report is given again for so many times as long as it took: so reports of one length take a tenth of the time."""

_COMPARED_AT_ONCE: Final = 2000


class TopReport(NamedTuple):
    """
    The keys and organizations with the most uses, and the keys with the most refusals, the highest first.

    `since` is the beginning of the first hour that was read, `until` when the reading began.
    """

    since: datetime
    until: datetime
    keys: Sequence[UsedKey]
    organizations: Sequence[UsedOrganization]
    refused_keys: Sequence[UsedKey]

    def shortened(self, limit: int) -> "TopReport":
        """Give the report with the *limit* highest of each list."""
        return self._replace(
            keys=self.keys[:limit],
            organizations=self.organizations[:limit],
            refused_keys=self.refused_keys[:limit],
        )


class TopReports:
    """
    Makes reports, one at a time.

    Args:
        store: Has the counts.
        clock: The time.
        most: See MOST_COUNTS_READ.
        slice_: How many counts one statement gives.
    """

    def __init__(
        self, store: FiguresStore, clock: Clock, *, most: int = MOST_COUNTS_READ, slice_: int = COUNTS_IN_A_SLICE
    ) -> None:
        self._store = store
        self._clock = clock
        self._most = most
        self._slice = slice_
        self._one = asyncio.Lock()
        # By their number of hours, with the time until which they are given again.
        self._made: dict[int, tuple[datetime, TopReport]] = {}

    async def of_last(self, hours: int, reader: UUID) -> TopReport:
        """
        Give the report on the last *hours*, the current one included, or on those that could be read.

        *reader* is the organization in whose turn it waits for the database.

        Raises:
            StorageUnavailable: The database is unavailable.
        """
        async with self._one:
            now = self._clock()
            self._made = {each: made for each, made in self._made.items() if made[0] > now}
            if hours not in self._made:
                report = await self._make(hours, now, reader)
                end = self._clock()
                self._made[hours] = (end + REUSED_FOR * (end - now), report)
            return self._made[hours][1]

    async def _make(self, hours: int, now: datetime, reader: UUID) -> TopReport:
        first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
        totals = _Totals()
        since = await self._read(first, totals, reader)
        keys = await _highest(totals.keys, _uses)
        refused = await _highest(totals.keys, _refusals)
        organizations = await _highest(totals.organizations, _total)
        return await self._named(since, now, keys, organizations, refused, reader)

    async def _read(self, first: datetime, totals: "_Totals", reader: UUID) -> datetime:
        """Add up the counts since *first*, or since a later hour, which is returned."""
        left, hour, below = self._most, first, None
        while True:
            counts = await self._store.key_hours(reader, since=first, below=below, limit=self._slice)
            for each in counts:
                if left <= 0 and each.hour < hour:
                    return hour
                totals.add(each)
                left -= 1
                hour, below = each.hour, each
            if len(counts) < self._slice:
                return first

    async def _named(
        self,
        since: datetime,
        until: datetime,
        keys: "Sequence[_Total]",
        organizations: "Sequence[_Total]",
        refused: "Sequence[_Total]",
        reader: UUID,
    ) -> TopReport:
        names = await self._store.key_names(reader, {each.id for each in (*keys, *refused)})
        owners = {each.org_id for each in (*keys, *organizations, *refused)}
        external_ids = await self._store.organization_names(reader, owners)

        def key(found: _Total) -> UsedKey:
            return UsedKey(
                key_id=found.id,
                name=names[found.id],
                org_id=found.org_id,
                org_external_id=external_ids[found.org_id],
                uses=found.uses,
                refusals=found.refusals,
            )

        def organization(found: _Total) -> UsedOrganization:
            return UsedOrganization(
                org_id=found.org_id,
                org_external_id=external_ids[found.org_id],
                uses=found.uses,
                refusals=found.refusals,
            )

        return TopReport(since, until, [*map(key, keys)], [*map(organization, organizations)], [*map(key, refused)])


@dataclass(slots=True)
class _Total:
    """What was counted of a key, or of an organization, which is then its own."""

    id: UUID
    org_id: UUID
    uses: int = 0
    refusals: int = 0

    def add(self, count: KeyHour) -> None:
        self.uses += count.uses
        self.refusals += count.refusals


_uses, _refusals = attrgetter("uses"), attrgetter("refusals")


def _total(found: _Total) -> tuple[int, int]:
    """Compare organizations by uses; one whose keys are refused only comes after them, and is not left out."""
    return found.uses, found.refusals


class _Totals:
    """The sums by key and by organization."""

    def __init__(self) -> None:
        # By numbers: a UUID is hashed by Python code.
        self.keys: dict[int, _Total] = {}
        self.organizations: dict[int, _Total] = {}

    def add(self, count: KeyHour) -> None:
        """Add one count."""
        _of(self.keys, count.key_id, count.org_id).add(count)
        _of(self.organizations, count.org_id, count.org_id).add(count)


def _of(totals: dict[int, _Total], id_: UUID, org_id: UUID) -> _Total:
    found = totals.get(id_.int)
    if found is None:
        found = totals[id_.int] = _Total(id_, org_id)
    return found


async def _highest(totals: Mapping[int, _Total], of: Callable[[_Total], int | tuple[int, int]]) -> list[_Total]:
    """Give those with the highest numbers above 0; other work of the process goes on meanwhile."""
    best: list[_Total] = []
    rest = iter(totals.values())
    while some := [*islice(rest, _COMPARED_AT_ONCE)]:
        best = nlargest(LONGEST_LIST, (*best, *(each for each in some if of(each))), key=of)
        await asyncio.sleep(0)
    return best
