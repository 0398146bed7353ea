"""Both verifiers against a service over real HTTP that misbehaves on demand."""

import asyncio
import logging
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
import pytest

from keywright.client.errors import CredentialRefused, KeywrightError, ServiceUnavailable
from keywright.client.verifier import Timing, Verifier
from keywright.client.verifier._calls import STOOD_STILL_SECONDS
from keywright.client.verifier._checker import UncachedRequest
from keywright.keys.pair import mint, mint_credential
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import Code
from tests.client.clocks import JumpingClock, SetClock, WrongClock
from tests.client.fake_service import (
    ACK,
    FEED,
    PATIENCE_SECONDS,
    USAGE,
    VERIFY,
    Canned,
    FakeService,
    eventually_async,
    problem,
)
from tests.client.losing import LosesReports
from tests.client.shells import QUICK, Kind, shell

pytestmark = pytest.mark.usefixtures("nothing_left_running")

UNKNOWN = mint(bytes(32), brand="kw", environment="live").private.reveal()


async def test_first_sight_asks_and_the_second_does_not(fake: FakeService, kind: Kind) -> None:
    """The service is asked once for a key; after that its verdicts come out of memory."""
    key = fake.create(name="Nightly", scopes=("a:read",))
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert verifier.verify_now(key) is None
        first = await verifier.verify(key, client_ip="192.0.2.7")
        assert first
        assert first.key is not None
        assert (first.key.name, first.key.scopes, first.stale) == ("Nightly", ("a:read",), False)
        assert await verifier.verify(key) == first
        assert verifier.verify_now(key, scopes=["a:read"], environment="live")
        refused = verifier.verify_now(key, scopes=["b:read"], explain=True)
        assert refused is not None
        assert refused.code is Code.INSUFFICIENT_SCOPE
        assert refused.explanation is not None
    (asked,) = fake.asked(VERIFY)
    assert asked.body == {"key": key, "client_ip": "192.0.2.7"}
    assert asked.headers["keywright-facts"] == "1"
    assert asked.headers["authorization"] == f"Bearer {fake.credential}"


async def test_malformed_text_is_not_sent(fake: FakeService, kind: Kind) -> None:
    """What cannot be a key is refused without a request."""
    async with shell(kind, fake) as verifier:
        assert (await verifier.verify("kw_sk_live_nonsense")).code is Code.NOT_FOUND
    assert fake.asked(VERIFY) == []


async def test_an_address_that_is_none_is_not_sent(fake: FakeService, kind: Kind) -> None:
    """What a proxy wrote in place of an address does not make the service refuse the question."""
    async with shell(kind, fake) as verifier:
        assert (await verifier.verify(UNKNOWN, client_ip="unix:" + "x" * 999)).code is Code.NOT_FOUND
    assert fake.asked(VERIFY)[0].body == {"key": UNKNOWN}


async def test_one_string_is_no_collection_of_scopes(fake: FakeService, kind: Kind) -> None:
    """A single string in place of a list of scopes is an error, not a demand for its letters."""
    async with shell(kind, fake) as verifier:
        await verifier.started()
        with pytest.raises(TypeError):
            await verifier.verify(UNKNOWN, scopes="reports:read")
        with pytest.raises(TypeError):
            verifier.verify_now(UNKNOWN, scopes="reports:read")


async def test_concurrent_first_sights_share_one_request(fake: FakeService, kind: Kind) -> None:
    """Twenty requests with a new key share one look-up, and a cancelled one does not cancel the others."""
    key = fake.create(scopes=("a:read",))
    # The clock stands still: after the bound each of them would be right to ask again.
    async with shell(kind, fake, clock=SetClock()) as verifier:
        await verifier.followed()
        with fake.held(VERIFY):
            asking = [asyncio.create_task(verifier.verify(key, scopes=["a:read"] * (n % 2))) for n in range(20)]
            await eventually_async(lambda: fake.asked(VERIFY))
            asking[0].cancel()
            await asyncio.sleep(0)
        verdicts = await asyncio.gather(*asking[1:])
    assert all(verdicts)
    assert len(fake.asked(VERIFY)) == 1


async def test_a_question_that_arrives_after_its_answer(fake: FakeService) -> None:
    """
    A question is answered from memory when the answer to the same question came between a thread's look into memory
    and the arrival of its question at the event loop.
    """
    key = fake.create()
    async with shell("threads", fake, clock=SetClock()) as verifier:
        await verifier.followed()
        assert isinstance(verifier.verifier, Verifier)
        background = verifier.verifier._background
        assert background is not None
        assert verifier.verify_now(key) is None
        late = background.checker.decide(key)
        assert isinstance(late, UncachedRequest)
        assert await verifier.verify(key)
        assert await asyncio.to_thread(background.decide, late)
    assert len(fake.asked(VERIFY)) == 1


