"""The key set over time: how often the keys are fetched, which calls wait, and the effect of an outage."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from keywright.auth.access_token import AccessTokens
from keywright.auth.jwks import (
    FRESH_SECONDS,
    PAUSE_SECONDS,
    REFRESH_AFTER_SECONDS,
    STALE_SECONDS,
    UNKNOWN_KEY_PAUSE_SECONDS,
    KeySet,
)
from keywright.service.faults import AuthUnavailable, InvalidToken
from tests.auth.fakes import DISCOVERY, KEY_SET, FakeProvider, FakeTime
from tests.auth.issuer import AUDIENCE, ISSUER, NOW, Issuer, claims

OUTLIVED = FRESH_SECONDS + STALE_SECONDS


async def settle() -> None:
    """Let everything run that can run without time going on."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(reached: Callable[[], bool]) -> None:
    """Let everything run, the fake time with it, until *reached* says so."""
    for _ in range(10_000):
        if reached():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def test_known_key(key_set: KeySet, provider: FakeProvider, fetched: list[str]) -> None:
    """The first call fetches; the next ones do not."""
    assert not key_set.present()
    first = await key_set.key("key-1")
    assert first is not None
    assert all([await key_set.key("key-1") is first for _ in range(100)])
    assert key_set.present()
    assert len(provider.requests) == 2
    assert fetched == ["ok"]


async def test_thousand_first_questions(key_set: KeySet, provider: FakeProvider) -> None:
    """A thousand simultaneous first calls cause one fetch of the key set, two requests in all."""
    keys = await asyncio.gather(*(key_set.key("key-1") for _ in range(1000)))
    assert all(keys)
    assert provider.count_of(DISCOVERY) == 1
    assert provider.count_of(KEY_SET) == 1


async def test_thousand_first_tokens(
    issuer: Issuer, other_issuer: Issuer, key_set: KeySet, provider: FakeProvider
) -> None:
    """A thousand tokens at once, good, forged and of unknown keys, cause one fetch of the key set."""
    access_tokens = AccessTokens(
        issuer=ISSUER, audience=AUDIENCE, key_set=key_set, clock=lambda: datetime.fromtimestamp(NOW, UTC)
    )
    tokens = [issuer.token(), other_issuer.token(), issuer.token(kid="key-2"), issuer.token(claims(iss="x"))] * 250
    verdicts = await asyncio.gather(*map(access_tokens.authenticate, tokens), return_exceptions=True)
    assert [isinstance(verdict, InvalidToken) for verdict in verdicts] == [False, True, True, True] * 250
    assert provider.count_of(KEY_SET) == 1


async def test_cancelled_waiter(key_set: KeySet, provider: FakeProvider) -> None:
    """One who stops waiting, the first included, takes nothing from the others."""
    provider.gate.clear()
    waiters = [asyncio.create_task(key_set.key("key-1")) for _ in range(10)]
    await settle()
    for waiter in waiters[:5]:
        waiter.cancel()
    await settle()
    provider.gate.set()
    assert all(await asyncio.gather(*waiters[5:]))
    assert all(waiter.cancelled() for waiter in waiters[:5])
    assert provider.count_of(KEY_SET) == 1


async def test_all_waiters_cancelled(key_set: KeySet, provider: FakeProvider, fetched: list[str]) -> None:
    """A fetch whose callers are all cancelled still counts."""
    provider.gate.clear()
    waiter = asyncio.create_task(key_set.key("key-1"))
    await settle()
    waiter.cancel()
    provider.gate.set()
    await settle()
    assert fetched == ["ok"]
    assert await key_set.key("key-1")
    assert len(provider.requests) == 2


async def refused_in_the_pause(key_set: KeySet, kid: str) -> int:
    """Look up a key that is refused as our trouble; give the seconds after which trying again makes sense."""
    with pytest.raises(AuthUnavailable) as refused:
        await key_set.key(kid)
    return refused.value.retry_after


