"""Limits that processes count together: with Redis, without it, and after it is back."""

import asyncio
import time

import pytest

from keywright.keys.rate_limiter import RateLimitDecision
from keywright.keys.rate_limits import RateLimit
from keywright.rate_limiting import script
from keywright.rate_limiting.shared import SharedLimiter
from keywright.rate_limiting.url import RedisUrl
from keywright.service.checking.local_rate_limiter import LocalRateLimiter
from keywright.service.faults import LimitsUnavailable
from tests.live import PATIENCE_SECONDS
from tests.rate_limiting.making import fresh_key, limiter
from tests.redis_server import RedisServer
from tests.waiting import until

# Nothing is earned back while a test runs.
DAYS = RateLimit("days", 10, 31 * 86_400)
MONTH = RateLimit("month", 15, 31 * 86_400)


async def test_limiters_count_together(redis_server: RedisServer) -> None:
    """What one spends the others have not, and all tell the same of it."""
    key_id = fresh_key()
    async with limiter(redis_server.url) as one, limiter(redis_server.url) as other:
        assert one.acquire_now(key_id, (DAYS, MONTH), 1) is None
        first = await one.acquire(key_id, (DAYS, MONTH), 4)
        second = await other.acquire(key_id, (DAYS, MONTH), 4)
        refused = await one.acquire(key_id, (DAYS, MONTH), 4)
        assert [state.remaining for state in first.states] == [6, 11]
        assert [state.remaining for state in second.states] == [2, 7]
        assert (refused.allowed, [state.remaining for state in refused.states]) == (False, [2, 7])
        assert refused.retry_after_seconds == pytest.approx(2 * 31 * 8640, rel=1e-3)
        assert (await other.acquire(key_id, (DAYS, MONTH), 11)).retry_after_seconds is None


async def test_keys_do_not_share(redis_server: RedisServer) -> None:
    """One key's use takes nothing from another's, though both ask at once."""
    keys = [fresh_key() for _ in range(20)]
    async with limiter(redis_server.url) as shared:
        spent = await asyncio.gather(*(shared.acquire(key_id, (DAYS,), 1) for key_id in keys for _ in range(12)))
    assert [sum(one.allowed for one in spent[at : at + 12]) for at in range(0, len(spent), 12)] == [10] * 20


async def test_no_limits(redis_server: RedisServer) -> None:
    """A key without limits takes no call of Redis."""
    async with limiter(redis_server.url, on_outage="refuse") as shared:
        assert shared.acquire_now(fresh_key(), (), 5) == RateLimitDecision(True, ())
        redis_server.execute("CLIENT", "KILL", "TYPE", "normal")
        assert await shared.acquire(fresh_key(), (), 5) == RateLimitDecision(True, ())


async def test_scripts_are_flushed(own_redis: RedisServer) -> None:
    """When Redis forgets the script between requests or among them, every request is counted, and counted once."""
    key_id, uncounted = fresh_key(), []
    many = RateLimit("many", 1000, 31 * 86_400)
    async with limiter(own_redis.url, on_uncounted=lambda: uncounted.append(1)) as shared:
        for _ in range(5):
            under_way = [asyncio.ensure_future(shared.acquire(key_id, (many,), 1)) for _ in range(100)]
            await asyncio.sleep(0)
            own_redis.execute("SCRIPT", "FLUSH")
            under_way += [asyncio.ensure_future(shared.acquire(key_id, (many,), 1)) for _ in range(100)]
            assert all(one.allowed for one in await asyncio.gather(*under_way))
        assert not (await shared.acquire(key_id, (many,), 1)).allowed
    assert not uncounted


