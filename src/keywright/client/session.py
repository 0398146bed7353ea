"""
One start of a verifier to its end, on one event loop: questions asked, the feed followed, uses reported.

What is decided is decided in `checking` and `following`; here is what is waited for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from keywright.client.checking import Checking, Question
from keywright.client.clocks import Clock
from keywright.client.errors import KeywrightError, ServiceUnavailable
from keywright.client.feed import Feed
from keywright.client.following import Following
from keywright.client.reports import Reports
from keywright.client.service_answers import Answer
from keywright.client.service_calls import MOST_LOOK_UPS, NoAnswerInTime, ServiceCalls, Timing
from keywright.client.tasks import end_tasks
from keywright.client.verdicts import Verdict
from keywright.keys.known import BOUND_SECONDS, LookUp
from keywright.keys.verdict import Code

STOOD_STILL_SECONDS = 0.5
"""How late the end of a question's time must be noticed to say that this process did not run meanwhile."""

_CLOSED = "This verifier has been closed."

_logger = logging.getLogger("keywright.client")


class _Asked(NamedTuple):
    """A question that is with the service, when it was put, and what tells whether a change overtook it."""

    since: float
    question: Question
    look_up: LookUp
    answer: asyncio.Task[Answer]


class Session:
    """
    Runs one verifier, from its creation on.

    Args:
        checking: Decides, and holds what is known.
        calls: Reach the service; closed with the session.
        timing: How long to wait for what.
        parameters: What the service is told of this process, such as its name.
        clock: The one that *checking* is told in.
    """

    def __init__(
        self, checking: Checking, calls: ServiceCalls, timing: Timing, *, parameters: dict[str, str], clock: Clock
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.checking = checking
        self._calls = calls
        self._timing = timing
        self._clock = clock
        self._reports = Reports(checking, calls, timing)
        self._asked: dict[bytes, _Asked] = {}
        self._asking: set[asyncio.Task[Answer]] = set()
        self._turns = asyncio.Semaphore(MOST_LOOK_UPS)
        # Set when the service let a question wait until it was given up, until it says anything again.
        self._silent = False
        self._ending = False
        parameters = {"session": str(checking.session), **parameters}
        feed = Feed(Following(checking, clock), calls, timing, parameters=parameters, heard=self._heard)
        self._feed = self.loop.create_task(self._follow(feed), name="keywright feed")

    async def ask(self, question: Question) -> Verdict:
        """
        Decide what memory alone could not.

        Raises:
            ServiceUnavailable: The service cannot be asked, and what is held does not answer.
            CredentialRefused: The service does not accept this verifier.
        """
        verdict = self._without_waiting(question) if self._silent else None
        if verdict is not None:
            return verdict
        try:
            answer = await self._look_up(question)
            verdict = self.checking.answered(question, answer)
            if verdict is None:
                answer = await self._answer(self._start(self._within_time(self._calls.verify, question)))
                verdict = answer.verdict
        except ServiceUnavailable:
            verdict = self.checking.in_outage(question)
            if verdict is None:
                raise
        return verdict

    async def close(self) -> None:
        """End: forget everything, report what is left, take leave. Takes a bounded time, and never fails."""
        self._ending = True
        self.checking.forget()
        await self._calls.connected()
        await end_tasks(self._asking)
        try:
            async with asyncio.timeout(self._timing.end):
                # Before the feed is left, so that the service hears a goodbye and not that a connection broke.
                await self._reports.finish()
        except (TimeoutError, KeywrightError) as error:
            _logger.info("the last report did not reach the service: %s", str(error) or "no answer in time")
        finally:
            await self._calls.connected()
            await end_tasks([self._feed])

    async def _follow(self, feed: Feed) -> None:
        try:
            await feed.follow()
        finally:
            # Here, so that it happens, too, when the loop ends over a verifier that nobody closed.
            await self._calls.close()

    def _heard(self, dropped: list[int]) -> None:
        self._silent = False
        self._reports.greeted()
        self._reports.dropped(dropped)

    def _without_waiting(self, question: Question) -> Verdict | None:
        """
        Answer from memory while the service is silent.

        To wait for it with every request would stop an API server that could go on. One question at a time keeps
        trying, and so does the feed.
        """
        verdict = self.checking.in_outage(question)
        if verdict is not None and not self._asking:
            self._put(question)
        return verdict

    async def _look_up(self, question: Question) -> Answer:
        """Ask, or wait for the answer to the same question that somebody else asked just now."""
        asked = self._asked.get(question.digest)
        if asked is None or not self._may_join(asked):
            asked = self._put(question)
        answer = await self._answer(asked.answer)
        if answer.code is Code.RATE_LIMITED and answer.facts is None and asked.question is not question:
            # Said of the other one's address, not of this one's.
            answer = await self._answer(self._put(question).answer)
        return answer

    def _may_join(self, asked: _Asked) -> bool:
        """
        Tell whether the answer to a question that was put before is good enough for one that is put now.

        One that was put longer ago than the bound, or that a change overtook, may tell what a revocation has undone
        since. The second would make a lie of the confirmation that the key was dropped. Before the feed was followed
        for the first time receipts may not know of this process, and nobody else's answer is good enough.
        """
        if asked.look_up.overtaken or not self.checking.ever_followed:
            return False
        return self._clock() - asked.since <= BOUND_SECONDS

    def _put(self, question: Question) -> _Asked:
        since, look_up = self._clock(), self.checking.begin(question)
        asked = _Asked(since, question, look_up, self._start(self._read(question, look_up)))
        self._asked[question.digest] = asked
        asked.answer.add_done_callback(lambda _: self._put_away(asked))
        return asked

    def _put_away(self, asked: _Asked) -> None:
        if self._asked.get(asked.question.digest) is asked:
            del self._asked[asked.question.digest]

    def _start(self, asking: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        if self._ending:
            asking.close()
            raise ServiceUnavailable(_CLOSED)
        task = self.loop.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        # Looked at, so that a failure is not reported as lost when everybody who waited for it has gone away.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _answer(self, task: asyncio.Task[Answer]) -> Answer:
        # Shielded: whoever goes away takes nobody's answer along.
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and self._ending:
                raise ServiceUnavailable(_CLOSED) from None
            raise

    async def _read(self, question: Question, look_up: LookUp) -> Answer:
        """Look a key up, and once more when it changed in the meantime."""
        answer, overtaken = await self._read_once(question, look_up)
        return (await self._read_once(question, self.checking.begin(question)))[0] if overtaken else answer

    async def _read_once(self, question: Question, look_up: LookUp) -> tuple[Answer, bool]:
        answer: Answer | None = None
        try:
            answer = await self._within_time(self._calls.look_up, question)
        finally:
            overtaken = self.checking.end(look_up, answer)
        return answer, overtaken

    async def _within_time(self, call: Callable[[Question], Awaitable[Answer]], question: Question) -> Answer:
        """Ask; and once more when the time is over only because this process stood still, as after SIGSTOP."""
        for patient in (True, False):
            began = self.loop.time()
            try:
                async with asyncio.timeout(self._timing.answer), self._turns:
                    answer = await call(question)
            except (TimeoutError, NoAnswerInTime):
                # A timer that is late says that nothing ran here. The answer may be at hand, and the service well.
                if patient and self.loop.time() - began > self._timing.answer + STOOD_STILL_SECONDS:
                    continue
                break
            self._silent = False
            return answer
        self._silent = True
        raise NoAnswerInTime("The service did not answer in time.") from None
