"""
The verdicts of recent requests, with the number of equal requests since.

A use is first counted on the cached verdict of an equal request, at the cost of one dict look-up and without a
decision. Later it is added up in the usage book. Both are bounded. Pure; the caller locks.
"""

from keywright.client.verifier._verdicts import Verdict
from keywright.keys.addresses import network_number, packed
from keywright.keys.usage import UsageBook, UsageRecords, agent_family

MOST_CACHED = 32_768
MOST_SOURCES = 10_000
LONGEST_AGENT = 256

# The service knows the id of a key by its digest.
_UNKNOWN = bytes(16)

RequestKey = tuple[bytes, tuple[str, ...], str | None, str | None, str | None]
"""All that a verdict depends on: the digest of the key, required scopes and environment, address and user agent."""

NEVER_REPEATED = -1
"""In place of a number of changes: this verdict is not repeated."""


class CachedVerdict:
    """
    The verdict on a request, and the number of equal requests.

    It is repeated until `until`, in seconds since the epoch, and only while no key is invalidated: `changes` is the
    number of invalidations at the time of the verdict. `has_metadata` tells whether the key of the verdict has its
    metadata.
    """

    __slots__ = ("changes", "count", "first", "has_metadata", "last", "until", "verdict")

    def __init__(self, verdict: Verdict, now: float, *, until: float, changes: int, has_metadata: bool = True) -> None:
        self.verdict = verdict
        self.has_metadata = has_metadata
        self.until = until
        self.changes = changes
        self.first = self.last = now
        self.count = 1


class CachedVerdicts:
    """
    The verdicts of recent requests, and the usage that was not reported yet.

    Args:
        most: The number of verdicts.
        most_sources: The number of sources of usage; as many again are counted without network and agent.
    """

    def __init__(self, *, most: int = MOST_CACHED, most_sources: int = MOST_SOURCES) -> None:
        self._most = most
        self._waiting: list[tuple[RequestKey, CachedVerdict]] = []
        self.recent: dict[RequestKey, CachedVerdict] = {}
        self.usage = UsageBook(most_sources=most_sources, most_records=2 * most_sources)

    def add(self, request: RequestKey, cached: CachedVerdict) -> None:
        """Cache the verdict on a request and count its first use; later uses are counted on the verdict itself."""
        replaced = self.recent.get(request)
        if replaced is not None:
            self._count(request, replaced)
        elif len(self.recent) >= self._most:
            self.set_aside()
        # Each new verdict adds up one old one, so that no request has to add up many.
        if self._waiting:
            self._count(*self._waiting.pop())
        self.recent[request] = cached

    def count_again(self, request: RequestKey, now: float) -> bool:
        """Count a use of a request if its verdict is cached; tell whether it is."""
        cached = self.recent.get(request)
        if cached is None:
            return False
        cached.count += 1
        cached.last = now
        return True

    def set_aside(self) -> None:
        """Set aside all verdicts, so that their uses are added up."""
        self._waiting.extend(self.recent.items())
        self.recent = {}

    def add_up(self, most: int) -> bool:
        """Add up the uses of at most *most* verdicts that were set aside; tell whether there are more."""
        for _ in range(min(most, len(self._waiting))):
            self._count(*self._waiting.pop())
        return bool(self._waiting)

    def take_usage(self, most: int) -> list[UsageRecords]:
        """Remove and give at most *most* usage records; they are made when they are read, which needs no lock."""
        batches: list[UsageRecords] = []
        while records := self.usage.take(most - sum(map(len, batches))):
            batches.append(records)
        return batches

    def _count(self, request: RequestKey, cached: CachedVerdict) -> None:
        digest, _, _, address, agent = request
        usage = self.usage
        number, network = usage.number_of(_UNKNOWN, digest), network_number(packed(address))
        caller = usage.caller_of("", agent_family(agent))
        usage.add(number, network, caller, cached.count, cached.first, cached.last)
