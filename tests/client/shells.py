"""Both verifiers behind one interface, so that one test covers both."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

from keywright.client.verifier import AsyncVerifier, Timing, Verdict, Verifier
from tests.client.fake_service import PATIENCE_SECONDS, FakeService, eventually_async

Kind = Literal["async", "threads"]

# As many as any test verifies in at the same time, whatever the number of cores.
MOST_THREADS = 20

# Short pauses, long patience: a busy machine must not look like a silent service.
QUICK = Timing(
    answer=PATIENCE_SECONDS,
    connection=PATIENCE_SECONDS,
    silence=PATIENCE_SECONDS,
    report=0.05,
    first_pause=0.005,
    longest_pause=0.05,
    refused_pause=0.05,
    end=PATIENCE_SECONDS,
)


class Shell:
    """A verifier of either kind."""

    def __init__(self, verifier: AsyncVerifier | Verifier) -> None:
        self.verifier = verifier
        self.verify_now = verifier.verify_now
        self._threads = ThreadPoolExecutor(MOST_THREADS)

    async def verify(self, key: str, **asked: Any) -> Verdict:
        """Verify, in a thread where the verifier does not await."""
        if isinstance(self.verifier, AsyncVerifier):
            return await self.verifier.verify(key, **asked)
        verify = partial(self.verifier.verify, key, **asked)
        return await asyncio.get_running_loop().run_in_executor(self._threads, verify)

    async def started(self) -> None:
        """Start."""
        if isinstance(self.verifier, AsyncVerifier):
            await self.verifier.start()
        else:
            await asyncio.to_thread(self.verifier.start)

    async def followed(self) -> None:
        """Start, and wait until the feed is followed."""
        await self.started()
        await eventually_async(lambda: self.verifier.following, "following the feed")

    async def not_followed(self) -> None:
        """Wait until the feed has not been followed for the bound."""
        await eventually_async(lambda: not self.verifier.following, "losing the feed")

    async def closed(self) -> None:
        """Close."""
        if isinstance(self.verifier, AsyncVerifier):
            await self.verifier.close()
        else:
            await asyncio.to_thread(self.verifier.close)

    async def left(self) -> None:
        """Close, and end the threads; all who wait for a verdict have one by then."""
        await self.closed()
        await asyncio.to_thread(self._threads.shutdown)


@asynccontextmanager
async def shell(kind: Kind, service: FakeService, **options: Any) -> AsyncIterator[Shell]:
    """Give a verifier that is closed in the end."""
    make = AsyncVerifier if kind == "async" else Verifier
    shell = Shell(make(service.url, service.credential, **{"timing": QUICK, **options}))
    try:
        yield shell
    finally:
        await shell.left()
