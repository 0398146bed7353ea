"""The limits of keys, counted in one process."""

from keywright.keys.rate_limits import RateLimit
from keywright.service.checking.local_rate_limiter import LocalRateLimiter
from tests.service.fake_checking_store import FakeTime

MINUTE = RateLimit("minute", 3, 60)


async def test_counts() -> None:
    """It answers at once, whichever way it is asked, and counts by the clock it was given."""
    time = FakeTime()
    limiter = LocalRateLimiter(monotonic=time, capacity=10)
    await limiter.start()
    assert limiter.acquire_now(b"a", (MINUTE,), 2).allowed
    assert (await limiter.acquire(b"a", (MINUTE,), 1)).allowed
    assert not limiter.acquire_now(b"a", (MINUTE,), 1).allowed
    time.seconds += 20
    assert limiter.acquire_now(b"a", (MINUTE,), 1).allowed
    await limiter.close()


def test_learning() -> None:
    """It goes on from how the limits stood elsewhere, a while ago."""
    time = FakeTime()
    limiter = LocalRateLimiter(monotonic=time, capacity=10)
    limiter.learn(b"a", (MINUTE,), (60.0,), since=time())
    assert not limiter.acquire_now(b"a", (MINUTE,), 1).allowed
    time.seconds += 20
    assert limiter.acquire_now(b"a", (MINUTE,), 1).allowed
