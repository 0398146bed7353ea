"""A verifier's session on an event loop of its own, in a thread of its own, for code that does not await."""

import asyncio
import threading
from concurrent.futures import CancelledError, Future

from keywright.client.checking import Question
from keywright.client.errors import ServiceUnavailable
from keywright.client.options import Options
from keywright.client.session import Session
from keywright.client.verdicts import Verdict

_CLOSED = "This verifier has been closed."
_SPARE_SECONDS = 3.0


class Background:
    """
    Runs one session, from its creation until `close`.

    Args:
        options: What the verifier was told.
    """

    def __init__(self, options: Options) -> None:
        self.checking = options.checking()
        self._options = options
        self._session: Future[Session] = Future()
        self._open = True
        # Whatever is handed over before the end is handed over before the loop is told to end.
        self._gate = threading.Lock()
        self._end = asyncio.Event()
        # A daemon, because an application that forgets to close it must still be able to end.
        self._thread = threading.Thread(target=self._run, name="keywright verifier", daemon=True)
        self._thread.start()

    def ask(self, question: Question) -> Verdict:
        """Decide on the session's loop; see `Session.ask`."""
        session = self._session.result()
        with self._gate:
            if not self._open:
                raise ServiceUnavailable(_CLOSED)
            verdict = asyncio.run_coroutine_threadsafe(self._decide(session, question), session.loop)
        try:
            return verdict.result()
        except CancelledError:
            raise ServiceUnavailable(_CLOSED) from None
        except BaseException:
            # As by Ctrl-C: nobody waits for it any more.
            verdict.cancel()
            raise

    def close(self) -> None:
        """End the session and the thread."""
        with self._gate:
            was_open, self._open = self._open, False
        if was_open and self._session.exception() is None:
            self._session.result().loop.call_soon_threadsafe(self._end.set)
        self._thread.join(self._options.timing.end + _SPARE_SECONDS)

    async def _decide(self, session: Session, question: Question) -> Verdict:
        # Since the thread looked, the same question of another thread may have been answered.
        verdict = self.checking.decide_now(question)
        return await session.ask(question) if verdict is None else verdict

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:
            if self._session.done():
                raise
            self._session.set_exception(error)

    async def _main(self) -> None:
        session = self._options.session(self.checking)
        self._session.set_result(session)
        await self._end.wait()
        await session.close()
        # Connections say that they are lost one round of the loop after they were closed.
        await asyncio.sleep(0)
