"""Opens the limiter that the settings name."""

from collections.abc import Callable
from typing import Protocol

from keywright.rate_limiting import url as redis_url
from keywright.rate_limiting.shared import OnOutage, SharedLimiter
from keywright.service.checking.local_rate_limiter import LocalRateLimiter
from keywright.service.checking.ports import RateLimiter, Seconds


class RunningLimiter(RateLimiter, Protocol):
    """A limiter that is opened before and closed after use."""

    async def start(self) -> None:
        """Open it. What it counts with may be away, and is found when it is back."""
        ...

    async def close(self) -> None:
        """Answer what waits, then let go of everything."""
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
    Give the limiter that the settings name, without reaching for anything yet.

    Args:
        url: Where processes count together; see `url.read`. None where each counts alone.
        monotonic: Seconds on a clock that only goes forward.
        cached_keys: How many keys to remember in this process at most.
        on_outage: See `SharedLimiter`.
        on_uncounted: See `SharedLimiter`.

    Raises:
        ValueError: The URL is malformed; the message says how, and quotes nothing of it.
    """
    local = LocalRateLimiter(monotonic=monotonic, capacity=capacity)
    if url is None:
        return local
    server = redis_url.read(url)
    return SharedLimiter(server, local, monotonic=monotonic, on_outage=on_outage, on_uncounted=on_uncounted)