async def test_a_revocation_arrives(fake: FakeService, kind: Kind) -> None:
    """A revoked key is dropped, the drop is confirmed, and the next request asks and is refused."""
    key, other = fake.create(), fake.create()
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        assert await verifier.verify(other)
        change = fake.revoke(key)
        await eventually_async(lambda: change in fake.confirmed, "the confirmation")
        assert verifier.verify_now(key) is None
        assert verifier.verify_now(other)
        assert (await verifier.verify(key)).code is Code.REVOKED
        gone = fake.delete(other)
        await eventually_async(lambda: gone in fake.confirmed, "the confirmation")
        assert (await verifier.verify(other)).code is Code.NOT_FOUND


async def test_an_overtaken_look_up_is_asked_again(fake: FakeService, kind: Kind) -> None:
    """A key that was read, then revoked and announced, then answered, is asked for once more before its verdict."""
    key = fake.create()
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        with fake.held(VERIFY):
            asking = asyncio.create_task(verifier.verify(key))
            await eventually_async(lambda: fake.asked(VERIFY))
            change = fake.revoke(key)
            await eventually_async(lambda: change in fake.confirmed)
        assert (await asking).code is Code.REVOKED
    assert len(fake.asked(VERIFY)) == 2


async def test_an_old_question_is_not_joined(fake: FakeService, kind: Kind) -> None:
    """A request that comes a second after a question was put does not wait for its answer: it may be too old."""
    key, clock = fake.create(), JumpingClock()
    async with shell(kind, fake, clock=clock) as verifier:
        await verifier.started()
        with fake.held(VERIFY):
            first = asyncio.create_task(verifier.verify(key))
            await eventually_async(lambda: fake.asked(VERIFY))
            fake.keys[next(iter(fake.keys))].revoked = True
            clock.jump(1.1)
            second = asyncio.create_task(verifier.verify(key))
            await eventually_async(lambda: len(fake.asked(VERIFY)) == 2)
        assert (await second).code is Code.REVOKED
        await first


async def test_a_stopped_process_asks(fake: FakeService, kind: Kind) -> None:
    """After a time in which the process did not run, nothing counts until the feed was heard again."""
    key, clock = fake.create(), JumpingClock()
    async with shell(kind, fake, clock=clock) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        assert verifier.verify_now(key)
        clock.jump(10)
        assert verifier.verify_now(key) is None
        fake.keys[next(iter(fake.keys))].revoked = True
        assert (await verifier.verify(key)).code is Code.REVOKED


async def test_a_process_that_stood_still_asks_again(fake: FakeService) -> None:
    """A question whose time is over because the process did not run meanwhile is put again, and is not an outage."""
    key, clock = fake.create(), JumpingClock()
    timing = replace(QUICK, answer=5.0)
    async with shell("async", fake, clock=clock, timing=timing) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        clock.jump(10)
        with fake.held(VERIFY):
            asking = asyncio.create_task(verifier.verify(key))
            await eventually_async(lambda: len(fake.asked(VERIFY)) == 2)
        # As SIGSTOP does: the answer comes, and nobody takes it until its time is over.
        time.sleep(timing.answer + 2 * STOOD_STILL_SECONDS)
        assert not (await asking).stale


async def test_a_cut_feed_asks_for_every_key(fake: FakeService, kind: Kind) -> None:
    """Without the feed each request asks; once it is back, what was missed is dropped and memory counts again."""
    key, other = fake.create(), fake.create()
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        assert await verifier.verify(other)
        fake.canned[FEED] = Canned(503)
        fake.cut_feeds()
        await verifier.not_followed()
        asked = len(fake.asked(VERIFY))
        for _ in range(3):
            verdict = await verifier.verify(key)
            assert verdict
            assert not verdict.stale
        assert len(fake.asked(VERIFY)) == asked + 3
        change = fake.revoke(key)
        assert (await verifier.verify(key)).code is Code.REVOKED
        del fake.canned[FEED]
        await verifier.followed()
        await eventually_async(lambda: change in fake.confirmed)
        assert verifier.verify_now(other)
        # Known as revoked by now, or asked for.
        refused = verifier.verify_now(key)
        assert refused is None or refused.code is Code.REVOKED
    feeds = fake.asked(FEED)
    assert "cursor" not in feeds[0].query
    assert feeds[-1].query["cursor"] == "0"
    assert len({feed.query["session"] for feed in feeds}) == 1