async def test_unknown_keys(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """Ten thousand unknown keys cause one fetch, and another one only when 6 s have gone by."""
    await key_set.key("key-1")
    time.now += UNKNOWN_KEY_PAUSE_SECONDS
    for _ in range(3):
        before = provider.count_of(KEY_SET)
        assert not any(await asyncio.gather(*(key_set.key(f"unknown-{n}") for n in range(5_000))))
        for number in range(5_000):
            assert await refused_in_the_pause(key_set, f"unknown-{number}") == UNKNOWN_KEY_PAUSE_SECONDS
        assert provider.count_of(KEY_SET) == before + 1
        time.now += UNKNOWN_KEY_PAUSE_SECONDS - 0.1
        assert await refused_in_the_pause(key_set, "unknown") == 1
        assert provider.count_of(KEY_SET) == before + 1
        time.now += 0.1


async def test_new_key_in_the_pause(issuer: Issuer, key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """A key that is published after the last fetch is not refused as unknown, and found after the pause."""
    await key_set.key("unknown")
    provider.serve(issuer.jwk(), issuer.jwk(kid="key-2"))
    time.now += await refused_in_the_pause(key_set, "key-2")
    assert await key_set.key("key-2")


async def test_fetch_that_began_before(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """A fetch that was under way when the call came refuses no key; the next one does, for all who wait for it."""
    await key_set.key("key-1")
    time.now += UNKNOWN_KEY_PAUSE_SECONDS
    provider.gate.clear()
    first = asyncio.create_task(key_set.key("unknown"))
    await settle()
    later = [asyncio.create_task(key_set.key(f"unknown-{n}")) for n in range(100)]
    await settle()
    provider.gate.set()
    assert await first is None
    verdicts = await asyncio.gather(*later, return_exceptions=True)
    assert all(isinstance(verdict, AuthUnavailable) for verdict in verdicts)
    assert provider.count_of(KEY_SET) == 2


async def test_background_fetch_is_no_pause(
    issuer: Issuer, key_set: KeySet, provider: FakeProvider, time: FakeTime
) -> None:
    """A key that is published just after a fetch in the background is found by the first token that it signs."""
    await key_set.key("key-1")
    time.now += REFRESH_AFTER_SECONDS
    await key_set.key("key-1")
    await settle()
    assert provider.count_of(KEY_SET) == 2
    provider.serve(issuer.jwk(), issuer.jwk(kid="key-2"))
    assert await key_set.key("key-2")


async def test_unknown_key_joins_a_background_fetch(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """A background fetch that began before the call does not decide: the call causes one of its own."""
    await key_set.key("key-1")
    time.now += REFRESH_AFTER_SECONDS
    provider.gate.clear()
    await key_set.key("key-1")
    await settle()
    waiter = asyncio.create_task(key_set.key("unknown"))
    await settle()
    provider.gate.set()
    assert await waiter is None
    assert provider.count_of(KEY_SET) == 3


async def test_pause_counts_from_the_attempt(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """A fetch that fails is followed by the same pause as one that succeeds."""
    await key_set.key("key-1")
    provider.fail()
    time.now += PAUSE_SECONDS
    before = len(provider.requests)
    for _ in range(1000):
        with pytest.raises(AuthUnavailable):
            await key_set.key("unknown")
    assert len(provider.requests) == before + 1


async def test_rotated_key(issuer: Issuer, key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """A new key is found by the first token that it signs."""
    await key_set.key("key-1")
    generation = key_set.generation
    provider.serve(issuer.jwk(), issuer.jwk(kid="key-2"))
    time.now += PAUSE_SECONDS
    found = await asyncio.gather(*(key_set.key("key-2") for _ in range(100)))
    assert all(found)
    assert provider.count_of(KEY_SET) == 2
    assert key_set.generation > generation


async def test_withdrawn_key(issuer: Issuer, key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """A key that the issuer no longer publishes is not known any more after the next fetch."""
    await key_set.key("key-1")
    provider.serve(issuer.jwk(kid="key-2"))
    time.now += PAUSE_SECONDS
    assert await key_set.key("key-2")
    time.now += UNKNOWN_KEY_PAUSE_SECONDS
    assert await key_set.key("key-1") is None


async def test_changed_key_of_the_same_name(
    other_issuer: Issuer, key_set: KeySet, provider: FakeProvider, time: FakeTime
) -> None:
    """A key that changed under its name is a change."""
    first, generation = await key_set.key("key-1"), key_set.generation
    provider.serve(other_issuer.jwk())
    time.now += REFRESH_AFTER_SECONDS
    await key_set.key("key-1")
    await settle()
    assert await key_set.key("key-1") != first
    assert key_set.generation == generation + 1


async def test_unchanged_keys(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """Fetching the same keys again is no change, so nothing that hangs on them is thrown away."""
    first, generation = await key_set.key("key-1"), key_set.generation
    time.now += REFRESH_AFTER_SECONDS
    await key_set.key("key-1")
    await settle()
    assert provider.count_of(KEY_SET) == 2
    assert await key_set.key("key-1") is first
    assert key_set.generation == generation


async def test_refreshed_ahead(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """Keys that will soon not be fresh are fetched in the background, once, and no call waits for it."""
    await key_set.key("key-1")
    time.now += REFRESH_AFTER_SECONDS - 1
    await key_set.key("key-1")
    await settle()
    assert provider.count_of(DISCOVERY) == 1
    time.now += 1
    provider.gate.clear()
    assert all(await asyncio.gather(*(key_set.key("key-1") for _ in range(1000))))
    await settle()
    assert provider.count_of(DISCOVERY) == 2
    provider.gate.set()


async def test_known_key_during_a_hanging_fetch(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """While a fetch for an unknown key hangs, a known one is given at once."""
    await key_set.key("key-1")
    time.now += PAUSE_SECONDS
    provider.gate.clear()
    waiter = asyncio.create_task(key_set.key("unknown"))
    await settle()
    assert await key_set.key("key-1")
    assert not waiter.done()
    provider.gate.set()
    assert await waiter is None


async def test_outage_of_an_hour(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """An outage of an hour refuses no known key, even one that begins just before the keys would be fetched again."""
    await key_set.key("key-1")
    time.now += REFRESH_AFTER_SECONDS
    provider.fail()
    for _ in range(3600):
        assert await key_set.key("key-1")
        assert key_set.present()
        time.now += 1
        await settle()
    assert await key_set.key("key-1")


async def test_outage_is_not_pressed(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """During an outage a flood of unknown keys causes a fetch every 6 s, and the known ones none."""
    await key_set.key("key-1")
    time.now += REFRESH_AFTER_SECONDS
    provider.fail()
    before = len(provider.requests)
    for _ in range(300):
        await key_set.key("key-1")
        with pytest.raises(AuthUnavailable):
            await key_set.key("unknown")
        time.now += 1
    # The first one because the keys were due, then one at 1 s, 7 s, … 295 s.
    assert len(provider.requests) == before + 1 + 50


async def test_outage_without_unknown_keys(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """During an outage known keys cause a fetch every 30 s."""
    await key_set.key("key-1")
    time.now += REFRESH_AFTER_SECONDS
    provider.fail()
    before = len(provider.requests)
    for _ in range(300):
        await key_set.key("key-1")
        await settle()
        time.now += 1
    assert len(provider.requests) == before + 10


async def test_longer_outage(issuer: Issuer, key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """Keys that have been stale for an hour are no longer trusted; the fault is ours, and ends with the outage."""
    await key_set.key("key-1")
    answers = provider.answers
    provider.fail()
    time.now += OUTLIVED - 0.1
    assert await key_set.key("key-1")
    await settle()
    time.now += 0.1
    assert not key_set.present()
    with pytest.raises(AuthUnavailable) as refused:
        await key_set.key("key-1")
    assert refused.value.retry_after == UNKNOWN_KEY_PAUSE_SECONDS
    provider.answers = answers
    time.now += UNKNOWN_KEY_PAUSE_SECONDS
    assert await key_set.key("key-1")
    assert key_set.present()


async def test_key_rotated_in_during_an_outage(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """While the issuer is unavailable an unknown key may be new, so the fault is ours; afterwards it is the token's."""
    await key_set.key("key-1")
    answers = provider.answers
    provider.fail()
    time.now += PAUSE_SECONDS
    with pytest.raises(AuthUnavailable) as refused:
        await key_set.key("key-2")
    assert refused.value.retry_after == UNKNOWN_KEY_PAUSE_SECONDS
    provider.answers = answers
    time.now += UNKNOWN_KEY_PAUSE_SECONDS
    assert await key_set.key("key-2") is None


async def test_never_obtainable(key_set: KeySet, provider: FakeProvider, fetched: list[str]) -> None:
    """Without ever having had keys it is our trouble, with the time after which trying again makes sense."""
    provider.fail()
    for _ in range(1000):
        with pytest.raises(AuthUnavailable) as refused:
            await key_set.key("key-1")
        assert refused.value.retry_after == 5
    assert fetched == ["network"]
    assert len(provider.requests) == 1
    assert not key_set.present()


async def test_first_attempts(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """Until there are keys it is tried after 5, 10, 20 and then every 30 s, whatever the load."""
    provider.fail()
    attempts = []
    for second in range(130):
        before = len(provider.requests)
        for _ in range(3):
            with pytest.raises(AuthUnavailable):
                await key_set.key("key-1")
        attempts += [second] * (len(provider.requests) - before)
        time.now += 1
    assert attempts == [0, 5, 15, 35, 65, 95, 125]


@pytest.mark.parametrize("keys", [[], [{"kty": "EC", "kid": "key-1"}], [None], [{}] * 33])
async def test_useless_set(
    key_set: KeySet, provider: FakeProvider, time: FakeTime, fetched: list[str], keys: list[Any]
) -> None:
    """A set without a usable key does not replace a good one."""
    first, generation = await key_set.key("key-1"), key_set.generation
    provider.serve(*keys)
    time.now += REFRESH_AFTER_SECONDS
    await key_set.key("key-1")
    await settle()
    assert fetched[0] == "ok"
    assert fetched[1] in {"no_usable_key", "too_many_keys"}
    assert await key_set.key("key-1") is first
    assert key_set.generation == generation


async def test_defect_in_a_fetch(
    key_set: KeySet, provider: FakeProvider, time: FakeTime, fetched: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is a failed fetch: logged, and tried again."""

    def break_down(_request: httpx.Request) -> httpx.Response:
        raise RuntimeError("nobody thought of this")

    good = provider.answers[DISCOVERY]
    provider.answers[DISCOVERY] = break_down
    with pytest.raises(AuthUnavailable):
        await key_set.key("key-1")
    assert fetched == ["unexpected"]
    assert "nobody thought of this" in caplog.text
    provider.answers[DISCOVERY] = good
    time.now += 5
    assert await key_set.key("key-1")


async def test_started(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """After `start` it fetches without a request, and goes on doing so before the keys cease to be fresh."""
    began = time.now
    await key_set.start()
    assert not key_set.present()
    await until(lambda: provider.count_of(KEY_SET) == 10)
    assert time.now - began == pytest.approx(REFRESH_AFTER_SECONDS * 9, abs=PAUSE_SECONDS)
    assert key_set.present()


async def test_started_without_a_provider(key_set: KeySet, provider: FakeProvider) -> None:
    """Starting does not fail without a provider; the keys are there soon after it is."""
    answers = provider.answers
    provider.fail()
    await key_set.start()
    await until(lambda: len(provider.requests) == 5)
    assert not key_set.present()
    provider.answers = answers
    await until(key_set.present)
    assert await key_set.key("key-1")


async def test_started_twice(key_set: KeySet, provider: FakeProvider) -> None:
    """Starting again changes nothing."""
    provider.gate.clear()
    await key_set.start()
    await key_set.start()
    await settle()
    assert len(provider.requests) == 1
    provider.gate.set()


async def test_closed_during_a_fetch(key_set: KeySet, provider: FakeProvider) -> None:
    """Closing ends the fetch under way; a call that waits for it gets `AuthUnavailable`, and is not cancelled."""
    provider.gate.clear()
    await key_set.start()
    waiters = [asyncio.create_task(key_set.key("key-1")) for _ in range(10)]
    await settle()
    await key_set.close()
    verdicts = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(verdict, AuthUnavailable) for verdict in verdicts)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not any(name.startswith("signing keys") for name in names)


async def test_after_closing(key_set: KeySet, provider: FakeProvider, time: FakeTime) -> None:
    """After closing, known keys still serve what is being finished, others are our trouble, and none is fetched."""
    await key_set.key("key-1")
    await key_set.close()
    await key_set.start()
    time.now += REFRESH_AFTER_SECONDS
    before = len(provider.requests)
    assert await key_set.key("key-1")
    with pytest.raises(AuthUnavailable):
        await key_set.key("unknown")
    await settle()
    assert len(provider.requests) == before


async def test_closed_unused() -> None:
    """A key set that was never used can be closed, twice."""
    key_set = KeySet(ISSUER)
    await key_set.close()
    await key_set.close()


@pytest.mark.parametrize("address", ["http://acme.eu.auth0.com/", "acme.eu.auth0.com", ""])
def test_issuer_that_may_not_be_asked(address: str) -> None:
    """An issuer without https that is not on this machine is refused at once."""
    with pytest.raises(ValueError, match="https"):
        KeySet(address)
