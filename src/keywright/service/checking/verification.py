"""
The use case of checking: from a presented text to a verdict, mostly from memory.

One flow for every caller: cache, failure limit, database, the rules of `keys.verdict`, tenant isolation, rate limits,
usage, and the count of verdicts. A text that is no key costs no look-up, and a refused key takes nothing of its limits.
A use, and a refusal of a key whose secret was right, is added up unless the request costs nothing; a key that is hidden
from the caller has neither.
`Verification` is the part up to the verdict, `Checker` all of it. Neither knows HTTP.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from keywright.keys.addresses import network_number, network_of, packed
from keywright.keys.cache import KeyCache
from keywright.keys.format import digest, is_private_key
from keywright.keys.rate_limiter import RateLimitDecision
from keywright.keys.usage import UsageBook
from keywright.keys.usage_records import CallerName
from keywright.keys.verdict import Code, KeyFacts, Requirements, judge, passes
from keywright.service.checking.failure_limit import FailureLimit
from keywright.service.checking.look_ups import LookUps, Waiter
from keywright.service.checking.ports import KeyStore, RateLimiter, Seconds
from keywright.service.checking.verdicts import NOT_FOUND, Caller, KeyVerdict, limited, visible_to
from keywright.service.fair_queue import Share
from keywright.service.faults import Overloaded, StorageUnavailable
from keywright.service.turns import OnWait, Turns

# Python 3.11 takes longer to look up a member of an enumeration than to call a function.
_VALID = Code.VALID

Accepted = tuple[KeyFacts, RateLimitDecision | None]
"""The facts of a valid key, and the decision on its rate limits; None for a key without limits."""

OnRefused = Callable[[Caller, Code, str | None], object]


class Verification:
    """
    Checks keys of one brand.

    Args:
        store: Where keys are looked up.
        cache: The cached keys; the change follower invalidates them.
        brand: The first part of a key's text.
        now: Seconds since the epoch.
        monotonic: Seconds on the clock of *cache*.
        outage_seconds: How long cached keys are accepted while the database is unavailable.
        turns: Of the look-ups of metadata of each caller; None for any number at once.
        on_wait: As for `LookUps`.
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
        turns: Turns | None = None,
        on_wait: OnWait = lambda seconds: None,
    ) -> None:
        self._cache = cache
        self._brand = brand
        self._now = now
        self._monotonic = monotonic
        self._outage_seconds = outage_seconds
        self._look_ups = LookUps(store, cache, monotonic=monotonic, turns=turns, on_wait=on_wait)
        self.find = self._look_ups.find
        """See `LookUps.find`."""
        self.is_fresh = cache.fresh_at
        self.get_fresh = cache.get_fresh
        """Gives cached facts by digest and monotonic time; None while the cache is not fresh."""

    def verify_now(self, text: str, required: Requirements) -> KeyVerdict | None:
        """Decide from memory alone; None when it takes the database: see `verify_from_store`."""
        if not text.isascii():
            return NOT_FOUND
        presented = digest(text)
        # A cached digest belongs to exactly one text, which was well-formed: it needs no parsing.
        facts = self.get_fresh(presented, self._monotonic())
        if facts is not None:
            return KeyVerdict(judge(facts, required, self._now()), facts, presented)
        is_unknown = self._cache.get(presented) is None and not is_private_key(text, brand=self._brand)
        return NOT_FOUND if is_unknown else None

    def is_cached(self, text: str) -> bool:
        """Tell whether a key is in the cache, fresh or not; *text* is ASCII."""
        return self._cache.get(digest(text)) is not None

    def takes_look_up(self, text: str, presented: bytes) -> bool:
        """Tell whether *text*, with this digest, may be a key, and none in the cache."""
        return self._cache.get(presented) is None and is_private_key(text, brand=self._brand)

    async def verify_from_store(
        self, text: str, required: Requirements, share: Share = None, *, from_memory: bool = True
    ) -> KeyVerdict:
        """
        Decide with facts from the database, where `verify_now` gave None or its verdict is not new enough.

        Args:
            text: The presented text.
            required: What the request requires of the key.
            share: Whose turn a look-up takes.
            from_memory: Whether the look-up of another request may be shared.

        Raises:
            Overloaded: Too many look-ups of the share wait.
            StorageUnavailable: The database is unavailable, and the key is not cached or the outage time is over.
        """
        presented, stale = digest(text), False
        try:
            facts = await self._look_ups.find(presented, share, shared=from_memory)
        except StorageUnavailable:
            facts, stale = self._cache.get(presented), True
            if facts is None or not self._cache.fresh_at(self._monotonic(), grace=self._outage_seconds):
                raise
        return NOT_FOUND if facts is None else KeyVerdict(judge(facts, required, self._now()), facts, presented, stale)

    async def with_metadata(self, verdict: KeyVerdict, share: Share = None) -> KeyVerdict:
        """
        Add the metadata of the key to its facts where they do not contain it; `not_found` where the key is gone by now.

        Args:
            verdict: The verdict.
            share: Whose turn a look-up takes.

        Raises:
            Overloaded: Too many look-ups of the share wait.
            StorageUnavailable: The database is unavailable; metadata that is not cached cannot be told.
        """
        facts, presented = verdict.facts, verdict.digest
        if facts is None or presented is None or facts.metadata is not None:
            return verdict
        metadata = await self._look_ups.find_metadata(presented, share)
        return NOT_FOUND if metadata is None else verdict._replace(facts=replace(facts, metadata=metadata))


