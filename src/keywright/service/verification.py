"""
Checking presented keys: from text of anybody's making to a verdict, mostly without asking anybody.

Order: shape and checksum, digest, memory or database, verdict, limits, use noted. A text that is no key costs no
look-up, and a key that is refused costs none of its limits.
"""

import asyncio
from typing import NamedTuple, Protocol

from keywright.keys.digest import digest
from keywright.keys.known import BOUND_SECONDS, KnownKeys, LookUp
from keywright.keys.pair import is_private_key
from keywright.keys.spending import RateLimitDecision
from keywright.keys.verdict import Ask, Code, KeyFacts, judge
from keywright.service.checking_ports import CheckingStore
from keywright.service.faults import StorageUnavailable


class Seconds(Protocol):
    """Reads a clock, in seconds."""

    def __call__(self) -> float: ...


class Verdict(NamedTuple):
    """
    What was decided of a presented key.

    `stale` where it comes from the cache because the database is unavailable. `rate_limits` is the decision on the
    key's limits, where they were counted: see `limited`.
    """

    code: Code
    facts: KeyFacts | None
    digest: bytes | None
    stale: bool = False
    rate_limits: RateLimitDecision | None = None


def limited(verdict: Verdict, decision: RateLimitDecision) -> Verdict:
    """Give what becomes of a good verdict once the key's limits were asked for the cost of the request."""
    code = verdict.code if decision.allowed else Code.RATE_LIMITED
    return Verdict(code, verdict.facts, verdict.digest, verdict.stale, decision)


class _Question(NamedTuple):
    """A look-up under way, and when it began."""

    since: float
    look_up: LookUp
    answer: "asyncio.Task[KeyFacts | None]"


_NOT_FOUND = Verdict(Code.NOT_FOUND, None, None)


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
        store: CheckingStore,
        known: KnownKeys,
        *,
        brand: str,
        now: Seconds,
        monotonic: Seconds,
        outage_seconds: float,
    ) -> None:
        self._store = store
        self._known = known
        self._brand = brand
        self._now = now
        self._monotonic = monotonic
        self._outage_seconds = outage_seconds
        self._asking: dict[bytes, _Question] = {}
        self.held = known.held
        """Gives what is known by the digest of a secret at a moment of the monotonic clock, without asking anybody."""

    def verify_now(self, text: str, ask: Ask) -> Verdict | None:
        """
        Decide from memory alone.

        Returns:
            The verdict, or None when the database has to be asked: `verify` does.
        """
        if not text.isascii():
            return _NOT_FOUND
        presented = digest(text)
        # A digest that is held belongs to exactly one text, so one that is held needs no parsing.
        facts = self.held(presented, self._monotonic())
        if facts is not None:
            return Verdict(judge(facts, ask, self._now()), facts, presented)
        if self._known.get(presented) is None and not is_private_key(text, brand=self._brand):
            return _NOT_FOUND
        return None

    async def verify(self, text: str, ask: Ask, *, from_memory: bool = True) -> Verdict:
        """
        Decide.

        Args:
            text: What was presented: anything at all, of any length.
            ask: What the request asks of the key.
            from_memory: Whether what is held may answer while it counts.

        Raises:
            StorageUnavailable: The key is not held and the database cannot be asked, or has been away for too long.
        """
        verdict = self.verify_now(text, ask)
        if verdict is not None and (from_memory or verdict.facts is None):
            return verdict
        return await self.verify_elsewhere(text, ask, from_memory=from_memory)

    async def verify_elsewhere(self, text: str, ask: Ask, *, from_memory: bool = True) -> Verdict:
        """
        Decide by the database, on a text of which `verify_now` did not say that it is no key; see `verify`.

        Args:
            from_memory: Whether an answer that others wait for will do.
        """
        presented = digest(text)
        try:
            facts = await self._look_up(presented, shared=from_memory)
        except StorageUnavailable:
            held = self._known.get(presented)
            if held is None or not self._known.trusted_at(self._monotonic(), grace=self._outage_seconds):
                raise
            return self._decide(presented, held, ask, stale=True)
        return _NOT_FOUND if facts is None else self._decide(presented, facts, ask)

    def _decide(self, presented: bytes, facts: KeyFacts, ask: Ask, *, stale: bool = False) -> Verdict:
        return Verdict(judge(facts, ask, self._now()), facts, presented, stale)

    async def _look_up(self, presented: bytes, *, shared: bool) -> KeyFacts | None:
        """Ask the database; many requests for one key that is not held ask once."""
        if not shared:
            return await self._read(self._known.begin(presented))
        question = self._asking.get(presented)
        now = self._monotonic()
        if question is None or not self._may_join(question, now):
            look_up = self._known.begin(presented)
            question = _Question(now, look_up, asyncio.get_running_loop().create_task(self._read(look_up)))
            self._asking[presented] = question
            question.answer.add_done_callback(lambda done: self._answered(presented, done))
        # Shielded: a caller that goes away takes nobody's answer along.
        return await asyncio.shield(question.answer)

    def _may_join(self, question: _Question, now: float) -> bool:
        """
        Tell whether the answer to a question that was put before is good enough for a request that comes now.

        One that began longer ago than the bound, or that a change overtook, may have read what a revocation has undone
        since. The second would make a lie of this process's confirmation that it dropped the key. Before the changes
        were followed for the first time receipts may not know of this process, and no earlier answer is good enough.
        """
        if question.look_up.overtaken or not self._known.ever_followed:
            return False
        return now - question.since <= BOUND_SECONDS

    def _answered(self, presented: bytes, done: "asyncio.Task[KeyFacts | None]") -> None:
        if (question := self._asking.get(presented)) is not None and question.answer is done:
            del self._asking[presented]
        if not done.cancelled():
            # Seen here, so that it is not reported as lost when every caller has gone away.
            done.exception()

    async def _read(self, look_up: LookUp) -> KeyFacts | None:
        facts = None
        try:
            facts = await self._store.find(look_up.digest)
        finally:
            self._known.end(look_up, facts)
        return facts
