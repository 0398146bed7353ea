"""
All decisions of an in-process verifier: from a presented text to a verdict, or to a request that the service decides.

No I/O and no tasks: `_session` waits for the service, for threads and for asyncio alike. Every method may be called
from any thread.

The cache is fresh only within the bound after its last sync. So a stopped process, a slow service and a cut connection
need no special case: the cache expires by itself, and every key is looked up at the service. Only when the service is
unavailable, too, cached keys count for longer, and such a verdict is marked stale.
"""

from collections.abc import Iterable
from math import inf
from operator import attrgetter
from threading import Lock
from typing import NamedTuple
from uuid import uuid4

from keywright.client.verifier import _clocks as clocks
from keywright.client.verifier._answers import Answer
from keywright.client.verifier._clocks import Clock
from keywright.client.verifier._verdicts import NOT_FOUND, KeyInfo, Verdict
from keywright.keys.addresses import network_number, packed
from keywright.keys.cache import BOUND_SECONDS, WEIGHT_BYTES, DigestCache, LookUp
from keywright.keys.format import MAX_LENGTH, digest_of, is_private_key
from keywright.keys.rate_limiter import UNLIMITED, InMemoryRateLimiter
from keywright.keys.usage import MOST_SOURCES, UsageBook, agent_family
from keywright.keys.usage_records import UsageRecord
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, Requirements, explain, judge, passes

ORDINARY_BYTES = 2048
"""The memory of a cached key up to which it counts as one; a larger one counts as so many."""

# Python 3.11 takes longer to look up a member of an enumeration than to read a global.
_VALID = Code.VALID
_ORDINARY_WEIGHT = ORDINARY_BYTES // WEIGHT_BYTES
# Of a `CachedKey` with its verdict.
_ENTRY_WEIGHT = 240 // WEIGHT_BYTES
# The service finds the id of a key by its digest.
_UNKNOWN_ID = bytes(16)


class UncachedRequest(NamedTuple):
    """A request that the cache cannot answer: the arguments of `Verifier.verify`, and the digest of *text*."""

    text: str
    digest: bytes
    scopes: tuple[str, ...] = ()
    environment: str | None = None
    client_ip: str | None = None
    user_agent: str | None = None
    explain: bool = False
    cost: int = 1
    metadata: bool = False

    @property
    def requirements(self) -> Requirements:
        """The requirements of the request for the key."""
        if not self.scopes and self.environment is None and self.client_ip is None:
            return NO_REQUIREMENTS
        return Requirements(environment=self.environment, scopes=self.scopes, client_ip=self.client_ip)


