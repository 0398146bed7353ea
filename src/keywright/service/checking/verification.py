"""
The use case of checking: from a presented text of anybody's making to a verdict, mostly without waiting for anything.

One flow for every caller: cache, failure limit, database, the rules of `keys.verdict`, tenant isolation, rate limits,
usage, and the count of verdicts. A text that is no key costs no look-up, and a refused key takes nothing of its limits.
`Verification` is the part up to the verdict, `Checker` all of it. Neither knows HTTP.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from keywright.keys.addresses import network_of
from keywright.keys.cache import BOUND_SECONDS, KeyCache, LookUp
from keywright.keys.digest import digest
from keywright.keys.format import is_private_key
from keywright.keys.rate_limiter import RateLimitDecision
from keywright.keys.usage import UsageBook, UsageSource, hour_end, hour_of
from keywright.keys.verdict import Code, KeyFacts, Requirements, judge
from keywright.service.checking.ports import KeyStore, RateLimiter, Seconds
from keywright.service.checking.verdicts import Caller, KeyVerdict, RepeatableVerdict
from keywright.service.faults import StorageUnavailable

MOST_FAILURES = 60
FAILURE_SECONDS = 60.0
_MOST_NETWORKS = 50_000
# Python 3.11 takes longer to look up a member of an enumeration than to call a function.
_VALID = Code.VALID


class _SharedLookUp(NamedTuple):
    """A look-up under way that several requests wait for, and when it began."""

    since: float
    look_up: LookUp
    answer: "asyncio.Task[KeyFacts | None]"


_NOT_FOUND = KeyVerdict(Code.NOT_FOUND, None, None)


class Verification:
    """
    Checks keys of one brand.

    Args:
        store: Where keys are looked up.
        known: What this process holds; whoever follows the changes empties it.
        brand: What a key of ours begins with.
        now: Seconds since the epoch.
        monotonic: Seconds on the clock that `known` is told in.
        outage_seconds: How long what is held may serve while the changes cannot be followed and the database is away.
    """

    def __init__(
        self,
        store: KeyStore,
        cache: KeyCache,
        *,
        brand: str,
        now: Seconds,
        monotonic: Seconds,
        outage_seconds: float,
    ) -> None:
        self._store = store
        self._cache = cache
        self._brand = brand
        self._now = now
        self._monotonic = monotonic
        self._outage_seconds = outage_seconds
        self._look_ups: dict[bytes, _SharedLookUp] = {}
        self.get_fresh = cache.get_fresh
        """Gives the facts in the cache by the digest of a secret, at a moment of the monotonic clock."""

    def verify_now(self, text: str, requirements: Requirements) -> KeyVerdict | None:
        """
        Decide from memory alone.

        Returns:
            The verdict, or None when the database has to be asked: `verify_elsewhere` does.
        """
        if not text.isascii():
            return _NOT_FOUND
        presented = digest(text)
        # A digest that is held belongs to exactly one text, so one that is held needs no parsing.
        facts = self.get_fresh(presented, self._monotonic())
        if facts is not None:
            return KeyVerdict(judge(facts, requirements, self._now()), facts, presented)
        if self._cache.get(presented) is None and not is_private_key(text, brand=self._brand):
            return _NOT_FOUND
        return None

    async def verify_from_store(self, text: str, requirements: Requirements, *, from_memory: bool = True) -> KeyVerdict:
        """
        Decide by the database, on a text that `verify_now` gave None for, or the facts of a key.

        Args:
            text: The presented text.
            ask: What the request requires of the key.
            from_memory: Whether a look-up that other requests wait for will do.

        Raises:
            StorageUnavailable: The database is unavailable, and the key is not in the cache, or for too long.
        """
        presented, stale = digest(text), False
        try:
            facts = await self._look_up(presented, shared=from_memory)
        except StorageUnavailable:
            facts, stale = self._cache.get(presented), True
            if facts is None or not self._cache.fresh_at(self._monotonic(), grace=self._outage_seconds):
                raise
        return (
            _NOT_FOUND
            if facts is None
            else KeyVerdict(judge(facts, requirements, self._now()), facts, presented, stale)
        )

    async def _look_up(self, presented: bytes, *, shared: bool) -> KeyFacts | None:
        """Ask the database; many requests for one key that is not held ask once."""
        if not shared:
            return await self._read(self._cache.begin(presented))
        shared_look_up = self._look_ups.get(presented)
        now = self._monotonic()
        if shared_look_up is None or not self._may_join(shared_look_up, now):
            look_up = self._cache.begin(presented)
            shared_look_up = _SharedLookUp(now, look_up, asyncio.get_running_loop().create_task(self._read(look_up)))
            self._look_ups[presented] = shared_look_up
            shared_look_up.answer.add_done_callback(lambda done: self._answered(presented, done))
        # Shielded: a caller that goes away takes nobody's answer along.
        return await asyncio.shield(shared_look_up.answer)

    def _may_join(self, shared_look_up: _SharedLookUp, now: float) -> bool:
        """
        Tell whether the answer to a question that was put before is good enough for a request that comes now.

        One that began longer ago than the bound, or that a change overtook, may have read what a revocation has undone
        since. The second would make a lie of this process's confirmation that it dropped the key. Before the changes
        were followed for the first time receipts may not know of this process, and no earlier answer is good enough.
        """
        if shared_look_up.look_up.invalidated or not self._cache.ever_synced:
            return False
        return now - shared_look_up.since <= BOUND_SECONDS

    def _answered(self, presented: bytes, done: "asyncio.Task[KeyFacts | None]") -> None:
        if (shared_look_up := self._look_ups.get(presented)) is not None and shared_look_up.answer is done:
            del self._look_ups[presented]
        if not done.cancelled():
            # Seen here, so that it is not reported as lost when every caller has gone away.
            done.exception()

    async def _read(self, look_up: LookUp) -> KeyFacts | None:
        facts = None
        try:
            facts = await self._store.find(look_up.digest)
        finally:
            self._cache.end(look_up, facts)
        return facts


class FailureLimit:
    """
    Limits look-ups of unknown keys by the network that they come from, as a bucket that leaks.

    By network alone, never by a key or its id: strangers could lock an owner out. Asked only after the checksum, so
    that typing errors do not count, and only for keys that are not in the cache, so that keys in use go on working.

    Args:
        allowed: Failures at once before a network is refused.
        seconds: How long it takes for that many to be forgotten.
        most: How many networks to watch; beyond it the oldest half is forgotten.
    """

    def __init__(
        self, *, allowed: int = MOST_FAILURES, seconds: float = FAILURE_SECONDS, most: int = _MOST_NETWORKS
    ) -> None:
        self._allowed = allowed
        self._rate = allowed / seconds
        self._half = max(1, most // 2)
        self._recent: dict[str, tuple[float, float]] = {}
        self._older: dict[str, tuple[float, float]] = {}

    def exceeded(self, network: str, now: float) -> bool:
        """Tell whether one more failure of *network* at *now*, in seconds of a monotonic clock, is one too many."""
        return self._level(network, now) + 1 > self._allowed

    def note(self, network: str, now: float) -> None:
        """Count a failure from *network* at *now*."""
        level = self._level(network, now) + 1
        self._older.pop(network, None)
        if len(self._recent) >= self._half and network not in self._recent:
            self._older, self._recent = self._recent, {}
        self._recent[network] = (level, now)

    def _level(self, network: str, now: float) -> float:
        level, since = self._recent.get(network) or self._older.get(network) or (0.0, now)
        return max(0.0, level - (now - since) * self._rate)


class Checker:
    """
    Checks keys for callers: the whole flow of a verification.

    Args:
        verification: Gives the verdict up to the rate limits.
        usage: The usage book; accepted uses are added to it.
        failures: Limits guesses by the network that they come from.
        limiter: The rate limiter of keys.
        counters: For each code a function that adds to the number of verdicts.
        now: Seconds since the epoch.
        monotonic: Seconds on the clock of the cache and of *failures*.
    """

    def __init__(
        self,
        *,
        verification: Verification,
        usage: UsageBook,
        failures: FailureLimit,
        limiter: RateLimiter,
        counters: Mapping[Code, Callable[[int], object]],
        now: Seconds,
        monotonic: Seconds,
    ) -> None:
        self.verification = verification
        self.clock = now
        self.monotonic = monotonic
        self._cached = verification.get_fresh
        self._failures = failures
        self._acquire_now, self._acquire = limiter.acquire_now, limiter.acquire
        self._note = usage.note
        self._counters = counters
        self._accepted = 0

    def check_now(
        self,
        caller: Caller,
        text: str,
        requirements: Requirements,
        *,
        cost: int = 1,
        agent: str | None = None,
        only_valid: bool = False,
    ) -> KeyVerdict | None:
        """
        Do as `check` from memory; None, with nothing counted, where database or rate limiter have to be asked.

        With *only_valid* None, with nothing counted, for a refused key, too.
        """
        found = self.verification.verify_now(text, requirements)
        verdict = None if found is None else self._take_now(_visible_to(caller, found), cost)
        if verdict is None or (only_valid and verdict.code is not _VALID):
            return None
        self._conclude(caller, verdict, requirements, agent)
        return verdict

    async def check(
        self, caller: Caller, text: str, requirements: Requirements, *, cost: int = 1, agent: str | None = None
    ) -> KeyVerdict:
        """
        Check a key for *caller*: decide, take *cost* of its rate limits, add up the use, count the verdict.

        Args:
            caller: The caller; another organization's key is not found for one of its own.
            text: The presented text: anything at all.
            ask: What the request requires of the key. A network from which too many unknown keys came is limited.
            cost: How many units of the key's limits the request takes.
            agent: The family of the customer's user agent.

        Raises:
            Unavailable: The database or the shared rate limiter cannot be reached.
        """
        found = self.verification.verify_now(text, requirements)
        if found is None:
            found = await self._look_up(text, requirements)
        verdict = self._take_now(_visible_to(caller, found), cost)
        if verdict is None:
            # The key is valid and visible; only the rate limiter is left to answer.
            facts = cast("KeyFacts", found.facts)
            verdict = limited(found, await self._acquire(facts.id, facts.rate_limits, cost))
        self._conclude(caller, verdict, requirements, agent)
        return verdict

    async def facts_for(self, caller: Caller, text: str, requirements: Requirements) -> KeyVerdict:
        """
        Give the state of a key to an in-process verifier, which decides on requests from then on.

        The facts come from the database. The verifier counts the key's rate limits and reports its usage.

        Raises:
            StorageUnavailable: The database cannot be reached, and the cache is too old to stand in for it.
        """
        found = self.verification.verify_now(text, requirements)
        if found is None or found.facts is not None:
            found = await self._look_up(text, requirements, cached=found is not None, shared=False)
        verdict = _visible_to(caller, found)
        self._record(verdict, None, self.clock())
        return verdict

    def cacheable(
        self, caller: Caller, verdict: KeyVerdict, requirements: Requirements, since: float, *, cost: int = 1
    ) -> RepeatableVerdict | None:
        """
        Prepare a verdict of `check_now` for `repeat`; None where it cannot be repeated.

        Args:
            caller: For whom it was given.
            verdict: The verdict.
            ask: What the request required.
            since: A time before the verdict was given, so that a key that expired meanwhile is not repeated as valid.
            cost: As for `check_now`.
        """
        facts, presented = verdict.facts, verdict.digest
        if facts is None or presented is None or verdict.code is Code.RATE_LIMITED:
            return None
        ends = (facts.expires_at, facts.retires_at, hour_end(since))
        until = min(end for end in ends if end > since)
        bare, source = KeyVerdict(verdict.code, facts, presented), _source(caller, verdict, requirements, None, since)
        return RepeatableVerdict(caller, bare, facts, presented, cost, since, until, source)

    def repeat(self, cached: RepeatableVerdict, at: float, now: float) -> KeyVerdict | None:
        """
        Check a key again; None, with nothing counted, where `check` has to.

        Args:
            cached: The verdict that the same request got before.
            at: A reading of `monotonic`.
            now: A reading of `clock`.
        """
        _, verdict, facts, presented, cost, since, until, source = cached
        if self._cached(presented, at) is not facts or not since <= now < until:
            return None
        # Most requests pass here, so this is flat where `_take_now` and `_record` are called otherwise.
        if source is None:
            self._counters[verdict.code](1)
            return verdict
        if facts.rate_limits:
            decision = self._acquire_now(facts.id, facts.rate_limits, cost)
            if decision is None:
                return None
            if not decision.allowed:
                self._counters[Code.RATE_LIMITED](1)
                return limited(verdict, decision)
            verdict = _new(KeyVerdict, (_VALID, facts, presented, False, decision))
        self._note(source, now)
        self._accepted += 1
        if self._accepted == 1:
            asyncio.get_running_loop().call_soon(self._count_accepted)
        return verdict

    async def _look_up(
        self, text: str, requirements: Requirements, *, cached: bool = False, shared: bool = True
    ) -> KeyVerdict:
        # A key that is in the cache is no guess, so there is no failure to expect.
        network = None if cached else network_of(requirements.client_ip)
        if network is not None and self._failures.exceeded(network, self.monotonic()):
            return KeyVerdict(Code.RATE_LIMITED, None, None)
        verdict = await self.verification.verify_from_store(text, requirements, from_memory=shared)
        if network is not None and verdict.code is Code.NOT_FOUND:
            self._failures.note(network, self.monotonic())
        return verdict

    def _take_now(self, verdict: KeyVerdict, cost: int) -> KeyVerdict | None:
        """Take the cost of the limits of a valid key; None where the rate limiter has to be awaited."""
        facts = verdict.facts
        if verdict.code is _VALID and facts is not None and facts.rate_limits:
            decision = self._acquire_now(facts.id, facts.rate_limits, cost)
            return None if decision is None else limited(verdict, decision)
        return verdict

    def _conclude(self, caller: Caller, verdict: KeyVerdict, requirements: Requirements, agent: str | None) -> None:
        now = self.clock()
        self._record(verdict, _source(caller, verdict, requirements, agent, now), now)

    def _record(self, verdict: KeyVerdict, source: UsageSource | None, now: float) -> None:
        """Add up the use of a valid key, and count the verdict."""
        code = verdict.code
        if code is not _VALID:
            self._counters[code](1)
            return
        if source is not None:
            self._note(source, now)
        self._accepted += 1
        if self._accepted == 1:
            # One addition to the counter for all that the loop answers in one go.
            asyncio.get_running_loop().call_soon(self._count_accepted)

    def _count_accepted(self) -> None:
        self._counters[Code.VALID](self._accepted)
        self._accepted = 0


def limited(verdict: KeyVerdict, decision: RateLimitDecision) -> KeyVerdict:
    """Give the verdict on a valid key after the decision of the rate limiter."""
    code = verdict.code if decision.allowed else Code.RATE_LIMITED
    return _new(KeyVerdict, (code, verdict.facts, verdict.digest, verdict.stale, decision))


def _visible_to(caller: Caller, verdict: KeyVerdict) -> KeyVerdict:
    """Hide another organization's key from a caller that may learn of its own only."""
    if caller.org_id is None or verdict.facts is None or verdict.facts.org_id == caller.org_id:
        return verdict
    return KeyVerdict(Code.NOT_FOUND, None, None, verdict.stale)


def _source(
    caller: Caller, verdict: KeyVerdict, requirements: Requirements, agent: str | None, now: float
) -> UsageSource | None:
    """Give the source of a use; None where the key was refused."""
    facts, presented = verdict.facts, verdict.digest
    if verdict.code is not _VALID or facts is None or presented is None:
        return None
    return UsageSource(presented, hour_of(now), network_of(requirements.client_ip), agent, facts.id, caller.name)


# What the constructor of a named tuple calls, in a third of the time.
_new = tuple.__new__