async def test_a_silent_feed_is_not_trusted(fake: FakeService, kind: Kind) -> None:
    """A feed that stays open and says nothing ends trust by itself."""
    key = fake.create()
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        fake.muted = True
        await verifier.not_followed()
        assert verifier.verify_now(key) is None
        fake.muted = False
        await verifier.followed()
        assert verifier.verify_now(key)


async def test_a_silent_feed_is_opened_again(fake: FakeService, kind: Kind) -> None:
    """A connection over which nothing has come for a while is given up."""
    async with shell(kind, fake, timing=Timing(silence=0.2, first_pause=0.005)) as verifier:
        await verifier.followed()
        fake.muted = True
        await eventually_async(lambda: len(fake.asked(FEED)) > 1, "another feed")
        fake.muted = False


async def test_a_service_that_is_behind_is_not_trusted(fake: FakeService, kind: Kind) -> None:
    """The events of a service that does not read its changes do not keep the cache fresh."""
    key = fake.create()
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        fake.age = 5.0
        await verifier.not_followed()
        assert verifier.verify_now(key) is None


async def test_streams_end_and_are_gone_on_from(fake: FakeService, kind: Kind) -> None:
    """When the service ends a stream, the next one goes on at its end, and the cache is kept."""
    key = fake.create()
    fake.stream_seconds = 0.1
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        await eventually_async(lambda: len(fake.asked(FEED)) > 4, "more streams")
        assert await verifier.verify(key)
    # Looked up a second time at most: when the first look-up was on its way while the feed began.
    assert len(fake.asked(VERIFY)) <= 2
    assert all("cursor" in seen.query for seen in fake.asked(FEED)[1:])


async def test_a_lost_place_forgets_everything(fake: FakeService, kind: Kind) -> None:
    """When the service cannot say what was missed, every key is asked for again."""
    key = fake.create()
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        fake.revoke(fake.create())
        fake.keys[next(iter(fake.keys))].revoked = True
        fake.lose_place()
        await eventually_async(lambda: fake.confirmed)
        fake.lose_place()
        fake.canned[FEED] = Canned(503)
        fake.cut_feeds()
        await verifier.not_followed()
        fake.revoke(fake.create())
        fake.lose_place()
        del fake.canned[FEED]
        await verifier.followed()
        assert verifier.verify_now(key) is None
        assert (await verifier.verify(key)).code is Code.REVOKED


@pytest.mark.parametrize(
    "canned",
    [
        Canned(200, b"<h1>Welcome</h1>", {"Content-Type": "text/html"}),
        Canned(200, b"event: hello\ndata: {}\n\n", {"Content-Type": "text/event-stream"}),
        Canned(200, b"\xff\n", {"Content-Type": "text/event-stream"}),
        Canned(200, b"", {"Content-Type": "text/event-stream"}),
        Canned(404, b"no"),
        Canned(302, None, {"Location": "https://login.example/"}),
        Canned(500, problem("internal", "Something went wrong here.")),
    ],
)
async def test_a_feed_that_is_none(fake: FakeService, kind: Kind, canned: Canned) -> None:
    """Whatever is answered in place of a feed, keys are asked for, and the feed is tried again."""
    key = fake.create()
    fake.canned[FEED] = canned
    async with shell(kind, fake) as verifier:
        assert await verifier.verify(key)
        await eventually_async(lambda: len(fake.asked(FEED)) > 2, "another try")
        assert verifier.verify_now(key) is None
        del fake.canned[FEED]
        await verifier.followed()


# Outages.