class CachedKey:
    """
    The entry of a cached key: the facts that `passes` compares, copied so that they are next to each other in memory.

    `until` is minus infinity for a key with rate limits, too: each request has to take them. `verdict` is that of a
    valid request.

    Args:
        facts: All facts of the key.
    """

    __slots__ = ("environment", "facts", "networks", "scopes", "until", "verdict")

    def __init__(self, facts: KeyFacts) -> None:
        self.until = -inf if facts.rate_limits else facts.until
        self.environment, self.scopes, self.networks = facts.environment, facts.scopes, facts.networks
        self.verdict = Verdict(_VALID, KeyInfo(facts))
        self.facts = facts

    @property
    def weight(self) -> int:
        """Its memory, in units of `WEIGHT_BYTES`."""
        return self.facts.weight + _ENTRY_WEIGHT

    @property
    def size(self) -> int:
        """The size for a cache that counts keys of up to `ORDINARY_BYTES`."""
        return -(-self.weight // _ORDINARY_WEIGHT)


class LocalChecker:
    """
    The cache of one process, and all decisions from it, from its start to its end.

    Args:
        brand: The first part of every key of the service.
        capacity: How many keys to cache; one that takes more than `ORDINARY_BYTES` counts as several.
        outage_seconds: How long after the last sync cached keys count while the service is unavailable.
        limit_share: The share of every rate limit that this process may let through.
        clock: A monotonic clock, in seconds.
        wall: This machine's clock, in seconds of the epoch; the service's clock decides.
    """

    def __init__(
        self,
        *,
        brand: str,
        capacity: int,
        outage_seconds: int,
        limit_share: float = 1.0,
        clock: Clock = clocks.monotonic,
        wall: Clock = clocks.epoch,
    ) -> None:
        self.session = uuid4()
        self.clock_error_seconds: float | None = None
        """The proven error of this machine's clock, in seconds; None before the first feed."""
        self._brand = brand
        self.outage_seconds = outage_seconds
        self.clock = clock
        self._wall = wall
        # Of the cache and the rate limits; of the usage book, where it may be taken while the first one is.
        self._lock, self._using = Lock(), Lock()
        self._usage = UsageBook(most_records=2 * MOST_SOURCES)
        self._cache: DigestCache[CachedKey] = DigestCache(capacity, size_of=attrgetter("size"))
        self._rate_limiter = InMemoryRateLimiter(capacity, share=limit_share)
        # The same time as in `_cache`, the bound added: the hot path compares two numbers.
        self._fresh_until = -inf
        # The difference between seconds of the epoch and the monotonic clock.
        self._epoch = wall() - clock()

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def fresh(self) -> bool:
        """Whether cached keys count now."""
        return self.clock() <= self._fresh_until

    @property
    def ever_synced(self) -> bool:
        """Whether the cache was ever synced since the start."""
        return self._fresh_until > -inf

    def decide(
        self,
        text: str,
        scopes: tuple[str, ...] = (),
        environment: str | None = None,
        client_ip: str | None = None,
        user_agent: str | None = None,
        with_explanation: bool = False,
        cost: int = 1,
        with_metadata: bool = False,
    ) -> Verdict | UncachedRequest:
        """Decide from memory alone; give the request back when it takes the service."""
        if len(text) > MAX_LENGTH:
            return NOT_FOUND
        try:
            presented = digest_of(text.encode("ascii"))
        except UnicodeEncodeError:
            return NOT_FOUND
        now = self.clock()
        if now <= self._fresh_until:
            # Without the lock: this changes nothing, and a key that is dropped meanwhile was cached at `now`.
            known = self._cache.peek(presented)
            if known is not None:
                address, now = packed(client_ip), now + self._epoch
                told = not with_metadata or known.facts.metadata is not None
                if told and passes(known, scopes, environment, address, now):
                    if cost:
                        self._note(presented, address, user_agent, now)
                    return known.verdict
        return self._decide_in_full(
            UncachedRequest(
                text, presented, scopes, environment, client_ip, user_agent, with_explanation, cost, with_metadata
            )
        )

    def decide_again(self, request: UncachedRequest) -> Verdict | UncachedRequest:
        """Decide from memory once more: the answer to the same request may have come in the meantime."""
        return self._decide_in_full(request)

    def only_service_tells(self, request: UncachedRequest) -> bool:
        """Tell whether the request needs metadata that is too long for the cache."""
        with self._lock:
            known = self._cache.get(request.digest) if request.metadata else None
        return known is not None and known.facts.metadata is None

    def begin(self, request: UncachedRequest) -> LookUp:
        """Begin a look-up, before the request is sent; to be ended by `end`."""
        with self._lock:
            return self._cache.begin(request.digest)

    def end(self, look_up: LookUp, answer: Answer | None) -> bool:
        """
        End a look-up: cache its answer, None if there is none; tell whether a change overtook it.

        An answer that is stale, or has facts that this version cannot judge, is not cached.
        """
        facts = answer.facts if answer is not None and answer.cacheable else None
        known = None if facts is None else CachedKey(facts)
        with self._lock:
            self._cache.end(look_up, known)
            return look_up.invalidated

    def answered(self, request: UncachedRequest, answer: Answer) -> Verdict | None:
        """
        Decide by a fresh answer; None when only the service can judge all facts of the key, or tell its metadata.

        The look-up did not name what the request needs, so that one answer serves many requests; that is judged here.
        """
        if answer.facts is None:
            return answer.verdict
        if not answer.complete or (request.metadata and answer.facts.metadata is None):
            return None
        # The service judged the times by its clock, which decides. It judged the address of the request that was sent,
        # which may be another one.
        timely = answer.code in (Code.REVOKED, Code.DISABLED, Code.EXPIRED, Code.REPLACED)
        code = answer.code if timely else judge(answer.facts, request.requirements, -inf)
        with self._lock:
            return self._answer(request, answer.facts, code, self.clock() + self._epoch, stale=answer.stale)

    def in_outage(self, request: UncachedRequest) -> Verdict | None:
        """
        Decide from the cache while the service is unavailable; None when the key is not cached, or for too long, or the
        request needs metadata that is not.
        """
        with self._lock:
            known = self._cache.get(request.digest)
            now = self.clock()
            if known is None or (request.metadata and known.facts.metadata is None):
                return None
            # The outage time begins at the last sync, so without the bound that `fresh_at` adds.
            if not self._cache.fresh_at(now, grace=self.outage_seconds - BOUND_SECONDS):
                return None
            code = judge(known.facts, request.requirements, now + self._epoch)
            return self._answer(request, known.facts, code, now + self._epoch, stale=now > self._fresh_until)

    def synced(self, since: float) -> None:
        """Note that all changes before *since*, on the monotonic clock, have been applied."""
        with self._lock:
            self._cache.synced(since)
            self._fresh_until = max(self._fresh_until, since + BOUND_SECONDS)

    def drop(self, digests: Iterable[bytes]) -> None:
        """Invalidate keys that changed."""
        with self._lock:
            self._cache.drop(digests)

    def drop_all(self) -> None:
        """Invalidate all keys, because any of them may have changed."""
        with self._lock:
            self._cache.drop_all()

    def forget(self) -> None:
        """Remove everything at the end; no key is accepted afterwards."""
        with self._lock:
            self._cache.drop_all()
            self._rate_limiter.clear()
            self.outage_seconds = 0
            self._fresh_until = -inf

    def set_time(self, time: float, slack: float, received: float) -> float:
        """Set the clock by the service's; see `FollowingCache`."""
        with self._lock:
            self._epoch = clocks.corrected(received + self._epoch, time, slack) - received
        shown = self._wall()
        self.clock_error_seconds = shown - clocks.corrected(shown, time, slack)
        return self.clock_error_seconds

    def take_usage(self, most: int) -> list[UsageRecord]:
        """Remove and give at most *most* usage records, to be reported."""
        with self._using:
            records = self._usage.take(most)
        # The records are made here, while other threads go on.
        return list(records)

    def _decide_in_full(self, request: UncachedRequest) -> Verdict | UncachedRequest:
        now = self.clock()
        with self._lock:
            known = self._cache.get(request.digest)
            if known is not None:
                # A cached digest belongs to exactly one text, which was well-formed: it needs no parsing.
                if now > self._fresh_until or (request.metadata and known.facts.metadata is None):
                    return request
                code = judge(known.facts, request.requirements, now + self._epoch)
                return self._answer(request, known.facts, code, now + self._epoch)
        return request if is_private_key(request.text, brand=self._brand) else NOT_FOUND

    def _answer(
        self, request: UncachedRequest, facts: KeyFacts, code: Code, now: float, *, stale: bool = False
    ) -> Verdict:
        """
        Take the cost of the rate limits, where all other rules allow the request, and make the verdict.

        Only under the lock.
        """
        decision = UNLIMITED
        if code is _VALID and facts.rate_limits:
            # On the monotonic clock, which is never set.
            decision = self._rate_limiter.acquire(facts.id, facts.rate_limits, self.clock(), request.cost)
            if not decision.allowed:
                code = Code.RATE_LIMITED
        if request.cost:
            self._add_up(request, code, now)
        if code is _VALID:
            return Verdict(_VALID, KeyInfo(facts), stale, None, decision.states)
        explanation = explain(code, facts, request.requirements) if request.explain else None
        return Verdict(code, KeyInfo(facts), stale, explanation, decision.states, decision.retry_after)

    def _add_up(self, request: UncachedRequest, code: Code, now: float) -> None:
        """Count a use or a refusal."""
        address, agent = packed(request.client_ip), request.user_agent
        if code is _VALID:
            self._note(request.digest, address, agent, now)
            return
        with self._using:
            caller = "", agent_family(agent)
            self._usage.note_refusal(_UNKNOWN_ID, request.digest, network_number(address), caller, code, now)

    def _note(self, digest: bytes, address: int, user_agent: str | None, now: float) -> None:
        """Count a use."""
        usage, caller = self._usage, 0
        with self._using:
            if user_agent is not None:
                caller = usage.caller_of("", agent_family(user_agent))
            usage.note(_UNKNOWN_ID, digest, network_number(address), caller, now)
