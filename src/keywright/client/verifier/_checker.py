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
from threading import Lock
from typing import NamedTuple
from uuid import uuid4

from keywright.client.verifier import _clocks as clocks
from keywright.client.verifier._answers import Answer
from keywright.client.verifier._cached_verdicts import (
    LONGEST_AGENT,
    NEVER_REPEATED,
    CachedVerdict,
    CachedVerdicts,
    RequestKey,
)
from keywright.client.verifier._clocks import Clock
from keywright.client.verifier._verdicts import NOT_FOUND, KeyInfo, Verdict
from keywright.keys.cache import BOUND_SECONDS, KeyCache, LookUp
from keywright.keys.format import MAX_LENGTH, digest_of, is_private_key
from keywright.keys.rate_limiter import UNLIMITED, InMemoryRateLimiter, LimitState
from keywright.keys.usage import UsageRecord
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, Requirements, explain, judge


class UncachedRequest(NamedTuple):
    """
    A request that the cache cannot answer: the arguments of `Verifier.verify`.

    `request_key` is the key under which its verdict is cached; it holds the digest of *text*, not the text.
    """

    text: str
    request_key: RequestKey
    explain: bool = False
    cost: int = 1
    metadata: bool = False

    @property
    def digest(self) -> bytes:
        """The digest of the presented text."""
        return self.request_key[0]

    @property
    def requirements(self) -> Requirements:
        """The requirements of the request for the key."""
        return _requirements(*self.request_key[1:4])


