"""What the tests of limits make: API keys and limiters."""

import itertools
import os
import time
from collections.abc import AsyncIterator
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
