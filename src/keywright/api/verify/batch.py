"""
Batches: up to 100 checks in one request, each decided and counted like a single one.

The checks of a batch are answered together, so each has to be cheap: a valid key in the cache is accepted, and its
answer joined, as `fast_path` does for one request. All other checks take the way of a single one that is refused or
looked up.
"""

import asyncio
from collections.abc import Iterable, Sequence

from keywright.api.verify import bodies as verify_bodies
from keywright.api.verify.bodies import KeyCheck, PlainRequest, accept, check_of
from keywright.keys.format import digest_of
from keywright.service.checking.verdicts import Caller
from keywright.service.checking.verification import Checker
from keywright.service.turns import Turns

LOOKED_UP_TOGETHER = 16
"""How many keys of one batch are looked up at the same time, so that it takes no more of the queue than so many."""

_Answers = list[bytes | KeyCheck]


class Batches:
    """
    Answers batches.

    Args:
        checker: Checks keys.
    """

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._turns = Turns(checker.monotonic, most=1, alone=1, together=1, longest=4096, longest_of_share=1024)

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
            answers = self._answer_now(caller, raw)
        waiting = [(index, check) for index, check in enumerate(answers) if isinstance(check, KeyCheck)]
        any_stale = False
        for first in range(0, len(waiting), LOOKED_UP_TOGETHER):
            some = waiting[first : first + LOOKED_UP_TOGETHER]
            found = await asyncio.gather(*(self.answer_one(caller, check) for _, check in some))
            for (index, _), (body, stale) in zip(some, found, strict=True):
                answers[index] = body
                any_stale = any_stale or stale
        return _as_batch(answers), any_stale

    async def answer_one(self, caller: Caller, check: KeyCheck) -> tuple[bytes, bool]:
        """Answer one check; tell, too, whether its verdict is stale."""
        verdict = await self._checker.check(
            caller, check.text, check.requirements, cost=check.cost, metadata=check.metadata
        )
        return verify_bodies.write(check, verdict), verdict.stale

    def _answer_now(self, caller: Caller, raw: bytes) -> _Answers:
        """Answer what can be answered from memory; the checks that remain stand in the places of their answers."""
        plain = verify_bodies.read_plain_batch(raw)
        if plain is None:
            return [self._answer_one_now(caller, check) for check in verify_bodies.read_batch(raw)]
        return self._accept_all(caller, plain)

    def _accept_all(self, caller: Caller, requests: Sequence[PlainRequest]) -> _Answers:
        checker = self._checker
        at, now = checker.monotonic(), checker.clock()
        number = (caller.name, None) if caller.verifier is None else checker.verifier_number(caller.name)
        return [
            accept(checker, each, digest_of(each.key.encode()), caller.org_id, number, at, now)
            or self._answer_one_now(caller, check_of(each))
            for each in requests
        ]

    def _answer_one_now(self, caller: Caller, check: KeyCheck) -> bytes | KeyCheck:
        verdict = self._checker.check_now(
            caller, check.text, check.requirements, cost=check.cost, metadata=check.metadata
        )
        return check if verdict is None else verify_bodies.write(check, verdict)


def _as_batch(answers: Iterable[bytes | KeyCheck]) -> bytes:
    return b'{"results":[%b]}' % b",".join(each for each in answers if isinstance(each, bytes))