async def test_killed_and_back_counting_alone(own_redis: RedisServer) -> None:
    """
    While Redis is away each process counts alone and says so; when it is back they count together again.

    Counting alone begins where counting together ended. No request sees an error.
    """
    key_id, uncounted = fresh_key(), []
    async with limiter(own_redis.url, on_uncounted=lambda: uncounted.append(1)) as shared:
        assert (await shared.acquire(key_id, (DAYS,), 7)).allowed
        assert not uncounted
        own_redis.kill()
        alone = await asyncio.gather(*(shared.acquire(key_id, (DAYS,), 1) for _ in range(5)))
        assert [one.allowed for one in alone] == [True, True, True, False, False]
        assert len(uncounted) == 5
        await until(lambda: shared.acquire_now(key_id, (DAYS,), 1) is not None)
        told = len(uncounted)
        own_redis.start()
        await until(lambda: shared.acquire_now(key_id, (DAYS,), 0) is None)
        again = len(uncounted)
        assert again >= told
        # It came back empty.
        assert (await shared.acquire(key_id, (DAYS,), 10)).allowed
        async with limiter(own_redis.url) as other:
            assert not (await other.acquire(key_id, (DAYS,), 1)).allowed
        assert len(uncounted) == again


async def test_killed_and_back_refusing(own_redis: RedisServer) -> None:
    """With `refuse`, keys with limits are refused while Redis is unavailable, and only then."""
    key_id, uncounted = fresh_key(), []
    async with limiter(own_redis.url, on_outage="refuse", on_uncounted=lambda: uncounted.append(1)) as shared:
        assert (await shared.acquire(key_id, (DAYS,), 1)).allowed
        own_redis.kill()
        for _ in range(3):
            with pytest.raises(LimitsUnavailable) as fault:
                await shared.acquire(key_id, (DAYS,), 1)
            assert "Redis" in fault.value.reason
        assert shared.acquire_now(key_id, (DAYS,), 1) is None
        assert len(uncounted) == 3
        await until(lambda: shared._connection is None)
        own_redis.start()
        await until(lambda: shared._connection is not None)
        assert (await shared.acquire(key_id, (DAYS,), 1)).allowed


@pytest.mark.parametrize("on_outage", ["local", "refuse"])
async def test_killed_under_load(own_redis: RedisServer, on_outage: str) -> None:
    """However often Redis dies under load, requests get an answer or `LimitsUnavailable`, and it always recovers."""
    key_id, alone, over = fresh_key(), 0, asyncio.Event()
    many = RateLimit("many", 1_000_000, 31 * 86_400)

    async def ask() -> None:
        nonlocal alone
        while not over.is_set():
            try:
                assert (shared.acquire_now(key_id, (many,), 1) or await shared.acquire(key_id, (many,), 1)).allowed
            except LimitsUnavailable:
                assert on_outage == "refuse"
            await asyncio.sleep(0)

    async with limiter(own_redis.url, on_outage=on_outage) as shared:
        asking = [asyncio.ensure_future(ask()) for _ in range(16)]
        for _ in range(3):
            own_redis.kill()
            await until(lambda: shared._connection is None)
            await asyncio.to_thread(own_redis.start)
            await until(lambda: shared._connection is not None)
        over.set()
        await asyncio.gather(*asking)


async def test_away_from_the_beginning(own_redis: RedisServer) -> None:
    """It starts without Redis, counts alone, and finds it when it comes."""
    own_redis.kill()
    key_id = fresh_key()
    async with limiter(own_redis.url) as shared:
        now = shared.acquire_now(key_id, (DAYS,), 10)
        assert now is not None
        assert now.allowed
        own_redis.start()
        await until(lambda: shared.acquire_now(key_id, (DAYS,), 0) is None)
        assert (await shared.acquire(key_id, (DAYS,), 1)).allowed


async def test_an_attempt_that_fails_unforeseen() -> None:
    """A start whose first attempt ends with an error that is no outage ends with that error, and does not wait."""
    local = LocalRateLimiter(monotonic=time.monotonic, capacity=1000)
    shared = SharedLimiter(RedisUrl(host="a..b"), local, monotonic=time.monotonic)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(UnicodeError):
            await shared.start()


