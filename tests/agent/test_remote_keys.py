"""What an agent makes of a service that misbehaves: no revoked key is accepted, and nobody waits in an outage."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from keywright.agent.application import create_app
from keywright.agent.followed import Followed
from keywright.agent.remote_keys import NoVerdict, RemoteKeys
from keywright.agent.session import AgentSession
from keywright.agent.settings import load
from keywright.client.verifier import Timing
from keywright.client.verifier._calls import STOOD_STILL_SECONDS, USUAL_TIMING, Service, ServiceCalls
from keywright.keys.cache import BOUND_SECONDS, KeyCache
from keywright.keys.format import digest
from keywright.keys.usage import UsageBook
from keywright.service.faults import StorageUnavailable
from tests.client.asgi import alive
from tests.client.fake_service import FACTS, FEED, VERIFY, Canned, FakeService, eventually_async, fake_service, problem
from tests.listening import serving
from tests.waiting import until

REFUSED = Canned(401, problem("invalid_token"))
SOON = 0.2


@pytest.fixture
def fake() -> Iterator[FakeService]:
    """A service that misbehaves on demand."""
    with fake_service() as service:
        yield service


@asynccontextmanager
async def remote(fake: FakeService, seconds: float = USUAL_TIMING.answer, url: str = "") -> AsyncIterator[RemoteKeys]:
    """Look keys up at *fake*, or at another address."""
    calls = ServiceCalls(Service(url or fake.url, fake.credential, "kw"), USUAL_TIMING, None)
    keys = RemoteKeys(calls, seconds)
    yield keys
    await keys.close()
    await calls.close()


@asynccontextmanager
async def agent(fake: FakeService) -> AsyncIterator[httpx.AsyncClient]:
    """Run an agent of *fake* whose callers need no credential, and that follows the changes."""
    app = create_app(load(url=fake.url, verifier=fake.credential, agent_access="open"))
    async with alive(app) as client:
        while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - it is a server that is waited for
            await asyncio.sleep(0.01)
        yield client


async def ask(client: httpx.AsyncClient, key: str, **more: Any) -> httpx.Response:
    """Have a key checked."""
    return await client.post(VERIFY, json={"key": key, **more})


def fails_at_once(keys: RemoteKeys, key: str) -> None:
    """Look a key up, and see that it fails before anything else happens on the loop."""
    looking = keys.find_keys([digest(key)])
    with pytest.raises(StorageUnavailable):
        looking.send(None)  # type: ignore[attr-defined]


async def test_nobody_waits_for_a_silent_service(fake: FakeService) -> None:
    """After a look-up without an answer all fail at once, also for the same key; one at a time goes on trying."""
    key = fake.create()
    async with remote(fake, SOON) as keys:
        with fake.held(FACTS):
            with pytest.raises(StorageUnavailable):
                await keys.find_keys([digest(key)])
            for _ in range(5):
                fails_at_once(keys, key)
            await eventually_async(lambda: len(fake.asked(FACTS)) == 2)
            fails_at_once(keys, key)

        async def found() -> list[bytes]:
            with suppress(StorageUnavailable):
                return list(await keys.find_keys([digest(key)]))
            return []

        await until(found)


async def test_an_event_of_the_feed_ends_the_silence(fake: FakeService) -> None:
    """Once the service is heard again, a look-up waits for its answer."""
    key = fake.create()
    async with remote(fake, SOON) as keys:
        with fake.held(FACTS), pytest.raises(StorageUnavailable):
            await keys.find_keys([digest(key)])
        keys.heard()
        assert list(await keys.find_keys([digest(key)])) == [digest(key)]


async def test_an_answer_that_trickles_in(fake: FakeService) -> None:
    """A look-up ends in its time, also where a byte of the answer comes again and again."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(SOON / 4)

    async with serving(trickle) as port, remote(fake, SOON, f"http://127.0.0.1:{port}") as keys:
        with pytest.raises(StorageUnavailable):
            await keys.find_keys([digest(fake.create())])


async def test_a_process_that_stood_still_asks_again(fake: FakeService) -> None:
    """A look-up whose time is over because the process did not run meanwhile is no outage."""
    key, seconds = fake.create(), 3.0
    async with remote(fake, seconds) as keys:
        with fake.held(FACTS):
            looking = asyncio.create_task(keys.find_keys([digest(key)]))  # type: ignore[arg-type]
            await eventually_async(lambda: len(fake.asked(FACTS)) == 1)
        # As SIGSTOP does: the answer comes, and nobody takes it until its time is over.
        time.sleep(seconds + 2 * STOOD_STILL_SECONDS)
        assert list(await looking) == [digest(key)]


async def stale_or_unavailable(client: httpx.AsyncClient, key: str) -> list[bool]:
    """Ask until the answer is 503; give whether each answer before it was stale."""
    stale = []
    async with asyncio.timeout(30):
        while (answer := await ask(client, key)).status_code == 200:
            stale.append(answer.json().get("stale", False))
            await asyncio.sleep(0.02)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    return stale


async def test_a_service_that_refuses_the_agent_is_no_outage(fake: FakeService) -> None:
    """An agent that was refused accepts no cached key as stale: the service is there, and the key may be revoked."""
    key = fake.create()
    async with agent(fake) as client:
        assert (await ask(client, key)).json()["valid"]
        fake.canned |= {FEED: REFUSED, FACTS: REFUSED}
        fake.cut_feeds()
        assert not any(await stale_or_unavailable(client, key))


