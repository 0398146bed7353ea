"""The ASGI middleware: WebSockets, lifespans and event loops; `integration_contract` tests the shared rules."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from keywright.client import AsyncVerifier
from keywright.client.integrations.asgi import App, KeywrightASGIMiddleware, Receive, Scope, Send
from tests.client.asgi import Life, converse
from tests.client.fake_service import FakeService, eventually_async
from tests.client.shells import QUICK

pytestmark = pytest.mark.usefixtures("nothing_left_running")


class Application:
    """Answers 200 and records its requests."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] in ("http", "websocket")
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def verifier(fake: FakeService) -> AsyncIterator[AsyncVerifier]:
    async with AsyncVerifier(fake.url, fake.credential, timing=QUICK) as verifier:
        yield verifier


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.mark.parametrize("kind", ["webtransport", "http.request", ""])
async def test_other_scopes(verifier: AsyncVerifier, application: Application, kind: str) -> None:
    """A scope of a type that the middleware does not know is refused, and the application does not see it."""
    app = KeywrightASGIMiddleware(application, verifier, exempt=["/"])
    with pytest.raises(ValueError, match="ASGI scopes of the type"):
        await converse(app, [], type=kind)
    assert application.scopes == []


# WebSockets.


async def test_websockets(fake: FakeService, verifier: AsyncVerifier, application: Application) -> None:
    """A WebSocket without a valid key is never accepted; where the server can, it gets an HTTP answer."""
    app = KeywrightASGIMiddleware(application, verifier)
    assert await converse(app, [(b"x-api-key", fake.create().encode())]) == [{"type": "websocket.accept"}]
    assert await converse(app, []) == [{"type": "websocket.close", "code": 1008, "reason": "missing_key"}]
    start, body = await converse(app, [], extensions={"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert body["type"] == "websocket.http.response.body"
    assert len(application.scopes) == 1


# The life of an application.


async def living(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that knows of its life."""
    for kind in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{kind}"
        await send({"type": f"lifespan.{kind}.complete"})


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that cannot start."""
    await receive()
    raise ValueError("no database")


@pytest.mark.parametrize("app", [living, Application()])
async def test_started_and_closed_with_the_application(fake: FakeService, app: App) -> None:
    """The verifier lives as long as the application, whether that knows of its life or not."""
    verifier = AsyncVerifier(fake.url, fake.credential, timing=QUICK)
    life = Life(KeywrightASGIMiddleware(app, verifier))
    await life.tell("startup")
    await eventually_async(lambda: verifier.following)
    started = verifier.started
    # By the time that the server hears of the end, everything has been said to the service.
    goodbyes: list[bool] = []
    fake.at_goodbye = lambda: goodbyes.append(any("shutdown" in message["type"] for message in life.sent))
    await life.tell("shutdown")
    await life.task
    assert (started, verifier.started) == (True, False)
    assert goodbyes == [False]
    assert [message["type"] for message in life.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_an_application_that_cannot_start(fake: FakeService) -> None:
    """An error in the application's own start is passed on, and nothing is left running."""
    verifier = AsyncVerifier(fake.url, fake.credential, timing=QUICK)
    life = Life(KeywrightASGIMiddleware(failing, verifier))
    await life.tell("startup")
    with pytest.raises(ValueError, match="no database"):
        await life.task
    assert not verifier.started


async def test_a_verifier_that_others_started_is_theirs(fake: FakeService, verifier: AsyncVerifier) -> None:
    """A verifier that was started before is not closed with the application."""
    life = Life(KeywrightASGIMiddleware(living, verifier))
    await life.tell("startup")
    await life.tell("shutdown")
    await life.task
    assert verifier.started


def test_one_event_loop_after_another(fake: FakeService) -> None:
    """A verifier that was left open on a loop that is over begins anew on the next."""
    verifier, key = AsyncVerifier(fake.url, fake.credential, timing=QUICK), fake.create()

    async def verify(*, close: bool) -> None:
        assert await verifier.verify(key)
        if close:
            await verifier.close()

    asyncio.run(verify(close=False))
    asyncio.run(verify(close=True))


async def test_two_event_loops_at_a_time(fake: FakeService, verifier: AsyncVerifier) -> None:
    """A verifier that runs on one loop is not used on another."""
    key = fake.create()
    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, verifier.verify(key))
