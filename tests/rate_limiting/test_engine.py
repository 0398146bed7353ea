"""The limiter that the settings name."""

import time

from keywright.rate_limiting.engine import RunningLimiter, open_limiter
from keywright.rate_limiting.shared import SharedLimiter
from keywright.service.checking.local_rate_limiter import LocalRateLimiter


def opened(url: str | None) -> RunningLimiter:
    return open_limiter(url, monotonic=time.monotonic, capacity=10, on_outage="local", on_uncounted=lambda: None)


def test_which() -> None:
    """Without a Redis every process counts alone, with one together. Nothing is reached for yet."""
    assert isinstance(opened(None), LocalRateLimiter)
    assert isinstance(opened("redis://127.0.0.1:9"), SharedLimiter)
