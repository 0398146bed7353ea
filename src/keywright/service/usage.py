"""
Uses of keys, noted in memory and written in batches, off the path of requests.

A key is written at most once a minute; what is noted meanwhile is added up. What is held is bounded: beyond it uses are
still counted, but no longer told apart by where they came from.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from keywright.keys.verdict import KeyFacts
from keywright.service.checking_ports import Sighting

WRITE_EVERY_SECONDS = 60.0
MOST_HELD = 50_000
MOST_AT_ONCE = 1000


class Place(NamedTuple):
    """Where uses are added up: which key and secret, in which hour since the epoch, from where, through whom."""

    key_id: bytes
    digest: bytes
    hour: int
    network: str | None
    agent: str | None
    verifier: str


class _Tally:
    __slots__ = ("count", "first", "last")

    def __init__(self, now: float) -> None:
        self.first = self.last = now
        self.count = 0


class UsageBook:
    """What this process saw of the use of keys, until it is written. Times are seconds since the epoch."""

    def __init__(self, *, most: int = MOST_HELD) -> None:
        self._most = most
        self._tallies: dict[Place, _Tally] = {}
        self._written: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    def note(
        self,
        facts: KeyFacts,
        digest: bytes,
        now: float,
        *,
        verifier: str,
        network: str | None = None,
        agent: str | None = None,
    ) -> None:
        """Note that a key was accepted at *now*."""
        self.note_at(place_of(facts, digest, now, verifier=verifier, network=network, agent=agent), now)

    def note_at(self, place: Place, now: float) -> None:
        """Note that a key was accepted at *now*, which lies in the hour of *place*."""
        tally = self._tallies.get(place)
        if tally is None:
            tally = self._tally_at(place, now)
        tally.count += 1
        if now > tally.last:
            tally.last = now

    def take_due(self, now: float) -> list[Sighting]:
        """Take out what may be written now: of keys that were not written for a minute, a bounded number."""
        self._written = {key: at for key, at in self._written.items() if now - at < WRITE_EVERY_SECONDS}
        due = [place for place in self._tallies if place.key_id not in self._written]
        return self._take(due[:MOST_AT_ONCE], now)

    def take_all(self, now: float) -> Iterator[list[Sighting]]:
        """Take out everything, in batches, as when the process ends."""
        while self._tallies:
            yield self._take(list(self._tallies)[:MOST_AT_ONCE], now)

    def _tally_at(self, place: Place, now: float) -> _Tally:
        if len(self._tallies) >= self._most:
            place = place._replace(network=None, agent=None)
        return self._tallies.setdefault(place, _Tally(now))

    def _take(self, places: list[Place], now: float) -> list[Sighting]:
        taken = [(place, self._tallies.pop(place)) for place in places]
        self._written.update((place.key_id, now) for place in places)
        return [
            Sighting(
                key_id=UUID(bytes=place.key_id),
                digest=place.digest,
                hour=_time(place.hour * _HOUR),
                network=place.network,
                agent=place.agent,
                verifier=place.verifier,
                first_seen=_time(tally.first),
                last_seen=_time(tally.last),
                count=tally.count,
            )
            for place, tally in taken
        ]


def place_of(
    facts: KeyFacts,
    digest: bytes,
    now: float,
    *,
    verifier: str,
    network: str | None = None,
    agent: str | None = None,
) -> Place:
    """Give the place of a use at *now*; uses until `hour_end` may be noted there, too."""
    return Place(facts.id, digest, int(now // _HOUR), network, agent, verifier)


def hour_end(now: float) -> float:
    """Tell when the hour of *now* ends, in seconds since the epoch."""
    return (now // _HOUR + 1) * _HOUR


_HOUR = 3600


def _time(seconds: float) -> datetime:
    # Built up from the epoch: exact to the microsecond, where fromtimestamp rounds through a float once more.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
