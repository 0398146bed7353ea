"""
Usage: accepted uses of keys, added up in memory by source and hour until they are written or reported.

Pure: times are arguments, and the caller locks. All times are seconds since the epoch.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

HOUR_SECONDS = 3600
WRITE_EVERY_SECONDS = 60.0
MOST_SOURCES = 50_000
MOST_AT_ONCE = 1000

_FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9._+-]{0,31}")


class UsageSource(NamedTuple):
    """
    The source of uses in one hour; uses with an equal source are added up.

    `digest` is the digest of the secret, `hour` counts hours since the epoch. `network` and `agent` are results of
    `network_of` and `agent_family`. `key_id` is the key's id, 16 bytes, and `verifier` the name of the caller that
    checked the key; both are empty in an in-process verifier, and the service adds them.
    """

    digest: bytes
    hour: int
    network: str | None
    agent: str | None
    key_id: bytes = b""
    verifier: str = ""


class UsageRecord(NamedTuple):
    """The number of uses from one source, and the times of the first and the last."""

    source: UsageSource
    uses: int
    first: float
    last: float


class _Sum:
    __slots__ = ("count", "first", "last")

    def __init__(self, count: int, first: float, last: float) -> None:
        self.count = count
        self.first = first
        self.last = last


class UsageBook:
    """
    The uses that this process accepted and has not yet written or reported.

    Args:
        most_sources: The number of sources. Beyond it uses are added up without network and agent.
        most_records: The number of records; uses beyond it are only counted, as `lost`. None for no bound.
    """

    def __init__(self, *, most_sources: int = MOST_SOURCES, most_records: int | None = None) -> None:
        self._most_sources = most_sources
        self._most_records = most_records
        self._sums: dict[UsageSource, _Sum] = {}
        self._written: dict[bytes, float] = {}
        self.lost = 0

    def __len__(self) -> int:
        return len(self._sums)

    def note(self, source: UsageSource, now: float) -> None:
        """Add one use at *now*, which lies in the hour of *source*."""
        found = self._sums.get(source)
        if found is None:
            self.add(source, 1, now, now)
            return
        found.count += 1
        if now > found.last:
            found.last = now

    def add(self, source: UsageSource, count: int, first: float, last: float) -> None:
        """Add *count* uses between *first* and *last*."""
        found = self._sums.get(source)
        if found is None and len(self._sums) >= self._most_sources:
            source = source._replace(network=None, agent=None)
            found = self._sums.get(source)
        if found is not None:
            found.count += count
            found.first = min(found.first, first)
            found.last = max(found.last, last)
        elif self._most_records is None or len(self._sums) < self._most_records:
            self._sums[source] = _Sum(count, first, last)
        else:
            self.lost += count

    def take(self, most: int = MOST_AT_ONCE) -> list[UsageRecord]:
        """Remove and give at most *most* records."""
        return self._take(list(islice(self._sums, most)))

    def take_due(self, now: float) -> list[UsageRecord]:
        """Remove and give at most `MOST_AT_ONCE` records, of keys that this method gave no record of for a minute."""
        self._written = {key: at for key, at in self._written.items() if now - at < WRITE_EVERY_SECONDS}
        due = list(islice((source for source in self._sums if source.key_id not in self._written), MOST_AT_ONCE))
        self._written.update((source.key_id, now) for source in due)
        return self._take(due)

    def take_all(self) -> Iterator[list[UsageRecord]]:
        """Remove and give all records, in batches of at most `MOST_AT_ONCE`."""
        return iter(self.take, [])

    def _take(self, sources: Iterable[UsageSource]) -> list[UsageRecord]:
        taken = [(source, self._sums.pop(source)) for source in sources]
        return [UsageRecord(source, found.count, found.first, found.last) for source, found in taken]


def hour_of(now: float) -> int:
    """Count the hours from the epoch until *now*."""
    return int(now // HOUR_SECONDS)


def hour_end(now: float) -> float:
    """Give the end of the hour of *now*."""
    return (now // HOUR_SECONDS + 1) * HOUR_SECONDS


@lru_cache(maxsize=4096)
def agent_family(user_agent: str | None) -> str | None:
    """
    Give the family of a user agent: the name of its first product, such as `python-httpx` of `python-httpx/0.28.1`.

    Args:
        user_agent: Anything at all, from anyone.

    Returns:
        At most 32 letters, digits, dots, underscores, pluses and hyphens; None where there is no such name.
    """
    match = _FAMILY.match((user_agent or "").strip())
    return None if match is None else match[0]
