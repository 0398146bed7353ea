"""
The requests whose answers are recorded: the service that they are sent to, and what is kept of each.

    python -m tests.api.recording

writes `tests/api/recorded/` anew. Clock, ids and entropy of that service are fixed, so every run gives the same bytes;
the difference to what was recorded before is the change of the contract, and is read in the diff.
"""

import asyncio
import copy
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, product
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from keywright.app import create_app
from keywright.config import Settings
from keywright.plugs import Plugs
from keywright.service.faults import AuthUnavailable, InvalidToken, OrganizationRequired
from keywright.service.ports import Authenticator
from keywright.service.principal import Organization, Permission, Principal
from keywright.storage.migrate import migrate

RECORDED = Path(__file__).parent / "recorded"
KEYS = "/api/v2/api-keys"
OPERATOR = "/api/v2/operator"
NOW = datetime(2026, 11, 23, 12, 0, 0, 120_340, tzinfo=UTC)
ISSUER = "https://id.acme.example/"
FIRST = UUID("019a5d2e-7c1f-7c44-9b0e-000000000001")
ALL = "all.acme"
ONCE = "5cbf3a0e-3b8f-4a51-8f0c-1d5a0f3c2b7e"
OPERATIONS = (
    *(("GET", KEYS), ("POST", KEYS)),
    *((method, f"{KEYS}/{{key_id}}") for method in ("GET", "PATCH", "DELETE")),
    *(("POST", f"{KEYS}/{{key_id}}/rotate"), ("PUT", f"{KEYS}/{{key_id}}/rotation")),
    *(("PUT", f"{KEYS}/{{key_id}}/revoke"), ("GET", f"{KEYS}/{{key_id}}/revocation")),
    *(("GET", f"{KEYS}/{{key_id}}/usage"), ("GET", f"{KEYS}/{{key_id}}/events")),
    *(("GET", "/api/v2/api-key-events"), ("GET", "/api/v2/api-key-options")),
    *(("GET", f"{OPERATOR}/api-keys"), ("POST", f"{OPERATOR}/api-keys/find")),
    *(("GET", f"{OPERATOR}/api-keys/{{key_id}}"), ("PUT", f"{OPERATOR}/api-keys/{{key_id}}/revoke")),
    *(("GET", f"{OPERATOR}/api-keys/{{key_id}}/{part}") for part in ("revocation", "usage")),
    *(("GET", f"{OPERATOR}/api-key-events"), ("GET", f"{OPERATOR}/organizations")),
    ("GET", f"{OPERATOR}/organizations/{{org_id}}"),
    *((method, f"{OPERATOR}/bulk-revocations") for method in ("POST", "GET")),
    ("PUT", f"{OPERATOR}/bulk-revocations/{{revocation_id}}/start"),
    ("GET", f"{OPERATOR}/bulk-revocations/{{revocation_id}}"),
    *(("GET", f"{OPERATOR}/verifiers"), ("POST", f"{OPERATOR}/verifiers")),
    ("PUT", f"{OPERATOR}/verifiers/{{name}}/revoke"),
    *(("GET", f"{OPERATOR}/figures/{name}") for name in ("verdicts", "top", "keys", "revocations", "verifiers")),
)
"""Every operation behind an access token."""


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


class Service:
    """A service of its own with a clock that stands, and ids and entropy that are the same in every one."""

    def __init__(self, http: httpx.AsyncClient, noted: Noted, plugs: Plugs) -> None:
        self.noted = noted
        self.plugs = plugs
        self._http = http

    async def ask(self, method: str, path: str, token: str | None = ALL, **request: Any) -> dict[str, Any]:
        """Send a request, and give all of the answer and what is left to be written down."""
        headers = [("X-Request-Id", "request-1")]
        headers += [] if token is None else [("Authorization", f"Bearer {token}")]
        headers += request.pop("headers", [])
        answer = await self._http.request(method, path, headers=headers, **request)
        return {
            "request": f"{method} {path}",
            "status": answer.status_code,
            # The order of headers of different names means nothing.
            "headers": sorted(f"{name.decode()}: {value.decode()}" for name, value in answer.headers.raw),
            "body": answer.content.decode(),
            "noted": self.noted.notes.pop(),
        }


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Service]:
    """Run the service on a database in *folder*."""
    url = f"sqlite:///{folder}/keys.db"
    await asyncio.to_thread(migrate, url)
    bytes_before, ids_before = count(), count()
    chosen: list[Plugs] = []

    def change(plugs: Plugs) -> Plugs:
        chosen.append(
            replace(
                plugs,
                authenticator=Tokens(),
                clock=lambda: NOW,
                entropy=lambda size: next(bytes_before).to_bytes(size, "big"),
                new_id=lambda: UUID(int=FIRST.int + next(ids_before)),
            )
        )
        return chosen[0]

    settings = Settings(issuer=ISSUER, audience="urn:acme", database_url=url, docs="off")
    noted = Noted(create_app(settings, change=change))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(noted), base_url="http://keywright") as http:
        try:
            yield Service(http, noted, chosen[0])
        finally:
            await chosen[0].store.close()


