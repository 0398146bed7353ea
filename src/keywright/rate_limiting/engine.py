"""Opens the rate limiter that the settings choose."""

from collections.abc import Callable
from typing import Protocol

from keywright.rate_limiting import url as redis_url
from keywright.rate_limiting.shared import OnOutage, SharedLimiter
from keywright.service.checking.local_rate_limiter import LocalRateLimiter
from keywright.service.checking.ports import RateLimiter, Seconds


class RunningLimiter(RateLimiter, Protocol):
    """A rate limiter with start and end."""

    async def start(self) -> None:
        """Open it. Redis may be unavailable; the limiter goes on connecting in the background."""
        ...

    async def close(self) -> None:
        """Answer waiting requests, then close the connection."""
        ...


def open_limiter(
    url: str | None,
    *,
    monotonic: Seconds,
    capacity: int,
    on_outage: OnOutage,
    on_uncounted: Callable[[], None],
) -> RunningLimiter:
    """
    Make the rate limiter that the settings choose, without connecting yet.

    Args:
        url: The Redis in which processes count together; see `url.read`. None where each process counts alone.
        monotonic: Seconds on a monotonic clock.
        capacity: The number of keys whose state this process keeps, at most.
        on_outage: See `SharedLimiter`.
        on_uncounted: See `SharedLimiter`.

    Raises:
        ValueError: The URL is malformed; the message has the flaw, and quotes nothing of the URL.
    """
    local = LocalRateLimiter(monotonic=monotonic, capacity=capacity)
    if url is None:
        return local
    server = redis_url.read(url)
    return SharedLimiter(server, local, monotonic=monotonic, on_outage=on_outage, on_uncounted=on_uncounted)
