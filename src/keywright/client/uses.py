"""
Uses of keys, noted at the cost of one look into a dict, and added up later into what is reported.

A use is first noted under the very words of the request, together with the verdict they got, so that the next request
with the same words needs no thought. Out of there they are added up by hour, network and agent. Both are bounded:
beyond it, places are no longer told apart, and in the end uses are only counted as lost. Pure; the caller locks.
"""

from typing import Any, NamedTuple

from keywright.client.verdicts import Verdict
from keywright.keys.sightings import agent_family, network_of
from keywright.keys.verdict import KeyFacts

MOST_RECENT = 4096
MOST_REPORTED = 10_000
LONGEST_AGENT = 256
_HOUR = 3600

Words = tuple[bytes, tuple[str, ...], str | None, str | None, str | None]
"""What a request said: the digest of its key, the scopes and environment it asked for, its address and agent."""


class Standing:
    """The verdict that some words got, until when it holds, and how often they came. Times in seconds of the epoch."""

    __slots__ = ("count", "facts", "first", "last", "until", "verdict")

    def __init__(self, facts: KeyFacts, verdict: Verdict, now: float) -> None:
        self.facts = facts
        self.verdict = verdict
        self.until = facts.expires_at
        self.first = self.last = now
        self.count = 1


class Place(NamedTuple):
    """Where a key was used, and in which hour since the epoch."""

    digest: bytes
    hour: int
    network: str | None
    agent: str | None


class Sighting(NamedTuple):
    """A place, how often the key was used there, and when first and last, in seconds of the epoch."""

    place: Place
    count: int
    first: float
    last: float

    def plus(self, other: "Sighting") -> "Sighting":
        """Add another of the same place."""
        count = self.count + other.count
        return Sighting(self.place, count, min(self.first, other.first), max(self.last, other.last))

    def shown(self, iso: Any) -> dict[str, Any]:
        """Write it as the service reads it; *iso* writes seconds of the epoch as text."""
        return {
            "digest": self.place.digest.hex(),
            "hour": iso(self.place.hour * _HOUR),
            "network": self.place.network,
            "agent": self.place.agent,
            "first_seen": iso(self.first),
            "last_seen": iso(self.last),
            "count": self.count,
        }


class Uses:
    """
    What was seen and not yet reported.

    Args:
        most_recent: How many different words are kept as they were said.
        most: How many places are told apart; as many again are kept without their place.
    """

    def __init__(self, *, most_recent: int = MOST_RECENT, most: int = MOST_REPORTED) -> None:
        self._most_recent = most_recent
        self._most = most
        self._waiting: list[tuple[Words, Standing]] = []
        self._sums: dict[Place, Sighting] = {}
        self.recent: dict[Words, Standing] = {}
        self.lost = 0

    def note(self, words: Words, standing: Standing) -> None:
        """Note the first use under some words; later ones are counted on the standing itself."""
        replaced = self.recent.pop(words, None)
        if replaced is not None:
            self._add(words, replaced)
        if len(self.recent) >= self._most_recent:
            self.turn()
        # As many are added up as come in, so that no request ever pays for many.
        self.settle(2)
        self.recent[words] = standing

    def turn(self) -> None:
        """Set aside what was noted, to be added up."""
        self._waiting.extend(self.recent.items())
        self.recent = {}

    def settle(self, most: int) -> bool:
        """Add up at most *most* of what was set aside; tell whether there is more."""
        for _ in range(min(most, len(self._waiting))):
            self._add(*self._waiting.pop())
        return bool(self._waiting)

    def take(self, most: int) -> list[Sighting]:
        """Take out at most *most* of what was added up."""
        return [self._sums.pop(place) for place in list(self._sums)[:most]]

    def give_back(self, sightings: list[Sighting]) -> None:
        """Put back what could not be reported."""
        for sighting in sightings:
            self._put(sighting)

    def _add(self, words: Words, standing: Standing) -> None:
        digest, _, _, address, agent = words
        place = Place(digest, int(standing.last // _HOUR), network_of(address), agent_family(agent))
        self._put(Sighting(place, standing.count, standing.first, standing.last))

    def _put(self, sighting: Sighting) -> None:
        held = self._sums.get(sighting.place)
        if held is None and len(self._sums) >= self._most:
            sighting = sighting._replace(place=sighting.place._replace(network=None, agent=None))
            held = self._sums.get(sighting.place)
        if held is None and len(self._sums) >= 2 * self._most:
            self.lost += sighting.count
            return
        self._sums[sighting.place] = sighting if held is None else held.plus(sighting)