Ask = tuple[str, str, dict[str, Any]]
Script = Callable[[Service], AsyncIterator[dict[str, Any]]]


def asked() -> Iterator[Ask]:
    """Requests of every kind, to be sent in this order."""
    yield from creations()
    yield from lists()
    # Created first, created never, no id, and what the template of a path itself says.
    for key in (FIRST, str(FIRST).upper(), UUID(int=FIRST.int + 100), "x", "%7Bkey_id%7D"):
        yield from of_one(f"{KEYS}/{key}")
    yield from beside()


def creations() -> Iterator[Ask]:
    metadata = {"x": [1, 1e16, 1e-7, -0.0, 2**70, 0.1, "é\u2028</", None, {}, [[]]], "": {"a": {"b": True}}}
    full = {"name": "a", "description": "b", "scopes": ["a:b", "*:c"], "metadata": metadata}
    full |= {"allowed_ips": ["192.0.2.7", "2001:db8::/48"], "external_id": "é\U0001f600", "environment": "sandbox"}
    full |= {"rate_limits": [{"name": "minute", "limit": 2**53, "window_seconds": 60.0}]}
    for body in ({"name": "first"}, full, {**full, "expires_at": "2027-01-01T00:00:00+01:00"}):
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
    for path in ("feed", "ack", "usage", "nothing"):
        for method in ("GET", "POST", "HEAD", "PUT"):
            yield method, f"/api/v2/verifier/{path}", {}
    for path in ("/openapi.json", "/openapi.json/", "/metrics", "/readyz", "/readyz/", "/", "//", "/docs"):
        yield "POST", path, {}
    for path in ("/metrics", "/readyz", "/readyz/", "/", "//", "/docs"):
        yield "GET", path, {}


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
    (b"{}", [("Content-Type", "text/plain"), ("If-Match", "x")]),
]
TOKENS = {None: 401, "expired": 401, "nowhere": 403, "no.acme": 403, "away": 503, "all.acme, x": 400}
"""Tokens that are turned down, and how."""


async def requests(service: Service) -> AsyncIterator[dict[str, Any]]:
    """Good and bad requests to every operation, and beside them."""
    for method, path, request in asked():
        yield await service.ask(method, path, **copy.deepcopy(request))


async def bodies(service: Service) -> AsyncIterator[dict[str, Any]]:
    """Bodies of every kind wherever a body is read, in one piece and in many."""
    for method, path in (("POST", KEYS), ("PATCH", f"{KEYS}/x"), ("PUT", f"{KEYS}/{FIRST}/revoke")):
        for content, headers in BODIES:
            for body in (content, pieces(content)):
                yield await service.ask(method, path, content=body, headers=headers)


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 5):
        yield content[start : start + 5]


async def tokens(service: Service) -> AsyncIterator[dict[str, Any]]:
    """A token that is turned down is so by every operation, and before anything else of a request is read."""
    for (method, path), token in product(OPERATIONS, TOKENS):
        answer = await service.ask(method, path, token, content=b"{", headers=[("If-Match", "x")])
        yield {"token": token, **answer}


async def trouble(service: Service) -> AsyncIterator[dict[str, Any]]:
    """What nobody thought of, a client that leaves, and a database that is away."""
    yield await service.ask("GET", KEYS, "broken")
    yield await left_early(service)
    yield await service.ask("GET", KEYS)
    await service.plugs.store.close()
    for method, path in (("POST", KEYS), ("GET", KEYS), ("GET", f"{KEYS}/{FIRST}"), ("DELETE", f"{KEYS}/{FIRST}")):
        yield await service.ask(method, path, json={"name": "a"})


async def left_early(service: Service) -> dict[str, Any]:
    """Send half a body and go."""
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer all.acme"), (b"content-type", b"application/json")]
    headers += [(b"x-request-id", b"request-1")]
    scope = {"type": "http", "method": "POST", "path": KEYS, "query_string": b"", "headers": headers}
    await service.noted(scope, receive, send)
    start, body = sent
    return {
        "request": "half a creation",
        "status": start["status"],
        "headers": sorted(f"{name.decode()}: {value.decode()}" for name, value in start["headers"]),
        "body": body["body"].decode(),
        "noted": service.noted.notes.pop(),
    }


SCRIPTS: tuple[Script, ...] = (requests, bodies, tokens, trouble)


async def run(script: Script, folder: Path) -> list[dict[str, Any]]:
    """Give the answers to a script, as they are recorded."""
    async with opened(folder) as service:
        return [json.loads(json.dumps(answer)) async for answer in script(service)]


def recorded(script: Script) -> list[dict[str, Any]]:
    """Read what was recorded of a script."""
    return [json.loads(line) for line in _file_of(script).read_text().splitlines()]


def _file_of(script: Script) -> Path:
    return RECORDED / f"{script.__name__}.jsonl"  # type: ignore[attr-defined]


def main() -> None:
    """Record every script."""
    for script in SCRIPTS:
        with tempfile.TemporaryDirectory() as folder:
            answers = asyncio.run(run(script, Path(folder)))
        _file_of(script).write_text("".join(f"{json.dumps(answer, ensure_ascii=False)}\n" for answer in answers))


if __name__ == "__main__":
    main()