@pytest.mark.parametrize(
    "canned",
    [
        None,
        Canned(503, problem("storage_unavailable", "The database cannot be reached."), {"Retry-After": "7"}),
        Canned(502, b"<h1>Bad gateway</h1>", {"Retry-After": "7"}),
        Canned(500, problem("internal", "Something went wrong here."), {"Retry-After": "7"}),
        Canned(429, problem("rate_limited", "Too many requests."), {"Retry-After": "7"}),
        Canned(404, b"no", {"Retry-After": "7"}),
        Canned(422, problem("validation_failed", "No."), {"Retry-After": "7"}),
        Canned(200, b"<h1>Welcome</h1>"),
        Canned(200, {"valid": True, "code": "valid", "api_key": None}),
        Canned(200, {"valid": True, "code": "revoked", "api_key": None}),
        Canned(200, {"valid": False, "code": "added_later", "api_key": None}),
        Canned(200, b"[" * 100_000),
    ],
)
async def test_an_outage(fake: FakeService, kind: Kind, canned: Canned | None) -> None:
    """
    When neither the feed nor the service can be had, known keys pass, marked stale, for the time that was set; after
    that, and for keys that are not known, the service is unavailable, which says nothing against the key.
    """
    key, clock = fake.create(), JumpingClock()
    async with shell(kind, fake, clock=clock, outage_seconds=100) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        if canned is None:
            fake.away = True
        else:
            fake.canned |= {VERIFY: canned, FEED: Canned(503)}
        fake.cut_feeds()
        clock.jump(50)
        verdict = await verifier.verify(key)
        assert verdict
        assert verdict.stale
        with pytest.raises(ServiceUnavailable) as caught:
            await verifier.verify(UNKNOWN)
        assert caught.value.retry_after == (7 if canned and canned.headers else None)
        clock.jump(51)
        with pytest.raises(ServiceUnavailable):
            await verifier.verify(key)
        fake.away = False
        fake.canned.clear()
        await verifier.followed()
        verdict = await verifier.verify(key)
        assert verdict
        assert not verdict.stale


async def test_an_outage_from_the_start(fake: FakeService, kind: Kind) -> None:
    """A verifier starts while the service is unavailable, and works once it is available."""
    key = fake.create()
    fake.away = True
    async with shell(kind, fake) as verifier:
        await verifier.started()
        with pytest.raises(ServiceUnavailable):
            await verifier.verify(key)
        fake.away = False
        await verifier.followed()
        assert await verifier.verify(key)


async def test_answers_from_the_services_memory(fake: FakeService, kind: Kind) -> None:
    """While the service itself answers from memory its verdicts are stale, and asked for each time."""
    key = fake.create(scopes=("a:read",))
    fake.from_memory = True
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        for _ in range(2):
            verdict = await verifier.verify(key, scopes=["a:read"])
            assert verdict
            assert verdict.stale
        assert len(fake.asked(VERIFY)) >= 2
        fake.from_memory = False
        assert not (await verifier.verify(key)).stale
        assert verifier.verify_now(key)


async def test_a_stopped_service_does_not_stop_its_callers(fake: FakeService, kind: Kind) -> None:
    """A service that takes questions and says nothing costs the first request its patience, and later ones nothing."""
    key, clock = fake.create(), JumpingClock()
    async with shell(kind, fake, clock=clock, timing=Timing(answer=0.5, first_pause=0.005)) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        with fake.paused():
            clock.jump(5)
            # Were each to wait for itself, it would take twice the time there is.
            async with asyncio.timeout(PATIENCE_SECONDS):
                for _ in range(4 * PATIENCE_SECONDS):
                    assert (await verifier.verify(key)).stale
            with pytest.raises(ServiceUnavailable):
                await verifier.verify(UNKNOWN)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await verifier.verify(key)).stale:  # noqa: ASYNC110  (asking is what is tested)
                await asyncio.sleep(0.01)


async def test_a_connection_that_breaks_is_tried_again(fake: FakeService, kind: Kind) -> None:
    """A service that restarts between two questions is asked over a new connection."""
    first, second = fake.create(), fake.create()
    async with shell(kind, fake) as verifier:
        assert await verifier.verify(first)
        fake.drop_next = 1
        assert await verifier.verify(second)


# The verifier's credential.


