"""The ASGI middleware, in front of an application that knows nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from keywright.client import AsyncVerifier
from keywright.client.middleware import App, KeywrightASGIMiddleware, Receive, Scope, Send
from keywright.keys.rate_limits import RateLimit
from tests.client.asgi import Life, caller, converse
from tests.client.fake_service import VERIFY, Canned, FakeService, eventually_async, problem
from tests.client.shells import QUICK

pytestmark = pytest.mark.usefixtures("nothing_left_running")


class Application:
    """Answers 200 and remembers what it was asked."""

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


async def test_a_good_key_passes(fake: FakeService, verifier: AsyncVerifier, application: Application) -> None:
    """A request with a good key reaches the application, with the verdict where it can find it."""
    key = fake.create(scopes=("a:read",))
    async with caller(KeywrightASGIMiddleware(application, verifier, scopes=["a:read"], environment="live")) as client:
        for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
            assert (await client.get("/", headers=headers)).content == b"hello"
    for scope in application.scopes:
        assert scope["keywright"].valid
        assert scope["state"]["keywright"] is scope["keywright"]


@pytest.mark.parametrize(
    ("options", "headers", "status", "code"),
    [
        ({}, {}, 401, "key_required"),
        ({}, {"Authorization": "Bearer nonsense"}, 401, "not_found"),
        ({}, {"Authorization": "Bearer KEY", "X-API-Key": "other"}, 400, "several_keys"),
        ({"scopes": ["a:read", "b:read"]}, {"X-API-Key": "KEY"}, 403, "insufficient_scope"),
        ({"environment": "sandbox"}, {"X-API-Key": "KEY"}, 403, "wrong_environment"),
        ({}, {"X-API-Key": "REVOKED"}, 401, "revoked"),
        ({}, {"X-API-Key": "EXPIRED"}, 401, "expired"),
    ],
)
async def test_refusals(
    fake: FakeService,
    verifier: AsyncVerifier,
    application: Application,
    options: dict[str, Any],
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    """Every refusal is answered with its status, as JSON, and the application never sees the request."""
    key, revoked, expired = fake.create(scopes=("a:read",)), fake.create(), fake.create(expires_at=1.0)
    fake.revoke(revoked)
    filled = {
        name: value.replace("KEY", key).replace("REVOKED", revoked).replace("EXPIRED", expired)
        for name, value in headers.items()
    }
    async with caller(KeywrightASGIMiddleware(application, verifier, **options)) as client:
        response = await client.get("/", headers=filled)
    assert response.status_code == status
    assert response.json()["code"] == code
    assert response.headers["Content-Type"] == "application/json"
    assert ("WWW-Authenticate" in response.headers) is (status == 401 or code == "insufficient_scope")
    assert application.scopes == []


async def test_limits(fake: FakeService, verifier: AsyncVerifier, application: Application) -> None:
    """Every answer tells how the limits stand; what is beyond them is 429 with a time to come again."""
    key, free = fake.create(rate_limits=(RateLimit("minute", 4, 60), RateLimit("day", 9, 86_400))), fake.create()
    async with caller(KeywrightASGIMiddleware(application, verifier, cost=3)) as client:
        passed, refused = [await client.get("/", headers={"X-API-Key": key}) for _ in range(2)]
        assert "RateLimit" not in (await client.get("/", headers={"X-API-Key": free})).headers
    assert (passed.status_code, refused.status_code) == (200, 429)
    for response, left in ((passed, "1"), (refused, "1")):
        assert response.headers["RateLimit-Policy"] == '"minute";q=4;w=60, "day";q=9;w=86400'
        assert response.headers["RateLimit"].startswith(f'"minute";r={left};t=')
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert len(application.scopes) == 2


async def test_a_cost_that_never_fits(fake: FakeService, verifier: AsyncVerifier, application: Application) -> None:
    """A request that a limit can never let pass is not told to come again."""
    key = fake.create(rate_limits=(RateLimit("minute", 2, 60),))
    async with caller(KeywrightASGIMiddleware(application, verifier, cost=3)) as client:
        response = await client.get("/", headers={"X-API-Key": key})
    assert response.status_code == 429
    assert "Retry-After" not in response.headers


async def test_networks(fake: FakeService, verifier: AsyncVerifier, application: Application) -> None:
    """A key that is bound to networks passes from there only, as the trusted proxy tells it."""
    key = fake.create(allowed_ips=("203.0.113.0/24",))
    app = KeywrightASGIMiddleware(application, verifier, trusted_proxies=["127.0.0.0/8"])
    async with caller(app, client=("127.0.0.1", 1)) as client:
        for address, status in (("203.0.113.9", 200), ("198.51.100.1", 403), ("nonsense", 403)):
            response = await client.get("/", headers={"X-API-Key": key, "X-Forwarded-For": address})
            assert response.status_code == status
            assert status == 200 or response.json()["code"] == "ip_not_allowed"
    async with caller(app, client=("192.0.2.1", 1)) as client:
        response = await client.get("/", headers={"X-API-Key": key, "X-Forwarded-For": "203.0.113.9"})
        assert response.status_code == 403


async def test_trouble_is_not_the_customers_fault(
    fake: FakeService, verifier: AsyncVerifier, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    """An unavailable service, and a credential that it refuses, are a 503 with a time to try again."""
    key = fake.create()
    async with caller(KeywrightASGIMiddleware(application, verifier)) as client:
        for canned in (Canned(503, b"", {"Retry-After": "7"}), Canned(401, problem("invalid_token", "Revoked."))):
            fake.canned[VERIFY] = canned
            response = await client.get("/", headers={"X-API-Key": key})
            assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
            assert int(response.headers["Retry-After"]) >= 1
    assert application.scopes == []
    assert "Revoked." in caplog.text
    assert key not in caplog.text


async def test_exempt_paths(fake: FakeService, verifier: AsyncVerifier, application: Application) -> None:
    """A path that needs no key is exactly the one that was named."""
    app = KeywrightASGIMiddleware(application, verifier, exempt=["/healthz"])
    async with caller(app) as client:
        assert (await client.get("/healthz?full=1")).status_code == 200
        for path in ("/healthz/", "/healthzz", "/healthz/../reports", "//healthz", "/HEALTHZ"):
            assert (await client.get(path)).status_code == 401
    with pytest.raises(TypeError):
        KeywrightASGIMiddleware(application, verifier, exempt="/healthz")


async def test_what_is_told_of_the_caller(fake: FakeService, verifier: AsyncVerifier, application: Application) -> None:
    """The address is the peer's, or that in `X-Forwarded-For` behind a trusted proxy."""
    key = fake.create()
    app = KeywrightASGIMiddleware(application, verifier, trusted_proxies=["10.0.0.0/8"])
    for peer in ("10.0.0.1", "192.0.2.1"):
        async with caller(app, client=(peer, 1)) as client:
            headers = {"X-API-Key": key, "X-Forwarded-For": "203.0.113.9", "User-Agent": "curl/8"}
            assert (await client.get("/", headers=headers)).status_code == 200
    await eventually_async(lambda: len(fake.sightings) == 2)
    assert {seen["network"] for seen in fake.sightings} == {"203.0.113.0/24", "192.0.2.0/24"}
    assert {seen["agent"] for seen in fake.sightings} == {"curl"}


# WebSockets.


async def test_websockets(fake: FakeService, verifier: AsyncVerifier, application: Application) -> None:
    """A WebSocket without a good key is never accepted; a server that can is told to answer as for a request."""
    app = KeywrightASGIMiddleware(application, verifier)
    assert await converse(app, [(b"x-api-key", fake.create().encode())]) == [{"type": "websocket.accept"}]
    assert await converse(app, []) == [{"type": "websocket.close", "code": 1008, "reason": "key_required"}]
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
    """What goes wrong in the application's own start is passed on, and nothing is left running."""
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


async def test_started_by_the_first_request(fake: FakeService, application: Application) -> None:
    """A server that announces nothing starts the verifier with its first request."""
    verifier = AsyncVerifier(fake.url, fake.credential, timing=QUICK)
    async with caller(KeywrightASGIMiddleware(application, verifier)) as client:
        assert (await client.get("/", headers={"X-API-Key": fake.create()})).status_code == 200
    await verifier.close()


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