async def test_standing_still(own_redis: RedisServer) -> None:
    """A Redis that does not answer delays requests by the patience at most, and later ones not at all."""
    key_id = fresh_key()
    async with limiter(own_redis.url, patience=0.05) as shared:
        await until(lambda: shared._connection is not None)
        own_redis.stand_still()
        waited = await asyncio.gather(*(shared.acquire(key_id, (DAYS,), 1) for _ in range(5)))
        assert all(one.allowed for one in waited)
        assert shared.acquire_now(key_id, (DAYS,), 1) is not None
        own_redis.go_on()
        await until(lambda: shared.acquire_now(key_id, (DAYS,), 0) is None)


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "OOM"),
        (("REPLICAOF", "127.0.0.1", "1"), "READONLY"),
        (("ACL", "SETUSER", "default", "-evalsha", "-eval"), "NOPERM"),
    ],
    ids=["full", "a replica", "forbidden"],
)
async def test_redis_cannot_count(own_redis: RedisServer, harm: tuple[str, ...], word: str) -> None:
    """A Redis that answers but cannot count is unavailable, with the reason logged; fixed, it counts again."""
    mend = {
        "OOM": ("CONFIG", "SET", "maxmemory", "0"),
        "READONLY": ("REPLICAOF", "NO", "ONE"),
        "NOPERM": ("ACL", "SETUSER", "default", "+@all"),
    }[word]
    key_id = fresh_key()
    async with limiter(own_redis.url, on_outage="refuse") as shared:
        assert (await shared.acquire(key_id, (DAYS,), 1)).allowed
        assert own_redis.execute(*harm) == b"OK"
        with pytest.raises(LimitsUnavailable):
            await shared.acquire(key_id, (DAYS,), 1)
        await until(lambda: word in shared._reason)
        assert own_redis.execute(*mend) == b"OK"
        await until(lambda: shared._connection is not None)
        assert (await shared.acquire(key_id, (DAYS,), 1)).allowed


async def test_least_rights(own_redis: RedisServer) -> None:
    """A user of Redis who may do what docs/concepts/rate-limits.md names, and nothing else, is enough."""
    rights = ("~keywright:*", "-@all", "+eval", "+evalsha", "+time", "+mget", "+set")
    assert own_redis.execute("ACL", "SETUSER", "keywright", "on", ">secret", *rights) == b"OK"
    async with limiter(own_redis.url.replace("//", "//keywright:secret@"), on_outage="refuse") as shared:
        assert (await shared.acquire(fresh_key(), (DAYS, MONTH), 1)).allowed


async def test_what_is_told(own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """The log says once that Redis is unavailable, with the consequence, and once that it is back."""
    caplog.set_level("INFO", logger="keywright.rate_limiting")
    async with limiter(own_redis.url) as shared:
        own_redis.kill()
        await until(lambda: shared._connection is None)
        for _ in range(3):
            await shared.acquire(fresh_key(), (DAYS,), 1)
        own_redis.start()
        await until(lambda: shared._connection is not None)
    told = [(record.levelname, record.getMessage().partition(":")[0]) for record in caplog.records]
    counted = ("INFO", "limits of keys are counted in Redis")
    alone = ("WARNING", "limits of keys are not counted in Redis, this process counts alone")
    assert told == [counted, alone, counted]


async def test_closing(redis_server: RedisServer) -> None:
    """Whoever waits when it closes is answered; closing twice, or without a start, harms nothing."""
    key_id = fresh_key()
    async with limiter(redis_server.url) as shared:
        waiting = asyncio.ensure_future(shared.acquire(key_id, (DAYS,), 1))
        await asyncio.sleep(0)
        await shared.close()
        assert (await waiting).allowed


def test_the_script_is_known_by_its_digest(redis_server: RedisServer) -> None:
    """Redis and we call the script by the same name."""
    assert redis_server.execute("SCRIPT", "LOAD", script.TEXT).decode() == script.DIGEST