@pytest.mark.parametrize("status", [401, 403])
async def test_a_credential_that_is_refused(
    fake: FakeService, kind: Kind, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A revoked credential is its own error, and is logged; cached keys are not accepted any more."""
    key, clock = fake.create(), JumpingClock()
    refusal = Canned(status, problem("invalid_token", "The verifier credential is unknown or was revoked."))
    async with shell(kind, fake, clock=clock) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        fake.canned |= {VERIFY: refusal, FEED: refusal}
        fake.cut_feeds()
        clock.jump(2)
        with pytest.raises(CredentialRefused, match="unknown or was revoked"):
            await verifier.verify(key)
        await eventually_async(lambda: any(record.levelno == logging.ERROR for record in caplog.records))
    assert fake.credential not in caplog.text


@pytest.mark.parametrize(
    ("url", "credential", "options"),
    [
        ("keys.acme.example", None, {}),
        ("http://127.0.0.1:1", "secret", {}),
        ("http://127.0.0.1:1", UNKNOWN, {}),
        ("http://127.0.0.1:1", None, {"brand": "acme"}),
        ("http://127.0.0.1:1", None, {"capacity": 1}),
        ("http://127.0.0.1:1", None, {"capacity": 2.5}),
        ("http://127.0.0.1:1", None, {"outage_seconds": -1}),
        ("http://127.0.0.1:1", None, {"outage_seconds": 1e9}),
        ("http://127.0.0.1:1", None, {"outage_seconds": True}),
        ("http://127.0.0.1:1", None, {"name": ""}),
        ("http://127.0.0.1:1", None, {"name": "two words"}),
        ("http://127.0.0.1:1", None, {"name": "x" * 101}),
        ("http://127.0.0.1:1", None, {"limit_share": 0}),
        ("http://127.0.0.1:1", None, {"limit_share": 1.01}),
        ("http://127.0.0.1:1", None, {"limit_share": True}),
        ("http://127.0.0.1:1", None, {"limit_share": float("nan")}),
    ],
)
def test_options_that_cannot_be(kind: Kind, url: str, credential: str | None, options: dict[str, Any]) -> None:
    """A wrong option is an error when the verifier is made; the text does not contain the credential."""
    from keywright.client import AsyncVerifier, Verifier

    good = mint_credential(bytes(32), brand="kw").reveal()
    with pytest.raises(KeywrightError) as caught:
        (AsyncVerifier if kind == "async" else Verifier)(url, credential or good, **options)
    assert (credential or good) not in str(caught.value)


def test_http_to_another_machine(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier sends no key over http:// to another machine, unless the caller or the environment allows it."""
    from keywright.client import AsyncVerifier, Verifier

    monkeypatch.delenv("KEYWRIGHT_ALLOW_HTTP", raising=False)
    make, credential = AsyncVerifier if kind == "async" else Verifier, mint_credential(bytes(32), brand="kw").reveal()
    with pytest.raises(KeywrightError, match="allow_http"):
        make("http://keys.acme.example", credential)
    make("http://keys.acme.example", credential, allow_http=True)
    monkeypatch.setenv("KEYWRIGHT_ALLOW_HTTP", "1")
    make("http://keys.acme.example", credential)


def test_the_credential_is_not_shown(fake: FakeService, kind: Kind) -> None:
    """No printed form of a verifier or its options contains the credential."""
    from keywright.client import AsyncVerifier, Verifier

    made = (AsyncVerifier if kind == "async" else Verifier)(fake.url, fake.credential)
    assert fake.credential not in repr(made) + repr(made._service)


# Time of day.


async def test_a_clock_that_is_ten_minutes_off(fake: FakeService, kind: Kind) -> None:
    """A key expires when the service says so, on a machine whose clock is behind, from memory too."""
    key, clock = fake.create(expires_at=time.time() + 30), JumpingClock()
    async with shell(kind, fake, clock=clock, wall=WrongClock(-600)) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        assert verifier.verify_now(key)
        fake.away = True
        fake.cut_feeds()
        clock.jump(31)
        verdict = await verifier.verify(key)
        assert (verdict.code, verdict.stale) == (Code.EXPIRED, True)


async def test_a_replaced_secret_on_a_clock_that_is_off(fake: FakeService, kind: Kind) -> None:
    """A secret that a rotation replaced ends when the service says so, on a machine whose clock is behind, too."""
    now = time.time()
    key, clock = fake.create(retires_at=now + 30, expires_at=now + 9999), JumpingClock()
    async with shell(kind, fake, clock=clock, wall=WrongClock(-600)) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        fake.away = True
        fake.cut_feeds()
        clock.jump(31)
        assert (await verifier.verify(key)).code is Code.REPLACED


async def test_a_verifier_is_told_that_its_clock_is_off(
    fake: FakeService, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock error of ten minutes is shown by an attribute and by one line in the log."""
    caplog.set_level(logging.WARNING, "keywright.client")
    fake.stream_seconds = 0.05
    async with shell(kind, fake, wall=WrongClock(-600)) as verifier:
        assert verifier.verifier.clock_error_seconds is None
        await verifier.followed()
        await eventually_async(lambda: len(fake.asked(FEED)) > 2, "more streams")
        error = verifier.verifier.clock_error_seconds
        assert error is not None
        assert round(error, -1) == -600
    assert verifier.verifier.clock_error_seconds is None
    (told,) = [record.getMessage() for record in caplog.records if "clock is off" in record.getMessage()]
    assert "-600" in told or "-599" in told


# Addresses and rate limits.


async def test_one_answer_for_several_addresses(fake: FakeService, kind: Kind) -> None:
    """Requests from several addresses that wait for one answer are each judged by their own."""
    key = fake.create(allowed_ips=("192.0.2.0/24",))
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        with fake.held(VERIFY):
            asking = [
                asyncio.create_task(verifier.verify(key, client_ip=address)) for address in ("192.0.3.1", "192.0.2.1")
            ]
            await eventually_async(lambda: fake.asked(VERIFY))
        verdicts = await asyncio.gather(*asking)
        assert [verdict.code for verdict in verdicts] == [Code.IP_NOT_ALLOWED, Code.VALID]
        assert (await verifier.verify(key)).code is Code.IP_NOT_ALLOWED
    assert len(fake.asked(VERIFY)) <= 2


async def test_limits_are_counted_here(fake: FakeService, kind: Kind) -> None:
    """A key's limits are counted in this process, its share of them, without asking the service again."""
    key = fake.create(rate_limits=(RateLimit("minute", 8, 60),))
    async with shell(kind, fake, limit_share=0.5) as verifier:
        await verifier.followed()
        verdicts = [await verifier.verify(key) for _ in range(3)]
        assert [verdict.limits[0].remaining for verdict in verdicts] == [3, 2, 1]
        refused = await verifier.verify(key, cost=2)
        assert (refused.code, refused.limits[0].remaining) == (Code.RATE_LIMITED, 1)
        assert refused.retry_after_seconds is not None
        assert 1 <= refused.retry_after_seconds <= 15
        assert verifier.verify_now(key, cost=0)
        assert verifier.verify_now(key)
    assert len(fake.asked(VERIFY)) == 1


async def test_what_is_no_cost(fake: FakeService, kind: Kind) -> None:
    """A cost that cannot be is an error, whether or not the key has limits."""
    async with shell(kind, fake) as verifier:
        await verifier.started()
        with pytest.raises(ValueError, match="cost"):
            await verifier.verify(UNKNOWN, cost=-1)
        with pytest.raises(TypeError, match="cost"):
            verifier.verify_now(UNKNOWN, cost=1.5)  # type: ignore[arg-type]


async def test_limits_that_the_service_counts(fake: FakeService, kind: Kind) -> None:
    """The service counts a key with unknown rules, with the cost of the request."""
    key = fake.create(rate_limits=(RateLimit("minute", 8, 60),))
    fake.more_facts = {"added_later": []}
    state = {"name": "minute", "limit": 8, "window_seconds": 60, "remaining": 0, "reset_seconds": 60.0}
    fake.counted = {"valid": False, "code": "rate_limited", "rate_limits": [state], "retry_after_seconds": 8}
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        verdict = await verifier.verify(key, cost=3)
        assert (verdict.code, verdict.retry_after_seconds) == (Code.RATE_LIMITED, 8)
        assert verdict.limits == ((RateLimit("minute", 8, 60), 0, 60.0),)
    assert [seen.body.get("cost") for seen in fake.asked(VERIFY)] == [None, 3]


# Keys that only the service can weigh, and customers that it limits.


async def test_facts_that_only_the_service_can_weigh(fake: FakeService, kind: Kind) -> None:
    """A key with rules this version does not know is decided by the service each time, with all that was asked."""
    key = fake.create(scopes=("a:read",))
    fake.more_facts = {"added_later": []}
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        verdict = await verifier.verify(key, scopes=["a:read"], environment="live", client_ip="192.0.2.7")
        assert verdict
        assert verdict.key is not None
        assert (await verifier.verify(key, scopes=["b:read"])).code is Code.INSUFFICIENT_SCOPE
        assert verifier.verify_now(key) is None
    in_full = [seen.body for seen in fake.asked(VERIFY) if "keywright-facts" not in seen.headers]
    wanted = {"key": key, "scopes": ["a:read"], "explain": False, "environment": "live", "client_ip": "192.0.2.7"}
    assert in_full[0] == wanted


async def test_long_metadata_comes_from_the_service(fake: FakeService, kind: Kind) -> None:
    """Short metadata comes from memory; long metadata, which the facts lack, from the service with each request."""
    short, long = fake.create(metadata={"plan": "team"}), fake.create(long_metadata={"plan": "long"})
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        for key, metadata in ((short, {"plan": "team"}), (long, {"plan": "long"})):
            assert (await verifier.verify(key)).code is Code.VALID
            before = len(fake.asked(VERIFY))
            for _ in range(2):
                verdict = await verifier.verify(key, metadata=True)
                assert verdict.key is not None
                assert verdict.key.metadata == metadata
            assert len(fake.asked(VERIFY)) - before == (0 if key is short else 2)
            assert verifier.verify_now(key)
        assert verifier.verify_now(short, metadata=True)
        assert verifier.verify_now(long, metadata=True) is None
        fake.away = True
        with pytest.raises(ServiceUnavailable):
            await verifier.verify(long, metadata=True)
    assert [seen.body.get("include") for seen in fake.asked(VERIFY)] == [None, None, ["metadata"], ["metadata"]]


async def test_a_limited_network(fake: FakeService, kind: Kind) -> None:
    """The failure limit refuses one customer, and no other that uses the same key at the same time."""
    key = fake.create()
    fake.limited = {"192.0.2.66"}
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        with fake.held(VERIFY):
            guessing = asyncio.create_task(verifier.verify(key, client_ip="192.0.2.66"))
            await eventually_async(lambda: fake.asked(VERIFY))
            other = asyncio.create_task(verifier.verify(key, client_ip="198.51.100.1"))
            await asyncio.sleep(0.01)
        verdict = await guessing
        assert (verdict.code, verdict.key) == (Code.RATE_LIMITED, None)
        assert await other


# Reports.


async def test_uses_are_reported(fake: FakeService, kind: Kind) -> None:
    """Uses arrive added up, by key, hour, network and agent, while it runs and when it is closed."""
    key = fake.create()
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        for _ in range(5):
            assert await verifier.verify(key, client_ip="192.0.2.7", user_agent="python-httpx/0.28.1")
        await eventually_async(lambda: fake.sightings, "the report")
        assert await verifier.verify(key, client_ip="2001:db8::1")
    assert sum(seen["count"] for seen in fake.sightings) == 6
    places = {(seen["network"], seen["agent"]) for seen in fake.sightings}
    assert places == {("192.0.2.0/24", "python-httpx"), ("2001:db8::/48", None)}
    assert {seen.body["session"] for seen in fake.asked(USAGE)} == {fake.asked(FEED)[0].query["session"]}


async def test_refusals_are_reported(fake: FakeService, kind: Kind) -> None:
    """Refusals of known keys arrive with their codes, uses without; what costs 0 and a text that is no key do not."""
    key, revoked = fake.create(scopes=("a:read",)), fake.create()
    fake.revoke(revoked)
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        for cost in (1, 0, 1):
            assert await verifier.verify(key, cost=cost)
            assert not await verifier.verify(key, cost=cost, scopes=["b:read"], client_ip="192.0.2.7")
            assert not await verifier.verify(revoked, cost=cost)
            assert not await verifier.verify(UNKNOWN, cost=cost)
    counts = Counter[str | None]()
    for seen in fake.sightings:
        counts[seen.get("code")] += seen["count"]
    assert counts == {None: 2, "insufficient_scope": 2, "revoked": 2}
    assert {seen["network"] for seen in fake.sightings if seen.get("code")} == {"192.0.2.0/24", None}


async def test_an_earlier_service_gets_the_uses(fake: FakeService, kind: Kind) -> None:
    """A service that knows no codes, and refuses a report as a whole, gets the uses without the refusals."""
    key = fake.create()
    fake.knows_refusals = False
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        assert not await verifier.verify(key, scopes=["b:read"])
    assert [seen["count"] for seen in fake.sightings] == [1]
    assert not any("code" in seen for seen in fake.sightings)


async def test_uses_wait_for_the_service(fake: FakeService, kind: Kind) -> None:
    """What could not be reported is reported later, once."""
    key = fake.create()
    fake.canned[USAGE] = Canned(503)
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        for _ in range(3):
            assert await verifier.verify(key)
        await eventually_async(lambda: len(fake.asked(USAGE)) > 2, "three tries")
        assert fake.sightings == []
        del fake.canned[USAGE]
        await eventually_async(lambda: fake.sightings, "the report")
    assert sum(seen["count"] for seen in fake.sightings) == 3


async def test_a_report_whose_answer_is_lost(fake: FakeService, kind: Kind) -> None:
    """
    A report that the service took without an answer is sent again as it was, before newer uses, and counted once.

    So it is while the verifier runs, and when it is closed.
    """
    key, network = fake.create(), LosesReports()
    async with shell(kind, fake, transport=network) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        await eventually_async(lambda: network.lost, "the report")
        for _ in range(4):
            assert await verifier.verify(key)
        await eventually_async(lambda: network.lost > 2, "three tries")
        network.losing = False
    assert sum(seen["count"] for seen in fake.sightings) == 5
    numbers = [seen.body["batch"] for seen in fake.asked(USAGE)]
    assert numbers == sorted(numbers)
    assert numbers[:3] == [1, 1, 1]
    bodies = {str(seen.body) for seen in fake.asked(USAGE)}
    assert len(bodies) == len(set(numbers)) == max(numbers) > 1


async def test_a_report_that_is_refused_for_good(fake: FakeService, kind: Kind) -> None:
    """A report that the service will never take is not sent again and again."""
    key = fake.create()
    fake.canned[USAGE] = Canned(422, problem("validation_failed", "No."))
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        await eventually_async(lambda: fake.asked(USAGE))
        await asyncio.sleep(3 * QUICK.report)
    assert len(fake.asked(USAGE)) == 1


async def test_confirmations_wait_for_the_service(fake: FakeService, kind: Kind) -> None:
    """A drop that could not be confirmed is confirmed later."""
    fake.canned[ACK] = Canned(503)
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        change = fake.revoke(fake.create())
        await eventually_async(lambda: len([seen for seen in fake.asked(ACK) if seen.body["seqs"]]) > 1, "two tries")
        assert change not in fake.confirmed
        del fake.canned[ACK]
        await eventually_async(lambda: change in fake.confirmed, "the confirmation")


async def test_a_session_without_changes_takes_its_leave(fake: FakeService, kind: Kind) -> None:
    """Without changes nothing is acknowledged, whatever is reported; the end is sent before the feed is closed."""
    key = fake.create()
    async with shell(kind, fake, name="billing-api", outage_seconds=17) as verifier:
        await verifier.followed()
        assert await verifier.verify(key)
        await eventually_async(lambda: fake.asked(USAGE), "a report of usage")
        assert fake.asked(ACK) == []
        assert fake.feeds == 1
        fake.at_goodbye = lambda: feeds.append(fake.feeds)
        feeds: list[int] = []
    session = fake.asked(FEED)[0].query
    assert (session["name"], session["outage_seconds"]) == ("billing-api", "17")
    assert fake.asked(ACK)[-1].body == {"session": session["session"], "seqs": [], "closed": True}
    assert feeds == [1]


# Beginning and end.


async def test_the_end_is_quick_while_the_service_is_stopped(fake: FakeService, kind: Kind) -> None:
    """A service that says nothing does not keep an application from ending."""
    async with shell(kind, fake, timing=Timing(end=0.1)) as verifier:
        await verifier.followed()
        assert await verifier.verify(fake.create())
        with fake.paused():
            await asyncio.wait_for(verifier.closed(), PATIENCE_SECONDS)


async def test_closed_while_somebody_waits(fake: FakeService, kind: Kind) -> None:
    """Whoever waits for an answer when the verifier is closed learns that it is unavailable."""
    key = fake.create()
    async with shell(kind, fake) as verifier:
        await verifier.followed()
        with fake.held(VERIFY):
            asking = asyncio.create_task(verifier.verify(key))
            await eventually_async(lambda: fake.asked(VERIFY))
            await verifier.closed()
            with pytest.raises(ServiceUnavailable, match="closed"):
                await asking


async def test_after_the_end(fake: FakeService, kind: Kind) -> None:
    """A closed verifier answers nothing; started again it is a new session with an empty memory."""
    key = fake.create()
    async with shell(kind, fake) as verifier:
        assert verifier.verify_now(key) is None
        await verifier.followed()
        assert await verifier.verify(key)
        await verifier.closed()
        await verifier.closed()
        assert not verifier.verifier.following
        assert verifier.verify_now(key) is None
        with pytest.raises(ServiceUnavailable, match="closed"):
            await verifier.verify(key)
        await verifier.followed()
        assert verifier.verify_now(key) is None
        assert await verifier.verify(key)
    assert len({seen.query["session"] for seen in fake.asked(FEED)}) == 2


async def test_transport(kind: Kind) -> None:
    """What carries the requests can be given."""
    from keywright.client import AsyncVerifier, Verifier

    asked: list[httpx.URL] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"valid": False, "code": "not_found", "api_key": None})

    options: dict[str, Any] = {"transport": httpx.MockTransport(handler)}
    credential = mint_credential(bytes(32), brand="kw").reveal()
    if kind == "async":
        async with AsyncVerifier("https://keys.acme.example/prefix/", credential, **options) as verifier:
            assert (await verifier.verify(UNKNOWN)).code is Code.NOT_FOUND
    else:
        with Verifier("https://keys.acme.example/prefix/", credential, **options) as in_thread:
            assert in_thread.verify(UNKNOWN).code is Code.NOT_FOUND
    assert httpx.URL(f"https://keys.acme.example/prefix{VERIFY}") in asked
