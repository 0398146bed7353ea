"""
Batches: up to 100 checks in one request, each decided and counted like a single one.

The checks of a batch are answered together, so each has to be cheap: the written answer on a key is cached as long as
its verdict can be repeated.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from keywright.api.verify import bodies as verify_bodies
from keywright.api.verify.bodies import CheckOptions, KeyCheck
from keywright.keys.format import digest_of
from keywright.keys.verdict import Code
from keywright.service.checking.verdicts import Caller, KeyVerdict, RepeatableVerdict
from keywright.service.checking.verification import Checker
from keywright.service.turns import Turns

MOST_CACHED = 16_384

LOOKED_UP_TOGETHER = 16
"""How many keys of one batch are looked up at the same time, so that it takes no more of the queue than so many."""


class _CachedAnswer(NamedTuple):
    """The answer on a valid key without limits, for a check with the same options."""

    options: CheckOptions
    verdict: RepeatableVerdict
    body: bytes


class Batches:
    """
    Answers batches.

    Args:
        checker: Checks keys.
    """

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._turns = Turns(checker.monotonic, most=1, alone=1, together=1, longest=4096, longest_of_share=1024)
        self._cached: OrderedDict[bytes, _CachedAnswer] = OrderedDict()

    async def answer(self, caller: Caller, raw: bytes) -> tuple[bytes, bool]:
        """
        Answer a batch; tell, too, whether any verdict is stale.

        Keys in the cache are checked first, in the order of the batch, then all others, some at a time.

        Raises:
            Refusal: The body is not of the schema.
            Unavailable: The database or the rate limiter cannot be reached.
        """
        async with self._turns.one(caller.share):
            # The change follower runs between two batches. Without that, the cache would not be fresh after many
            # batches in a row, and every key of the next ones would be looked up.
            await asyncio.sleep(0)
            checks = verify_bodies.read_batch(raw)
            bodies = self._answer_now(caller, checks)
        waiting = [index for index, body in enumerate(bodies) if body is None]
        if not waiting:
            return _as_batch(bodies), False
        any_stale = False
        for first in range(0, len(waiting), LOOKED_UP_TOGETHER):
            some = waiting[first : first + LOOKED_UP_TOGETHER]
            answers = await asyncio.gather(*(self.answer_one(caller, checks[index]) for index in some))
            for index, (body, stale) in zip(some, answers, strict=True):
                bodies[index] = body
                any_stale = any_stale or stale
        return _as_batch(bodies), any_stale

    async def answer_one(self, caller: Caller, check: KeyCheck) -> tuple[bytes, bool]:
        """Answer one check; tell, too, whether its verdict is stale."""
        text, options = check
        verdict = await self._checker.check(
            caller, text, options.requirements, cost=options.cost, metadata=options.metadata
        )
        return verify_bodies.write_with(options, verdict), verdict.stale

    def _answer_now(self, caller: Caller, checks: Sequence[KeyCheck]) -> list[bytes | None]:
        """Answer checks from memory, with the cached answer where its verdict can be repeated; None for all others."""
        at, now = self._checker.monotonic(), self._checker.clock()
        cached_for, repeat = self._cached.get, self._checker.repeat
        bodies: list[bytes | None] = []
        for check in checks:
            text, options = check
            cached = cached_for(digest_of(text.encode())) if text.isascii() else None
            if (
                cached is not None
                and cached.options == options
                and cached.verdict.caller == caller
                and repeat(cached.verdict, at, now) is not None
            ):
                bodies.append(cached.body)
            else:
                bodies.append(self._answer_one_now(caller, check, now))
        return bodies

    def _answer_one_now(self, caller: Caller, check: KeyCheck, since: float) -> bytes | None:
        text, options = check
        verdict = self._checker.check_now(
            caller, text, options.requirements, cost=options.cost, metadata=options.metadata
        )
        if verdict is None:
            return None
        body = verify_bodies.write_with(options, verdict)
        if verdict.code is Code.VALID and verdict.rate_limits is None:
            self._keep(caller, options, verdict, body, since)
        return body

    def _keep(self, caller: Caller, options: CheckOptions, verdict: KeyVerdict, body: bytes, since: float) -> None:
        """Cache the answer to a check; *since* is a time before its verdict was given."""
        cached = self._checker.cacheable(caller, verdict, options.requirements, since)
        if cached is None:
            return
        if len(self._cached) >= MOST_CACHED:
            self._cached.popitem(last=False)
        self._cached[cached.digest] = _CachedAnswer(options, cached, body)


def _as_batch(bodies: Iterable[bytes | None]) -> bytes:
    return b'{"results":[%b]}' % b",".join(filter(None, bodies))
