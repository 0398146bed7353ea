"""
The three ways to an operation: found at once, through the framework's router, and all of it by the framework.

The last is how routes are usually answered, and the reference: the framework finds the route, and gets what its
signature asks for. What a caller sees, and what is written down, is the same to the byte.
"""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, product
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute, request_response
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from keywright.api.edge import Observed, Reached
from keywright.api.operations import Operation, Operations
from keywright.app import Plugs, create_app
from keywright.config import Settings
from keywright.service.faults import AuthUnavailable, InvalidToken, OrganizationRequired
from keywright.service.ports import Authenticator
from keywright.service.principal import Organization, Permission, Principal
from keywright.storage.migrate import migrate

KEYS = "/api/v2/api-keys"
NOW = datetime(2026, 11, 23, 12, 0, 0, 120_340, tzinfo=UTC)
ISSUER = "https://id.acme.example/"
FIRST = UUID("019a5d2e-7c1f-7c44-9b0e-000000000001")
ALL = "all.acme"
ONCE = "5cbf3a0e-3b8f-4a51-8f0c-1d5a0f3c2b7e"


class Tokens(Authenticator):
    """Knows tokens by their words."""

    async def authenticate(self, token: str) -> Principal:
        match token.split("."):
            case ["away"]:
                raise AuthUnavailable("no keys")
            case ["nowhere"]:
                raise OrganizationRequired
            case ["broken"]:
                raise KeyError("broken")
            case ["all", organization]:
                granted = frozenset(Permission)
            case ["no", organization]:
                granted = frozenset()
            case _:
                raise InvalidToken("The token has expired.")
        organization_ = Organization.named(ISSUER, organization)
        return Principal(issuer=ISSUER, subject="s", client_id=None, organization=organization_, granted=granted)


