"""The rate limiter: all limits of a key at once, and the memory of one process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.keys.rate_limiter import InMemoryRateLimiter, decide
from keywright.keys.rate_limits import RateLimit, decide_one

MINUTE = RateLimit("minute", 3, 60)
HOUR = RateLimit("hour", 5, 3600)
NOW = 1000.0


def test_all_or_none() -> None:
    """A request that one limit refuses takes nothing of any, and the states are unchanged."""
    decision, kept = decide((MINUTE, HOUR), (NOW, NOW), NOW, 4)
    assert not decision.allowed
    assert kept == (NOW, NOW)
    assert [(state.limit, state.remaining, state.reset_seconds) for state in decision.states] == [
        (MINUTE, 3, 0.0),
        (HOUR, 5, 0.0),
    ]


def test_what_is_left() -> None:
    """An allowed request takes its cost of every limit, and the decision has what is left of each."""
    decision, kept = decide((MINUTE, HOUR), (NOW, NOW), NOW, 2)
    assert decision.allowed
    assert decision.retry_after_seconds == 0.0
    assert [(state.remaining, state.reset_seconds) for state in decision.states] == [(1, 40.0), (3, 1440.0)]
    assert kept == (NOW + 40, NOW + 1440)


def test_when_to_try_again() -> None:
    """A refusal has the longest of the waits, and None where a limit can never allow the cost."""
    _, kept = decide((MINUTE, HOUR), (NOW, NOW), NOW, 3)
    decision, _ = decide((MINUTE, HOUR), kept, NOW, 3)
    assert decision.retry_after_seconds == pytest.approx(720)
    assert decide((MINUTE, HOUR), kept, NOW, 4)[0].retry_after_seconds is None


def test_no_limits() -> None:
    """A key without limits is never refused."""
    assert decide((), (), NOW, 10) == ((True, (), 0.0), ())


limits = st.lists(
    st.builds(RateLimit, st.just("x"), st.integers(1, 50), st.integers(1, 100)), min_size=1, max_size=4
).map(lambda found: tuple(limit._replace(name=f"l{number}") for number, limit in enumerate(found)))
steps = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 60)), max_size=60)


@given(limits, steps)
def test_as_if_each_limit_stood_alone(limits: tuple[RateLimit, ...], steps: list[tuple[float, int]]) -> None:
    """A request passes when it would pass each limit by itself, and each of them keeps what passed and nothing else."""
    limiter, now = InMemoryRateLimiter(10), NOW
    alone = dict.fromkeys(limits, now)
    for wait, cost in steps:
        now += wait
        each = {limit: decide_one(limit, alone[limit], now, cost) for limit in limits}
        allowed = all(one.allowed for one in each.values())
        decision = limiter.acquire(b"key", limits, now, cost)
        assert decision.allowed == allowed
        assert (decision.retry_after_seconds == 0) == allowed
        if allowed:
            alone = {limit: one.full_at for limit, one in each.items()}
        assert [state.reset_seconds for state in decision.states] == [max(0.0, alone[each] - now) for each in limits]


@given(limits, steps)
def test_never_more_than_the_limit_and_a_burst(limits: tuple[RateLimit, ...], steps: list[tuple[float, int]]) -> None:
    """However it is asked, no limit lets more through than its size and what it earned back since the beginning."""
    limiter, now, passed = InMemoryRateLimiter(10), NOW, 0
    for wait, cost in steps:
        now += wait
        passed += cost if limiter.acquire(b"key", limits, now, cost).allowed else 0
        for limit in limits:
            assert passed <= (limit.limit + (now - NOW) * limit.limit / limit.window_seconds) * (1 + 1e-6)


def test_keys_do_not_share() -> None:
    """One key's use takes nothing from another's."""
    limiter = InMemoryRateLimiter(10)
    assert not limiter.acquire(b"a", (MINUTE,), NOW, 3).states[0].remaining
    assert limiter.acquire(b"b", (MINUTE,), NOW, 3).allowed
    assert not limiter.acquire(b"a", (MINUTE,), NOW, 1).allowed


def test_a_changed_limit_begins_whole() -> None:
    """A limit of which anything changed begins whole; those that stayed as they were go on, in whatever order."""
    limiter = InMemoryRateLimiter(10)
    limiter.acquire(b"a", (MINUTE, HOUR), NOW, 3)
    bigger = MINUTE._replace(limit=4)
    decision = limiter.acquire(b"a", (HOUR, bigger), NOW, 1)
    assert [state.remaining for state in decision.states] == [1, 3]


def test_bounded() -> None:
    """A bounded number of keys is kept; the longest unused is removed, those in use are not."""
    limiter = InMemoryRateLimiter(10)
    for number in range(1000):
        limiter.acquire(b"%d" % number, (HOUR,), NOW, 5)
        assert not limiter.acquire(b"0", (HOUR,), NOW, 1).allowed
        assert len(limiter) <= 10
    assert not limiter.acquire(b"999", (HOUR,), NOW, 1).allowed
    assert limiter.acquire(b"1", (HOUR,), NOW, 5).allowed


def test_what_is_earned_back_is_forgotten_first() -> None:
    """Of the longest unused keys, those whose limits are whole again make room before one that still owes."""
    limiter = InMemoryRateLimiter(3)
    limiter.acquire(b"owes", (HOUR,), NOW, 5)
    limiter.acquire(b"whole", (MINUTE,), NOW, 1)
    limiter.acquire(b"later", (HOUR,), NOW, 5)
    limiter.acquire(b"new", (HOUR,), NOW + 30, 1)
    assert len(limiter) == 3
    assert not limiter.acquire(b"owes", (HOUR,), NOW + 30, 1).allowed
    assert not limiter.acquire(b"later", (HOUR,), NOW + 30, 1).allowed


def test_learning() -> None:
    """The state from elsewhere replaces the own state."""
    limiter = InMemoryRateLimiter(1)
    limiter.acquire(b"a", (MINUTE,), NOW, 3)
    limiter.learn(b"a", (MINUTE,), (NOW + 20,), NOW)
    assert limiter.acquire(b"a", (MINUTE,), NOW, 2).allowed
    limiter.learn(b"a", (MINUTE,), (NOW + 60,), NOW)
    assert not limiter.acquire(b"a", (MINUTE,), NOW, 1).allowed


def test_capacity() -> None:
    """A book that could hold nothing is refused."""
    with pytest.raises(ValueError, match="at least one"):
        InMemoryRateLimiter(0)
