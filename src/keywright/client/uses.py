"""
Uses of keys, noted at the cost of one look into a dict, and added up later into what is reported.

A use is first noted under the very words of the request, together with the verdict they got, so that the next request
with the same words needs no thought. Out of there they are added up by hour, network and agent. Both are bounded:
beyond it, places are no longer told apart, and in the end uses are only counted as lost. Pure; the caller locks.
"""

from itertools import islice
from typing import NamedTuple

from keywright.client.verdicts import Verdict
from keywright.keys.addresses import network_of
from keywright.keys.sightings import agent_family

MOST_RECENT = 32_768
MOST_REPORTED = 10_000
LONGEST_AGENT = 256
HOUR_SECONDS = 3600

Words = tuple[bytes, tuple[str, ...], str | None, str | None, str | None]
"""What a request said: the digest of its key, the scopes and environment it asked for, its address and agent."""


NEVER_STANDS = -1
"""In place of a number of changes: this verdict was for one request."""

_Place = tuple[bytes, int, str | None, str | None]


class Standing:
    """
    The verdict that some words got, and how often they came.

    It stands for the next such request until `until`, in seconds of the epoch, and only while nothing has been dropped:
    `changes` counts how often something had been when it was given.
    """

    __slots__ = ("changes", "count", "first", "last", "until", "verdict")

    def __init__(self, verdict: Verdict, now: float, *, until: float, changes: int) -> None:
        self.verdict = verdict
        self.until = until
        self.changes = changes
        self.first = self.last = now
        self.count = 1


class Sighting(NamedTuple):
    """Uses of one key in one hour from one place. Times in seconds of the epoch."""

    digest: bytes
    hour: int
    network: str | None
    agent: str | None
    times: int
    first: float
    last: float


class _Sum:
    __slots__ = ("first", "last", "times")

    def __init__(self, times: int, first: float, last: float) -> None:
        self.times = times
        self.first = first
        self.last = last


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
        self._sums: dict[_Place, _Sum] = {}
        self.recent: dict[Words, Standing] = {}
        self.lost = 0

    def note(self, words: Words, standing: Standing) -> None:
        """Note the first use under some words; later ones are counted on the standing itself."""
        replaced = self.recent.get(words)
        if replaced is not None:
            self._add(words, replaced)
        elif len(self.recent) >= self._most_recent:
            self.turn()
        # As many are added up as come in, so that no request ever pays for many.
        if self._waiting:
            self._add(*self._waiting.pop())
        self.recent[words] = standing

    def again(self, words: Words, now: float) -> bool:
        """Count a use under words that have been noted; tell whether they have."""
        standing = self.recent.get(words)
        if standing is None:
            return False
        standing.count += 1
        standing.last = now
        return True

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
        taken = [(place, self._sums.pop(place)) for place in list(islice(self._sums, most))]
        return [Sighting(*place, found.times, found.first, found.last) for place, found in taken]

    def _add(self, words: Words, standing: Standing) -> None:
        digest, _, _, address, agent = words
        network = None if address is None else network_of(address)
        family = None if agent is None else agent_family(agent)
        place = (digest, int(standing.last // HOUR_SECONDS), network, family)
        self._put(place, standing.count, standing.first, standing.last)

    def _put(self, place: _Place, times: int, first: float, last: float) -> None:
        held = self._sums.get(place)
        if held is None and len(self._sums) >= self._most:
            place = (place[0], place[1], None, None)
            held = self._sums.get(place)
        if held is not None:
            held.times += times
            held.first = min(held.first, first)
            held.last = max(held.last, last)
        elif len(self._sums) < 2 * self._most:
            self._sums[place] = _Sum(times, first, last)
        else:
            self.lost += times
