"""What the tests of limits make: API keys, limiters, and a wait for what happens in the background."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from keywright.rate_limiting import url as redis_url
from keywright.rate_limiting.shared import SharedLimiter
from keywright.service.checking.local_rate_limiter import LocalRateLimiter
from tests.live import PATIENCE_SECONDS

_numbers = itertools.count(1)


def fresh_key() -> bytes:
    """Give the id of an unused API key."""
    return os.urandom(8) + next(_numbers).to_bytes(8, "big")


@asynccontextmanager
async def limiter(url: str, *, patience: float = PATIENCE_SECONDS, **options: Any) -> AsyncIterator[SharedLimiter]:
    """Run a limiter that counts in the Redis at *url*. It waits as long as the machine needs, unless told otherwise."""
    local = LocalRateLimiter(monotonic=time.monotonic, capacity=1000)
    shared = SharedLimiter(
        redis_url.read(url), local, monotonic=time.monotonic, patience=patience, pause=0.01, **options
    )
    await shared.start()
    try:
        yield shared
    finally:
        await shared.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in the background or in another process."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)