class Checker:
    """
    Checks keys for callers: the whole flow of a verification.

    Args:
        verification: Gives the verdict up to the rate limits.
        usage: The usage book.
        failures: The failure limit.
        limiter: The rate limiter.
        counters: For each code a function that adds to the number of verdicts.
        on_refused: Called for each refused key with the caller, the code, and the network of the caller's customer.
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
        on_refused: OnRefused = lambda _caller, _code, _network: None,
    ) -> None:
        self.verification = verification
        self._on_refused = on_refused
        self.clock = now
        self.monotonic = monotonic
        self._cached = verification.get_fresh
        self._failures = failures
        self._acquire_now, self._acquire = limiter.acquire_now, limiter.acquire
        self._note, self._note_refusal = usage.note, usage.note_refusal
        self.verifier_number, self.caller_of = usage.verifier_number, usage.caller_of
        """Give the number of a caller for `accept`: see `UsageBook`."""
        self._counters, self._count_valid = counters, counters[_VALID]
        self._accepted = 0

    def check_now(
        self,
        caller: Caller,
        text: str,
        required: Requirements,
        *,
        cost: int = 1,
        agent: str | None = None,
        metadata: bool = False,
    ) -> KeyVerdict | None:
        """
        Check a key as `check` does, from memory; None, with nothing counted, where that takes a database or Redis.

        With *metadata* also for a key whose facts do not contain it.
        """
        found = self.verification.verify_now(text, required)
        if found is None or (metadata and found.facts is not None and found.facts.metadata is None):
            return None
        verdict = self._take_now(visible_to(caller, found), cost)
        if verdict is None:
            return None
        self._conclude(caller, verdict, required, cost, agent)
        return verdict

    def accept(
        self,
        presented: bytes,
        scopes: Sequence[str],
        environment: str | None,
        address: int,
        cost: int,
        org_id: bytes | None,
        caller: int | CallerName,
        at: float,
        now: float,
        metadata: bool = False,
    ) -> Accepted | None:
        """
        Check a key as `check` does, from the cache, where it is valid; None, with nothing counted, for all else.

        All else is for `check`: a refused key, one that is not cached and prepared, limits that are not counted in this
        process.

        Args:
            presented: The digest of the presented text.
            scopes: What the request requires, as `environment`; None for any.
            address: Of `addresses.packed`.
            cost: How many units of the key's limits it takes; 0 is no use.
            org_id: The only organization whose keys the caller may check; None for a verifier.
            caller: Of `verifier_number`, or the arguments of `caller_of`, which is called for an accepted key only.
            at: A reading of `monotonic`; `now` is one of `clock`.
            metadata: Whether the facts have to contain the metadata.
        """
        facts = self._cached(presented, at)
        if facts is None or not facts.body or not passes(facts, scopes, environment, address, now):
            return None
        if (org_id is not None and org_id != facts.org_id) or (metadata and facts.metadata is None):
            return None
        decision = self._acquire_now(facts.id, facts.rate_limits, cost) if facts.rate_limits else None
        if facts.rate_limits and (decision is None or not decision.allowed):
            return None
        if cost:
            number = self.caller_of(*caller) if isinstance(caller, tuple) else caller
            self._note(facts.id, presented, network_number(address), number, now)
        self._count_one()
        return facts, decision

    def _count_one(self) -> None:
        self._accepted += 1
        if self._accepted == 1:
            # One addition to the counter for all verdicts of one turn of the event loop.
            asyncio.get_running_loop().call_soon(self._count_accepted)

    async def check(
        self,
        caller: Caller,
        text: str,
        required: Requirements,
        *,
        cost: int = 1,
        agent: str | None = None,
        metadata: bool = False,
    ) -> KeyVerdict:
        """
        Check a key: decide, take *cost* of its rate limits, add up the use or the refusal, count the verdict.

        Args:
            caller: The caller; with `org_id` the keys of other organizations are `not_found`.
            text: The presented text: anything at all.
            required: What the request requires; the failure limit applies to the network of its address.
            cost: How many units of the key's limits the request takes; 0 only looks: nothing is added up.
            agent: The family of the customer's user agent.
            metadata: Whether the facts have to contain the metadata; long ones are read from the database.

        Raises:
            Unavailable: The database or the shared rate limiter cannot be reached.
        """
        found = self.verification.verify_now(text, required)
        if found is None:
            found = await self._look_up(caller, text, required)
        found = visible_to(caller, found)
        if metadata:
            # Before the limits are taken: without an answer nothing is counted.
            found = await self.verification.with_metadata(found, caller.share)
        verdict = self._take_now(found, cost)
        if verdict is None:
            # The key is valid and visible; only the rate-limit decision is missing.
            facts = cast("KeyFacts", found.facts)
            verdict = limited(found, await self._acquire(facts.id, facts.rate_limits, cost))
        self._conclude(caller, verdict, required, cost, agent)
        return verdict

    def look_up(self, caller: Caller, text: str, presented: bytes, address: str | None) -> Waiter | None:
        """
        Look up the key of a request that `accept` could not accept; None where `check` has to decide.

        None is for a key that is cached, or whose verdict takes no look-up; for a cache that is not fresh, so that it
        would not have the key afterwards; and for a caller above its failure limit or with a full queue.

        Args:
            caller: The caller, which is a verifier.
            text: The presented text: anything at all.
            presented: Its digest.
            address: The address of the request.
        """
        monotonic, verification = self.monotonic(), self.verification
        if not verification.is_fresh(monotonic) or self._failures.exceeded(caller, address, monotonic):
            return None
        if not verification.takes_look_up(text, presented):
            return None
        try:
            return verification.find(presented, caller.share, shared=True)
        except Overloaded:
            return None

    def refuse_unknown(self, caller: Caller, address: str | None) -> None:
        """Count a request whose `look_up` found no key."""
        self._failures.note(caller, address, self.monotonic())
        self._refuse(caller, Code.NOT_FOUND, network_of(address))

    async def facts_for(
        self, caller: Caller, text: str, required: Requirements, *, metadata: bool = False
    ) -> KeyVerdict:
        """
        Give the facts of a key, read from the database, to an in-process verifier; it counts limits and usage itself.

        Args:
            caller: As for `check`.
            text: As for `check`.
            required: As for `check`.
            metadata: As for `check`.

        Raises:
            StorageUnavailable: The database cannot be reached, and the outage time is over.
        """
        found = self.verification.verify_now(text, required)
        if found is None or found.facts is not None:
            found = await self._look_up(caller, text, required, shared=False)
        verdict = visible_to(caller, found)
        if metadata:
            verdict = await self.verification.with_metadata(verdict, caller.share)
        if verdict.facts is None:
            self._count(caller, verdict, required)
        elif verdict.code is not _VALID:
            # The verifier decides by these facts, and reports its verdict.
            self._on_refused(caller, verdict.code, network_of(required.client_ip))
        return verdict

    async def _look_up(self, caller: Caller, text: str, required: Requirements, *, shared: bool = True) -> KeyVerdict:
        address = required.client_ip
        # The failure limit is for guesses, and a cached key is none, even while the cache is not fresh.
        if self._failures.exceeded(caller, address, self.monotonic()) and not self.verification.is_cached(text):
            return KeyVerdict(Code.RATE_LIMITED, None, None)
        verdict = await self.verification.verify_from_store(text, required, caller.share, from_memory=shared)
        if verdict.code is Code.NOT_FOUND:
            self._failures.note(caller, address, self.monotonic())
        return verdict

    def _take_now(self, verdict: KeyVerdict, cost: int) -> KeyVerdict | None:
        """Take the cost of the limits of a valid key; None where the rate limiter has to be awaited."""
        facts = verdict.facts
        if verdict.code is _VALID and facts is not None and facts.rate_limits:
            decision = self._acquire_now(facts.id, facts.rate_limits, cost)
            return None if decision is None else limited(verdict, decision)
        return verdict

    def _conclude(
        self, caller: Caller, verdict: KeyVerdict, required: Requirements, cost: int, agent: str | None
    ) -> None:
        """Add up the use or the refusal of a key whose secret was right, and count the verdict."""
        facts, presented = verdict.facts, verdict.digest
        if cost and facts is not None and presented is not None:
            network, now = network_number(packed(required.client_ip)), self.clock()
            if verdict.code is _VALID:
                self._note(facts.id, presented, network, self._number_of(caller, agent), now)
            else:
                self._note_refusal(facts.id, presented, network, (caller.name, agent), verdict.code, now)
        self._count(caller, verdict, required)

    def _number_of(self, caller: Caller, agent: str | None) -> int:
        if agent is None and caller.verifier is not None:
            return self.verifier_number(caller.name)
        return self.caller_of(caller.name, agent)

    def _count(self, caller: Caller, verdict: KeyVerdict, required: Requirements) -> None:
        if verdict.code is _VALID:
            self._count_one()
        else:
            self._refuse(caller, verdict.code, network_of(required.client_ip))

    def _refuse(self, caller: Caller, code: Code, network: str | None) -> None:
        """Count and report a refusal; see `OnRefused`."""
        self._counters[code](1)
        self._on_refused(caller, code, network)

    def _count_accepted(self) -> None:
        self._count_valid(self._accepted)
        self._accepted = 0
