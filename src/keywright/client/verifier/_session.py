"""
One verifier session, from start to end, on one event loop: look-ups, the change feed, reports.

`_checker` and `_feed` decide; this module waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from keywright.client.errors import ServiceUnavailable
from keywright.client.verifier._answers import Answer
from keywright.client.verifier._calls import MOST_LOOK_UPS, NoAnswerInTime, ServiceCalls, Timing, within_time
from keywright.client.verifier._checker import LocalChecker, UncachedRequest
from keywright.client.verifier._feed import Applied, Feed, session_parameters
from keywright.client.verifier._reports import Reports
from keywright.client.verifier._tasks import end_tasks
from keywright.client.verifier._verdicts import Verdict
from keywright.keys.cache import BOUND_SECONDS, LookUp
from keywright.keys.verdict import Code

CLOSED = "This verifier has been closed."


class _Pending(NamedTuple):
    """A request that the service has not answered yet, and its look-up, which a change may invalidate."""

    since: float
    request: UncachedRequest
    look_up: LookUp
    answer: asyncio.Task[Answer]


class VerifierSession:
    """
    Runs one verifier, from its creation on.

    Args:
        checker: Decides, and has the cache.
        calls: Calls of the service; closed with the session.
        timing: Time limits.
        name: The name of this process in receipts.
    """

    def __init__(self, checker: LocalChecker, calls: ServiceCalls, timing: Timing, *, name: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.checker = checker
        self._calls = calls
        self._timing = timing
        self._reports = Reports(checker, calls, timing)
        self._pending: dict[bytes, _Pending] = {}
        self._requests: set[asyncio.Task[Answer]] = set()
        self._turns = asyncio.Semaphore(MOST_LOOK_UPS)
        # True from a timeout until the next answer or event of the service.
        self._silent = False
        self._ending = False
        parameters = session_parameters(checker.session, name, checker.outage_seconds)
        feed = Feed(checker, calls, timing, parameters=parameters, received=self._received)
        self._feed = self.loop.create_task(self._follow(feed), name="keywright feed")

    async def decide(self, request: UncachedRequest) -> Verdict:
        """
        Decide a request that the cache cannot answer.

        Raises:
            ServiceUnavailable: The service is unavailable, and the key is not cached.
            CredentialRefused: The service does not accept this verifier.
        """
        verdict = self._without_waiting(request) if self._silent else None
        if verdict is not None:
            return verdict
        try:
            if not self.checker.only_service_tells(request):
                answer = await self._look_up(request)
                verdict = self.checker.answered(request, answer)
            if verdict is None:
                answer = await self._answer(self._start(self._within_time(self._calls.verify, request)))
                verdict = answer.verdict
        except ServiceUnavailable:
            verdict = self.checker.in_outage(request)
            if verdict is None:
                raise
        return verdict

    async def close(self) -> None:
        """Empty the cache, send the remaining reports, close the session. Takes a bounded time, and never fails."""
        self._ending = True
        self.checker.forget()
        await self._calls.connected()
        await end_tasks(self._requests)
        try:
            await self._reports.finish()
        finally:
            await self._calls.connected()
            await end_tasks([self._feed])

    async def _follow(self, feed: Feed) -> None:
        try:
            await feed.follow()
        finally:
            # Here, because the event loop may end before the verifier is closed.
            await self._calls.close()

    def _received(self, applied: Applied) -> None:
        self._silent = False
        self._reports.acknowledge(applied)

    def _without_waiting(self, request: UncachedRequest) -> Verdict | None:
        """
        Answer from the cache while the service does not answer in time.

        Waiting with every request would stop the API server. One request at a time and the feed go on trying.
        """
        verdict = self.checker.in_outage(request)
        if verdict is not None and not self._requests:
            self._send(request)
        return verdict

    async def _look_up(self, request: UncachedRequest) -> Answer:
        """Look up the key at the service, or wait for the pending look-up of the same key."""
        pending = self._pending.get(request.digest)
        if pending is None or not self._may_join(pending):
            pending = self._send(request)
        answer = await self._answer(pending.answer)
        if answer.code is Code.RATE_LIMITED and answer.facts is None and pending.request is not request:
            # The failure limit applied to the address of the other request.
            answer = await self._answer(self._send(request).answer)
        return answer

    def _may_join(self, pending: _Pending) -> bool:
        """
        Tell whether a new request may share the answer to a pending one.

        A look-up older than the bound, or invalidated by a change, may have read the key before it was revoked. In the
        second case this process has acknowledged the change already. Before its first sync the process may be missing
        in receipts, so no answer is shared.
        """
        if pending.look_up.invalidated or not self.checker.ever_synced:
            return False
        return self.checker.clock() - pending.since <= BOUND_SECONDS

    def _send(self, request: UncachedRequest) -> _Pending:
        since, look_up = self.checker.clock(), self.checker.begin(request)
        pending = _Pending(since, request, look_up, self._start(self._read(request, look_up)))
        self._pending[request.digest] = pending
        pending.answer.add_done_callback(lambda _: self._answered(pending))
        return pending

    def _answered(self, pending: _Pending) -> None:
        if self._pending.get(pending.request.digest) is pending:
            del self._pending[pending.request.digest]

    def _start(self, call: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        if self._ending:
            call.close()
            raise ServiceUnavailable(CLOSED)
        task = self.loop.create_task(call)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        # Read here: asyncio logs an exception that no caller has retrieved.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _answer(self, task: asyncio.Task[Answer]) -> Answer:
        # Shielded: a caller that is cancelled does not cancel the answer for the others.
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and self._ending:
                raise ServiceUnavailable(CLOSED) from None
            raise

    async def _read(self, request: UncachedRequest, look_up: LookUp, *, again: bool = True) -> Answer:
        """Look a key up, and once more when the look-up was invalidated."""
        answer: Answer | None = None
        try:
            answer = await self._within_time(self._calls.look_up, request)
        finally:
            invalidated = self.checker.end(look_up, answer)
        return await self._read(request, self.checker.begin(request), again=False) if invalidated and again else answer

    async def _within_time(
        self, call: Callable[[UncachedRequest], Awaitable[Answer]], request: UncachedRequest
    ) -> Answer:
        async def in_turn() -> Answer:
            async with self._turns:
                return await call(request)

        try:
            answer = await within_time(in_turn, self._timing.answer)
        except NoAnswerInTime:
            self._silent = True
            raise
        self._silent = False
        return answer