class Noted:
    """Keeps what the layers behind it leave to be written down of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.notes: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.notes.append(scope.setdefault("state", {}))
        await self._app(scope, receive, send)


def framework_of(app: Any) -> FastAPI:
    while not isinstance(app, FastAPI):
        app = app._app
    return app


def at_once(app: FastAPI) -> ASGIApp:
    return Observed(Reached(app, Operations(app.routes)))


def by_the_router(app: FastAPI) -> ASGIApp:
    return Observed(Reached(app, Operations([])))


def by_the_framework(app: FastAPI) -> ASGIApp:
    for place, route in enumerate(app.routes):
        if isinstance(route, Operation):
            # The routes are the modules', and of every application in this process.
            plain = copy.copy(route)
            plain.app = request_response(APIRoute.get_route_handler(plain))
            app.router.routes[place] = plain
    return by_the_router(app)


WAYS: dict[str, Callable[[FastAPI], ASGIApp]] = {
    "at once": at_once,
    "by the router": by_the_router,
    "by the framework": by_the_framework,
}


class House:
    """A service of its own with a clock that stands, and ids and entropy that are the same in every one."""

    def __init__(self, way: str, http: httpx.AsyncClient, noted: Noted, plugs: Plugs) -> None:
        self.way = way
        self.noted = noted
        self.plugs = plugs
        self._http = http

    async def ask(self, method: str, path: str, token: str | None = ALL, **request: Any) -> tuple[Any, ...]:
        """Ask, and give everything of the answer and of what is left to be written down."""
        headers = [("X-Request-Id", "request-1")]
        headers += [] if token is None else [("Authorization", f"Bearer {token}")]
        headers += request.pop("headers", [])
        answer = await self._http.request(method, path, headers=headers, **request)
        return answer.status_code, answer.headers.raw, answer.content, self.noted.notes.pop()


@asynccontextmanager
async def opened(way: str, folder: Path) -> AsyncIterator[House]:
    url = f"sqlite:///{folder}/keys.db"
    await asyncio.to_thread(migrate, url)
    bytes_before, ids_before = count(), count()

    def change(plugs: Plugs) -> Plugs:
        return replace(
            plugs,
            authenticator=Tokens(),
            clock=lambda: NOW,
            entropy=lambda size: next(bytes_before).to_bytes(size, "big"),
            new_id=lambda: UUID(int=FIRST.int + next(ids_before)),
        )

    app = framework_of(create_app(Settings(issuer=ISSUER, audience="urn:acme", database_url=url), change=change))
    plugs: Plugs = app.state.plugs
    noted = Noted(WAYS[way](app))
    transport = httpx.ASGITransport(noted)
    async with httpx.AsyncClient(transport=transport, base_url="http://keywright") as http:
        try:
            yield House(way, http, noted, plugs)
        finally:
            await plugs.store.close()


Ask = tuple[str, str, dict[str, Any]]


def asked() -> Iterator[Ask]:
    """Requests of every kind, to be sent in this order."""
    yield from creations()
    yield from lists()
    # Created first, created never, no id, and what the template of a path itself says.
    for key in (FIRST, str(FIRST).upper(), UUID(int=FIRST.int + 100), "x", "%7Bkey_id%7D"):
        yield from of_one(f"{KEYS}/{key}")
    yield from beside()


def creations() -> Iterator[Ask]:
    wish = {"name": "a", "description": "b", "scopes": ["a:b"], "metadata": {"x": [1, 1e16, 1e-7, "é", None, {}]}}
    for body in ({"name": "first"}, wish, {**wish, "expires_at": "2027-01-01T00:00:00+01:00"}):
        yield "POST", KEYS, {"json": body}
    for name in ("once", "once", "another"):
        yield "POST", KEYS, {"json": {"name": name}, "headers": [("Idempotency-Key", ONCE)]}


def lists() -> Iterator[Ask]:
    for query in ("", "?limit=2", "?include=usage", "?limit=1&limit=2", "?status=active&q=a", "?expiring", "?limit="):
        yield "GET", f"{KEYS}{query}", {}
    for query in ("limit=0", "limit=x&cursor=x&nothing=1", "nothing", "status=x", "q=%00", "include=usage&include=x"):
        yield "GET", f"{KEYS}?{query}", {}
        yield "GET", f"{KEYS}/x/usage?{query}", {}


def beside() -> Iterator[Ask]:
    found = f"{KEYS}/{FIRST}"
    for path in (
        f"{KEYS}/",
        f"{found}/",
        f"{KEYS}//",
        f"{KEYS}//usage",
        f"{found}//usage",
        f"{KEYS}%0A",
        f"{found}%0A",
    ):
        yield "GET", path, {}
    for path in ("/api/v2/api-key-events", "/api/v2/api-key-events?limit=1", "/api/v2/api-key-options", "/livez", "/x"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            yield method, path, {}
    for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "SPY"):
        yield method, KEYS, {}
        yield method, found, {}


def of_one(key: str) -> Iterator[Ask]:
    for query in ("", "/usage", "/usage?period=hour", "/usage?period=x", "/revocation", "/events", "/events?type=x"):
        yield "GET", f"{key}{query}", {}
    for tag in ('"7"', '"1"'):
        yield "PATCH", key, {"json": {"name": "other"}, "headers": [("If-Match", tag)]}
    yield "PATCH", key, {"json": {"name": "other"}, "headers": [("If-Match", '"1"'), ("If-Match", "x")]}
    yield "PATCH", key, {"json": {"nothing": 1}}
    for _ in range(2):
        yield "POST", f"{key}/rotate", {}
    yield "PUT", f"{key}/rotation", {"json": {"overlap_seconds": 0}}
    yield "PUT", f"{key}/revoke", {"json": {"reason": "superseded"}}
    yield "GET", f"{key}/revocation", {}
    yield "DELETE", key, {}
    yield "DELETE", key, {}


JSON = ("Content-Type", "application/json")
GOOD = b'{"name":"a"}'
CONTENTS = [
    *(
        b"",
        b"{",
        b"[]",
        b" " * 16_385,
        GOOD,
        b'{"name":"a","name":"b"}',
        b'{"name":NaN}',
        b'{"name":"\xff"}',
        b'{"a":1}',
    ),
    *(b'{"name":"\\ud800"}', b'{"name":1}', b'{"name":""}', b'{"name":"a","scopes":["x"],"metadata":1}'),
]
BODIES: list[tuple[bytes, list[tuple[str, str]]]] = [
    *((content, [JSON]) for content in CONTENTS),
    (GOOD, []),
    (GOOD, [("Content-Type", "application/json; charset=latin-1")]),
    (GOOD, [("Content-Type", 'Application/JSON; charset="UTF-8"')]),
    (GOOD, [JSON, ("Content-Encoding", "gzip")]),
    (GOOD, [JSON, ("Content-Length", "17000")]),
    (GOOD, [JSON, ("Idempotency-Key", "short")]),
    (b"{", [("Content-Type", "text/plain"), ("Idempotency-Key", ONCE), ("Idempotency-Key", ONCE)]),
    (b"{", [JSON, ("Accept", "application/problem+json")]),
]
TOKENS = {None: 401, "expired": 401, "nowhere": 403, "no.acme": 403, "away": 503, "all.acme, x": 400}
"""Tokens that are turned down, and how."""


async def same(folder: Path, script: Callable[[House], AsyncIterator[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    """Run *script* each way, and give what came of it, which is the same."""
    results = []
    for way in WAYS:
        (folder / way).mkdir()
        async with opened(way, folder / way) as house:
            results.append([answer async for answer in script(house)])
    reference = results.pop()
    for result in results:
        for answer, expected in zip(result, reference, strict=True):
            assert answer == expected
    return reference


async def test_requests(tmp_path: Path) -> None:
    """Good and bad requests to every operation, and beside them, get the same answer each way."""

    async def script(house: House) -> AsyncIterator[tuple[Any, ...]]:
        for method, path, request in asked():
            yield await house.ask(method, path, **copy.deepcopy(request))

    answers = await same(tmp_path, script)
    assert {status for status, *_ in answers} >= {200, 201, 204, 404, 405, 409, 412, 422}
    assert {status for status, *_ in answers} & {500} == set()


async def test_bodies(tmp_path: Path) -> None:
    """Bodies of every kind get the same answer each way, in one piece and in many, wherever a body is read."""

    async def script(house: House) -> AsyncIterator[tuple[Any, ...]]:
        for method, path in (("POST", KEYS), ("PATCH", f"{KEYS}/x"), ("PUT", f"{KEYS}/{FIRST}/revoke")):
            for content, headers in BODIES:
                for body in (content, pieces(content)):
                    yield await house.ask(method, path, content=body, headers=headers)

    statuses = {status for status, *_ in await same(tmp_path, script)}
    assert statuses == {200, 201, 400, 413, 415, 422}


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 5):
        yield content[start : start + 5]


async def test_tokens(tmp_path: Path) -> None:
    """A token that is turned down is so each way, by every operation, and before anything else of a request is read."""

    async def script(house: House) -> AsyncIterator[tuple[Any, ...]]:
        for route in framework_of(house.noted).routes:
            if isinstance(route, Operation):
                for method, token in product(route.methods or (), TOKENS):
                    answer = await house.ask(method, route.path, token, content=b"{", headers=[("If-Match", "x")])
                    yield token, *answer

    assert [(token, status) for token, status, *_ in await same(tmp_path, script) if status != TOKENS[token]] == []


async def test_the_unexpected(tmp_path: Path) -> None:
    """What nobody thought of is the fixed 500 each way."""

    async def script(house: House) -> AsyncIterator[tuple[Any, ...]]:
        yield await house.ask("GET", KEYS, "broken")

    ((status, _, body, _),) = await same(tmp_path, script)
    assert (status, json.loads(body)["code"]) == (500, "internal")


async def test_the_database_is_away(tmp_path: Path) -> None:
    """Without a database every operation says so the same way."""

    async def script(house: House) -> AsyncIterator[tuple[Any, ...]]:
        await house.plugs.store.close()
        for method, path in (("POST", KEYS), ("GET", KEYS), ("GET", f"{KEYS}/{FIRST}"), ("DELETE", f"{KEYS}/{FIRST}")):
            yield await house.ask(method, path, json={"name": "a"})

    assert {(status, json.loads(body)["code"]) for status, _, body, _ in await same(tmp_path, script)} == {
        (503, "storage_unavailable")
    }


async def test_the_client_leaves(tmp_path: Path) -> None:
    """A client that leaves before its body is whole has created nothing, and is written down the same way."""

    async def script(house: House) -> AsyncIterator[tuple[Any, ...]]:
        messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
        sent: list[Any] = []

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", b"Bearer all.acme"), (b"content-type", b"application/json")]
        headers += [(b"x-request-id", b"request-1")]
        scope = {"type": "http", "method": "POST", "path": KEYS, "query_string": b"", "headers": headers}
        await house.noted(scope, receive, send)
        yield (*sent, house.noted.notes.pop())
        yield await house.ask("GET", KEYS)

    left, listed = await same(tmp_path, script)
    assert left[-1]["log"]["code"] == "invalid_request"
    assert listed[2] == b"[]"


def test_what_a_signature_may_ask_for() -> None:
    """An operation that asks for what cannot be given is found when the service is put together, not when it runs."""
    router = APIRouter(route_class=Operation)

    def of_more(request: Request, more: int) -> int:
        raise NotImplementedError

    async def asks_for_more(_more: Annotated[int, Depends(of_more)]) -> Response:
        raise NotImplementedError

    async def asks_nobody(_more: int) -> Response:
        raise NotImplementedError

    with pytest.raises(TypeError, match="more"):
        router.get("/x", response_model=None)(asks_for_more)
    with pytest.raises(TypeError, match="asks_nobody"):
        router.get("/x", response_model=None)(asks_nobody)


def test_every_operation_is_found() -> None:
    """No operation needs the router, and nothing else is taken for one."""
    app = framework_of(create_app(Settings(issuer=ISSUER, audience="urn:acme")))
    operations = Operations(app.routes)
    for route in app.routes:
        if isinstance(route, APIRoute):
            path = route.path.format(key_id="x")
            for method in route.methods or ():
                found = operations.find(method, path)
                assert (found is not None) is isinstance(route, Operation), path
                if found is not None:
                    assert found == (route, {"key_id": "x"} if "{" in route.path else {})
    for path in (f"{KEYS}/", f"{KEYS}//usage", f"{KEYS}/x/", f"{KEYS}/x/nothing", "/api/v2/api-keysx", "", "/"):
        assert operations.find("GET", path) is None