class LocalChecker:
    """
    The cache of one process, and all decisions from it, from its start to its end.

    Args:
        brand: The first part of every key of the service.
        capacity: How many keys to cache.
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
        self._lock = Lock()
        self._cache = KeyCache(capacity)
        self._rate_limiter = InMemoryRateLimiter(capacity, share=limit_share)
        self._verdicts = CachedVerdicts()
        # The same time as in `_cache`, the bound added: the hot path compares two numbers.
        self._fresh_until = -inf
        # The number of invalidations; a verdict from before the last one may be wrong now.
        self._changes = 0
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
        if user_agent is not None and len(user_agent) > LONGEST_AGENT:
            user_agent = user_agent[:LONGEST_AGENT]
        request = (presented, scopes, environment, client_ip, user_agent)
        now = self.clock()
        with self._lock:
            if now > self._fresh_until:
                # A cached digest belongs to exactly one text, which was well-formed: it needs no parsing.
                if self._cache.get(presented) is not None:
                    return UncachedRequest(text, request, with_explanation, cost, with_metadata)
            else:
                now += self._epoch
                # Since the cached verdict no key was invalidated, and this key has not expired.
                cached = self._verdicts.recent.get(request)
                if (
                    cached is not None
                    and cached.changes == self._changes
                    and now < cached.until
                    and (not with_metadata or cached.has_metadata)
                ):
                    cached.count += 1
                    cached.last = now
                    return cached.verdict
                facts = self._cache.get(presented)
                if facts is not None:
                    if with_metadata and facts.metadata is None:
                        return UncachedRequest(text, request, with_explanation, cost, with_metadata)
                    return self._judge(request, facts, now, with_explanation, cost)
        return (
            UncachedRequest(text, request, with_explanation, cost, with_metadata)
            if is_private_key(text, brand=self._brand)
            else NOT_FOUND
        )

    def decide_again(self, request: UncachedRequest) -> Verdict | UncachedRequest:
        """Decide from memory once more: the answer to the same request may have come in the meantime."""
        return self.decide(request.text, *request.request_key[1:], request.explain, request.cost, request.metadata)

    def only_service_tells(self, request: UncachedRequest) -> bool:
        """Tell whether the request needs metadata that is too long for the cache."""
        with self._lock:
            facts = self._cache.get(request.digest) if request.metadata else None
        return facts is not None and facts.metadata is None

    def begin(self, request: UncachedRequest) -> LookUp:
        """Begin a look-up, before the request is sent; to be ended by `end`."""
        with self._lock:
            return self._cache.begin(request.digest)

    def end(self, look_up: LookUp, answer: Answer | None) -> bool:
        """
        End a look-up: cache its answer, None if there is none; tell whether a change overtook it.

        An answer that is stale, or has facts that this version cannot judge, is not cached.
        """
        with self._lock:
            self._cache.end(look_up, answer.facts if answer is not None and answer.cacheable else None)
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
            facts = self._cache.get(request.digest)
            now = self.clock()
            if facts is None or (request.metadata and facts.metadata is None):
                return None
            # The outage time begins at the last sync, so without the bound that `fresh_at` adds.
            if not self._cache.fresh_at(now, grace=self.outage_seconds - BOUND_SECONDS):
                return None
            code = judge(facts, request.requirements, now + self._epoch)
            return self._answer(request, facts, code, now + self._epoch, stale=now > self._fresh_until)

    def synced(self, since: float) -> None:
        """Note that all changes before *since*, on the monotonic clock, have been applied."""
        with self._lock:
            self._cache.synced(since)
            self._fresh_until = max(self._fresh_until, since + BOUND_SECONDS)

    def drop(self, digests: Iterable[bytes]) -> None:
        """Invalidate keys that changed."""
        with self._lock:
            self._changes += 1
            self._cache.drop(digests)

    def drop_all(self) -> None:
        """Invalidate all keys, because any of them may have changed."""
        with self._lock:
            self._changes += 1
            self._cache.drop_all()

    def forget(self) -> None:
        """Remove everything at the end; no key is accepted afterwards."""
        with self._lock:
            self._changes += 1
            self._cache.drop_all()
            self._rate_limiter.clear()
            self.outage_seconds = 0
            self._fresh_until = -inf

    def set_time(self, time: float, slack: float, received: float) -> float:
        """
        Set the clock by the service's, which showed *time*, in seconds of the epoch, at most *slack* before *received*.

        The clock is moved only as far as that proves it wrong.

        Returns:
            The proven error of this machine's own clock, in seconds.
        """
        with self._lock:
            self._epoch = min(max(received + self._epoch, time), time + slack) - received
        shown = self._wall()
        self.clock_error_seconds = shown - min(max(shown, time), time + slack)
        return self.clock_error_seconds

    def set_usage_aside(self) -> None:
        """Set all cached verdicts aside, so that their uses are added up."""
        with self._lock:
            self._verdicts.set_aside()

    def add_up_usage(self, most: int) -> bool:
        """Add up the uses of at most *most* verdicts that were set aside; tell whether there are more."""
        with self._lock:
            return self._verdicts.add_up(most)

    def take_usage(self, most: int) -> list[UsageRecord]:
        """Remove and give at most *most* usage records, to be reported."""
        with self._lock:
            batches = self._verdicts.take_usage(most)
        return [record for records in batches for record in records]

    def _answer(self, request: UncachedRequest, facts: KeyFacts, code: Code, now: float, *, stale: bool) -> Verdict:
        """Make the verdict on a request; only under the lock."""
        verdict = self._decide(
            request.request_key, facts, request.requirements, code, now, request.explain, request.cost
        )
        return verdict._replace(stale=True) if stale else verdict

    def _judge(self, request: RequestKey, facts: KeyFacts, now: float, with_explanation: bool, cost: int) -> Verdict:
        requirements = _requirements(request[1], request[2], request[3] if facts.networks else None)
        code = judge(facts, requirements, now)
        if code is Code.VALID and not facts.rate_limits:
            return self._accept(request, facts, now)
        return self._decide(request, facts, requirements, code, now, with_explanation, cost)

    def _decide(
        self,
        request: RequestKey,
        facts: KeyFacts,
        requirements: Requirements,
        code: Code,
        now: float,
        with_explanation: bool,
        cost: int,
    ) -> Verdict:
        """Take the cost of the rate limits, where all other rules allow the request, and make the verdict."""
        decision = UNLIMITED
        if code is Code.VALID and facts.rate_limits:
            # On the monotonic clock, which is never set.
            decision = self._rate_limiter.acquire(facts.id, facts.rate_limits, self.clock(), cost)
            if not decision.allowed:
                code = Code.RATE_LIMITED
        if code is Code.VALID:
            return self._accept(request, facts, now, decision.states)
        explanation = explain(code, facts, requirements) if with_explanation else None
        return Verdict(code, KeyInfo(facts), False, explanation, decision.states, decision.retry_after)

    def _accept(self, request: RequestKey, facts: KeyFacts, now: float, limits: tuple[LimitState, ...] = ()) -> Verdict:
        # A stale verdict is cached as a fresh one: after the outage an equal request gets that.
        verdict = Verdict(Code.VALID, KeyInfo(facts), False, None, limits)
        if limits and self._verdicts.count_again(request, now):
            return verdict
        # A verdict on a key that is not cached (invalidated, or from a stale answer) would not be invalidated. And each
        # request of a key with limits takes its cost. Neither is repeated.
        repeated = not limits and self._cache.get(request[0]) is facts
        until, changes = min(facts.expires_at, facts.retires_at), self._changes if repeated else NEVER_REPEATED
        has_metadata = facts.metadata is not None
        self._verdicts.add(
            request, CachedVerdict(verdict, now, until=until, changes=changes, has_metadata=has_metadata)
        )
        return verdict


def _requirements(scopes: tuple[str, ...], environment: str | None, client_ip: str | None) -> Requirements:
    if not scopes and environment is None and client_ip is None:
        return NO_REQUIREMENTS
    return Requirements(environment=environment, scopes=scopes, client_ip=client_ip)
