"""
Questions that were read, one or many at once: decided by `Checkers`, and answered as bytes.

A key that is asked about again and again is answered out of what was written before, for as long as what is held of it
is the same: in a batch there are a hundred of them, and they wait for each other.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from keywright.api import verify_answers, verify_bodies
from keywright.api.callers import Caller
from keywright.api.verify_bodies import Question, Wish
from keywright.keys.addresses import network_of
from keywright.keys.digest import digest
from keywright.keys.verdict import Code, Explanation, KeyFacts, explain
from keywright.service.usage import Place, hour_end, place_of
from keywright.service.verification import Verdict

if TYPE_CHECKING:
    from keywright.api.checking import Checkers

MOST_READY = 16_384


class _Ready(NamedTuple):
    """
    The answer on a good key without limits, as it was written before.

    It counts for the verifier of `place`, while these facts are held of the key and the same is wished, from `since`
    until `until`, in seconds since the epoch. `place` is where uses are noted.
    """

    facts: KeyFacts
    wish: Wish
    since: float
    until: float
    body: bytes
    place: Place


class Questions:
    """
    Answers questions.

    Args:
        checkers: What checking needs.
    """

    def __init__(self, checkers: "Checkers") -> None:
        self._checkers = checkers
        self._turn = asyncio.Lock()
        self._ready: OrderedDict[bytes, _Ready] = OrderedDict()

    async def answer(self, caller: Caller, question: Question, *, facts: bool = False) -> tuple[bytes, bool]:
        """Answer one question, as `Checkers.verify` decides it; tells whether the answer is stale."""
        text, wish = question
        verdict = await self._checkers.verify(caller, text, wish.ask, cost=wish.cost, facts=facts)
        explanation = self._explained(verdict, wish)
        return verify_answers.written(verdict, explanation=explanation, facts=facts), verdict.stale

    async def answer_batch(self, caller: Caller, raw: bytes) -> tuple[bytes, bool]:
        """
        Answer a batch, each question as it would be alone; tells whether any answer is stale.

        What is held is answered at once, in the order in which it was asked, and what is not by asking for all of it at
        the same time.

        Raises:
            Refusal: The body is not of the schema.
            Unavailable: Nobody can be asked.
        """
        async with self._turn:
            # The changes are followed between two batches. Many at a stretch would take so long that nothing that is
            # held counted any more, and every key of the next ones would have to be looked up.
            await asyncio.sleep(0)
            questions = verify_bodies.read_batch(raw)
            bodies = self._answer_now(caller, questions)
        waiting = [place for place, body in enumerate(bodies) if body is None]
        if not waiting:
            return _as_batch(bodies), False
        asked = await asyncio.gather(*(self.answer(caller, questions[place]) for place in waiting))
        for place, (body, _) in zip(waiting, asked, strict=True):
            bodies[place] = body
        return _as_batch(bodies), any(stale for _, stale in asked)

    def _answer_now(self, caller: Caller, questions: Sequence[Question]) -> list[bytes | None]:
        """Answer what nobody has to be asked about; None for the others."""
        at, now = self._checkers.monotonic(), self._checkers.now()
        bodies: list[bytes | None] = []
        recalled = 0
        for question in questions:
            body = self._recall(caller, question, at, now)
            if body is None:
                body = self._answer_one_now(caller, question, now)
            else:
                recalled += 1
            bodies.append(body)
        if recalled:
            self._checkers.count(Code.VALID, recalled)
        return bodies

    def _recall(self, caller: Caller, question: Question, at: float, now: float) -> bytes | None:
        """Answer as before, but for the count of verdicts; None where there is no answer that counts."""
        text, wish = question
        presented = digest(text) if text.isascii() else b""
        ready = self._ready.get(presented)
        if (
            ready is None
            or self._checkers.verification.held(presented, at) is not ready.facts
            or ready.wish != wish
            or ready.place.verifier != caller.name
            or caller.org_id is not None
            or not ready.since <= now < ready.until
        ):
            return None
        self._checkers.usage.note_at(ready.place, now)
        return ready.body

    def _answer_one_now(self, caller: Caller, question: Question, since: float) -> bytes | None:
        text, wish = question
        verdict = self._checkers.verify_now(caller, text, wish.ask, cost=wish.cost)
        if verdict is None:
            return None
        body = verify_answers.written(verdict, explanation=self._explained(verdict, wish))
        if verdict.code is Code.VALID and verdict.rate_limits is None and caller.org_id is None:
            self._keep(caller, wish, verdict, body, since)
        return body

    def _keep(self, caller: Caller, wish: Wish, verdict: Verdict, body: bytes, since: float) -> None:
        """Be ready for the same question; *verdict* is what was decided of it after *since*."""
        facts, presented = verdict.facts, verdict.digest
        if facts is None or presented is None:
            return
        if len(self._ready) >= MOST_READY:
            self._ready.popitem(last=False)
        place = place_of(facts, presented, since, verifier=caller.name, network=network_of(wish.ask.client_ip))
        until = min(facts.expires_at, facts.retires_at, hour_end(since))
        self._ready[presented] = _Ready(facts, wish, since, until, body, place)

    def _explained(self, verdict: Verdict, wish: Wish) -> Explanation | None:
        return explain(verdict.code, verdict.facts, wish.ask, self._checkers.now()) if wish.explain else None


def _as_batch(bodies: Iterable[bytes | None]) -> bytes:
    return b'{"results":[%b]}' % b",".join(filter(None, bodies))