async def test_a_rule_that_this_version_does_not_know_is_no_outage(fake: FakeService) -> None:
    """An agent that learns of an unknown rule does not decide by what it knew before."""
    key = fake.create()
    async with agent(fake) as client:
        assert (await ask(client, key)).json()["valid"]
        fake.more_facts = {"only_on_mondays": True}
        fake.canned[FEED] = Canned(503)
        fake.cut_feeds()
        assert not any(await stale_or_unavailable(client, key))


async def test_a_key_with_an_unknown_rule_stops_no_other(fake: FakeService) -> None:
    """Keys that are looked up together with one whose rule is not known are answered."""
    plain, special = fake.create(), fake.create(more_facts={"only_on_mondays": True})
    async with agent(fake) as client:
        with fake.held(FACTS):
            # As many look-ups as are under way at once: those that follow wait, and go together.
            first = [asyncio.create_task(ask(client, fake.create())) for _ in range(2)]
            await eventually_async(lambda: sum(len(seen.body["digests"]) for seen in fake.asked(FACTS)) == 2)
            asking = [asyncio.create_task(ask(client, key)) for key in (plain, special, plain)]
            for _ in range(200):
                # Nothing here waits for anything but the loop, until the look-ups are in the queue.
                await asyncio.sleep(0)
        answers = [await task for task in (*first, *asking)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 200]
        assert any(len(seen.body["digests"]) == 2 for seen in fake.asked(FACTS))
        assert (await ask(client, special, include=["metadata"])).status_code == 503
    async with remote(fake) as keys:
        with pytest.raises(NoVerdict):
            await keys.find_metadata(digest(special))


@pytest.mark.parametrize(
    "canned",
    [
        Canned(404, problem("not_found")),
        Canned(429, problem("too_many_changes"), {"Retry-After": "7"}),
        Canned(401, b"<html>a proxy</html>"),
        Canned(200, b"<html>a proxy</html>"),
        Canned(200, {"results": []}),
        Canned(200, b'{"results":[{"valid":true'),
        Canned(500, problem("internal")),
        Canned(502, b"bad gateway"),
        Canned(302, b"", {"Location": "https://elsewhere.example"}),
    ],
)
async def test_answers_without_facts(fake: FakeService, canned: Canned) -> None:
    """Whatever answers in the place of facts is an outage, no verdict; and the next look-up asks again."""
    key = fake.create()
    fake.canned[FACTS] = canned
    async with remote(fake) as keys:
        with pytest.raises(StorageUnavailable) as failed:
            await keys.find_keys([digest(key)])
        assert failed.value.retry_after == (7 if canned.status == 429 else 1)
        del fake.canned[FACTS]
        assert list(await keys.find_keys([digest(key)])) == [digest(key)]


async def test_a_refused_credential_is_a_fault_of_its_own(fake: FakeService) -> None:
    """A refused credential is 503 without an outage: see `NoVerdict`."""
    fake.canned[FACTS] = REFUSED
    async with remote(fake) as keys:
        with pytest.raises(NoVerdict) as failed:
            await keys.find_keys([digest(fake.create())])
        assert failed.value.code == StorageUnavailable.code


async def test_look_ups_of_metadata_leave_room(fake: FakeService) -> None:
    """However many requests want long metadata, the look-ups of keys, the feed and reports have connections."""
    key = fake.create(long_metadata={"text": "x" * 900})
    async with agent(fake) as client:
        assert (await ask(client, key)).json()["valid"]
        with fake.held(FACTS):
            asking = [asyncio.create_task(ask(client, key, include=["metadata"])) for _ in range(100)]
            await eventually_async(lambda: len(fake.asked(FACTS)) > 2)
            asking.append(asyncio.create_task(ask(client, fake.create())))
            await eventually_async(lambda: sum("include" not in seen.body for seen in fake.asked(FACTS)) > 1)
            assert sum("include" in seen.body for seen in fake.asked(FACTS)) <= 8
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)


async def test_events_without_news_are_no_sign_of_recovery(fake: FakeService) -> None:
    """A service that lost its database sends events still; look-ups are not sent to it again because of them."""
    heard: list[float | None] = []
    followed = Followed(KeyCache(1000), UsageBook(), monotonic=time.monotonic, wall=time.time)
    timing = Timing(report=0.01)
    calls = ServiceCalls(Service(fake.url, fake.credential, "kw"), timing, None)
    session = AgentSession(
        followed, calls, timing, name="a", outage_seconds=0, heard=lambda: heard.append(followed.since)
    )

    async def changed() -> None:
        change = fake.revoke(fake.create())
        await eventually_async(lambda: change in fake.confirmed)

    session.start()
    try:
        await eventually_async(lambda: len(heard) > 1)
        fake.lost_database_at = time.monotonic()
        await changed()
        before = len(heard)
        await changed()
        assert len(heard) == before
    finally:
        await session.close()


async def test_nothing_is_fresh_after_the_end() -> None:
    """Once the service was told of the end, a late event of the feed makes no key count again."""
    now = time.monotonic()
    cache = KeyCache(1000)
    followed = Followed(cache, UsageBook(), monotonic=time.monotonic, wall=time.time)
    followed.synced(now)
    assert cache.fresh_at(now)
    followed.end()
    followed.synced(now + BOUND_SECONDS)
    assert not cache.fresh_at(now)
