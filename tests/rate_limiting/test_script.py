"""The script that Redis runs does what `keys/rate_limiter.py` does, by Redis's own clock."""

import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keywright.keys.rate_limiter import InMemoryRateLimiter, decide
from keywright.keys.rate_limits import LIMIT_MAX, WINDOW_SECONDS_MAX, RateLimit
from keywright.rate_limiting import script
from tests.rate_limiting.making import fresh_key
from tests.redis_server import RedisServer

MINUTE = RateLimit("minute", 60, 60)

sizes = st.one_of(st.integers(1, 30), st.integers(1, LIMIT_MAX))
windows = st.one_of(st.integers(1, 100), st.integers(1, WINDOW_SECONDS_MAX))
limits = st.lists(st.tuples(sizes, windows), min_size=1, max_size=4).map(
    lambda found: tuple(RateLimit(f"l{number}", *size) for number, size in enumerate(found))
)
# How far the limits were spent before, and what is asked for next, as parts of the smallest limit.
kept = st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=4, max_size=4)
costs = st.lists(st.one_of(st.integers(0, 5), st.floats(0, 1.5)), min_size=1, max_size=12)
on_a_real_redis = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def call(server: RedisServer, key_id: bytes, of: tuple[RateLimit, ...], cost: int) -> tuple[float, list[float]]:
    answer = server.execute("EVAL", script.TEXT, *script.arguments(key_id, of, cost))
    assert isinstance(answer, bytes), answer
    return script.read(answer)


def names(key_id: bytes, of: tuple[RateLimit, ...]) -> list[Any]:
    return list(script.arguments(key_id, of, 1)[1 : len(of) + 1])


def stored(server: RedisServer, key_id: bytes, of: tuple[RateLimit, ...]) -> list[float | None]:
    return [None if found is None else float(found) for found in server.execute("MGET", *names(key_id, of))]


def now_of(server: RedisServer) -> float:
    return call(server, fresh_key(), (MINUTE,), 0)[0]


@on_a_real_redis
@given(limits, kept, costs)
def test_agrees_with_python(
    redis_server: RedisServer,
    limits: tuple[RateLimit, ...],
    kept: list[float | None],
    costs: list[int | float],
) -> None:
    """
    Whatever the limits, what was spent before and what is asked, Redis keeps to the last bit what `decide` says.

    A limiter in memory that is asked the same at the same moments gives the same answers.
    """
    key_id, limiter, begun = fresh_key(), InMemoryRateLimiter(1), now_of(redis_server)
    before = [begun + (part or 0) * limit.window_seconds for limit, part in zip(limits, kept, strict=False)]
    for name, part, moment in zip(names(key_id, limits), kept, before, strict=False):
        if part is not None:
            redis_server.execute("SET", name, f"{moment:.17g}")
    limiter.learn(key_id, limits, before, begun)
    for wished in costs:
        cost = wished if isinstance(wished, int) else int(wished * min(limit.limit for limit in limits))
        was = stored(redis_server, key_id, limits)
        now, told = call(redis_server, key_id, limits, cost)
        decision, after = decide(limits, told, now, cost)
        assert limiter.acquire(key_id, limits, now, cost) == decision
        found = stored(redis_server, key_id, limits)
        later = now_of(redis_server)
        for moment, expected in zip(found, after if decision.allowed and cost else was, strict=True):
            # Redis forgets a limit that is whole again.
            assert moment == expected or (moment is None and expected is not None and expected <= later)


def test_all_or_none(redis_server: RedisServer) -> None:
    """What one limit refuses is taken from none."""
    key_id, tight = fresh_key(), RateLimit("tight", 1, 3600)
    call(redis_server, key_id, (MINUTE, tight), 1)
    once = stored(redis_server, key_id, (MINUTE, tight))
    call(redis_server, key_id, (MINUTE, tight), 1)
    assert stored(redis_server, key_id, (MINUTE, tight)) == once


def test_nothing_stays(redis_server: RedisServer) -> None:
    """The state of a limit expires when the limit is full again; a cost of 0 leaves no state."""
    key_id, both = fresh_key(), (MINUTE, RateLimit("hour", 60, 3600))
    call(redis_server, key_id, both, 0)
    assert stored(redis_server, key_id, both) == [None, None]
    now, _ = call(redis_server, key_id, both, 2)
    whole_at = stored(redis_server, key_id, both)
    for name, moment in zip(names(key_id, both), whole_at, strict=True):
        assert moment is not None
        assert 0 < redis_server.execute("PTTL", name) <= math.ceil((moment - now) * 1000) + 1


def test_a_clock_that_was_set_back(redis_server: RedisServer) -> None:
    """A stored time too far ahead counts as a limit that was used up just now."""
    for strange in ("1e12", "inf", "nan"):
        key_id = fresh_key()
        redis_server.execute("SET", *names(key_id, (MINUTE,)), strange)
        now, told = call(redis_server, key_id, (MINUTE,), 1)
        assert told == [now + 60]


def test_what_is_no_moment(redis_server: RedisServer) -> None:
    """A stored value that is no time counts as no state, and is overwritten."""
    key_id = fresh_key()
    redis_server.execute("RPUSH", *names(key_id, (MINUTE,)), "x")
    now, told = call(redis_server, key_id, (MINUTE,), 1)
    assert told == [now]
    assert stored(redis_server, key_id, (MINUTE,)) == [now + 1]
    redis_server.execute("SET", *names(key_id, (MINUTE,)), "x")
    now, told = call(redis_server, key_id, (MINUTE,), 1)
    assert told == [now]


def test_keys_lie_together() -> None:
    """All limits of an API key have one hash tag, and no two API keys have the same."""
    one, other = (names(key_id, (MINUTE, RateLimit("hour", 1, 3600))) for key_id in (fresh_key(), fresh_key()))
    tags = [{name[name.index("{") + 1 : name.index("}")] for name in each} for each in (one, other)]
    assert [len(each) for each in tags] == [1, 1]
    assert tags[0] != tags[1]
