"""Runs a verifier's session on an event loop in its own thread, for code that does not await."""

import asyncio
import selectors
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from keywright.client.errors import ServiceUnavailable
from keywright.client.verifier._checker import LocalChecker, UncachedRequest
from keywright.client.verifier._session import CLOSED, VerifierSession
from keywright.client.verifier._verdicts import Verdict

_SPARE_SECONDS = 3.0
FORK_SECONDS = 1.0
"""How long a fork waits for what another thread is in the middle of."""


class Background:
    """
    Runs one session, from its creation until `close`.

    Args:
        checker: Decides for the session.
        begin: Starts the session on the running event loop.
        end_seconds: How long the session may take to close.
    """

    def __init__(self, checker: LocalChecker, begin: Callable[[], VerifierSession], end_seconds: float) -> None:
        self.checker = checker
        self._begin = begin
        self._end_seconds = end_seconds
        self._session: Future[VerifierSession] = Future()
        self._open = True
        # Under this lock a request is scheduled before the end, or is refused.
        self._gate = threading.Lock()
        self._end = asyncio.Event()
        # The thread has this lock whenever it does not wait for events; see `pause`.
        self._stepping = threading.Lock()
        # A daemon thread, so that an application can end without closing the verifier.
        self._thread = threading.Thread(target=self._run, name="keywright verifier", daemon=True)
        self._thread.start()

    def decide(self, request: UncachedRequest) -> Verdict:
        """Decide on the session's loop; see `VerifierSession.decide`."""
        session = self._session.result()
        with self._gate:
            if not self._open:
                raise ServiceUnavailable(CLOSED)
            verdict = asyncio.run_coroutine_threadsafe(self._decide(session, request), session.loop)
        try:
            return verdict.result()
        except CancelledError:
            raise ServiceUnavailable(CLOSED) from None
        except BaseException:
            # For example Ctrl-C: the caller does not wait any more.
            verdict.cancel()
            raise

    def close(self) -> None:
        """End the session and the thread."""
        with self._gate:
            was_open, self._open = self._open, False
        if was_open and self._session.exception() is None:
            self._session.result().loop.call_soon_threadsafe(self._end.set)
        self._thread.join(self._end_seconds + _SPARE_SECONDS)

    def pause(self) -> bool:
        """
        Let the thread finish its step, and begin no other one until `resume`; for a process that is about to fork.

        A child has only the thread that forked it. What another one was in the middle of never ends there: a lock of
        OpenSSL's or a module's stays locked, so that the child would wait for it at its first look-up, for ever.

        Returns:
            Whether it is paused. It is not where a step takes longer than `FORK_SECONDS`, or where a step itself forks.
        """
        return threading.current_thread() is not self._thread and self._stepping.acquire(timeout=FORK_SECONDS)

    def resume(self) -> None:
        """Let a paused thread go on."""
        self._stepping.release()

    async def _decide(self, session: VerifierSession, request: UncachedRequest) -> Verdict:
        # Meanwhile the same request of another thread may have been answered.
        decided = self.checker.decide_again(request)
        return decided if isinstance(decided, Verdict) else await session.decide(decided)

    def _run(self) -> None:
        try:
            with self._stepping, asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(self._main())
        except Exception as error:
            if self._session.done():
                raise
            self._session.set_exception(error)

    async def _main(self) -> None:
        session = self._begin()
        self._session.set_result(session)
        await self._end.wait()
        await session.close()
        # A closed connection reports its end one turn of the loop later.
        await asyncio.sleep(0)

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        # Where there is no selector, nothing forks.
        return (
            asyncio.new_event_loop()
            if sys.platform == "win32"
            else asyncio.SelectorEventLoop(_Selector(self._stepping))
        )


class _Selector(selectors.DefaultSelector):
    """Waits for events without the lock that the thread has otherwise."""

    def __init__(self, stepping: threading.Lock) -> None:
        super().__init__()
        self._stepping = stepping

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        self._stepping.release()
        try:
            return super().select(timeout)
        finally:
            self._stepping.acquire()
