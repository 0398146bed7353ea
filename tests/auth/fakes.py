"""Fakes of the network, the time and the key set."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

from keywright.auth import rsa_key
from keywright.auth.rsa_key import IssuerKey
from keywright.service.faults import AuthUnavailable
from tests.auth.issuer import ISSUER

DISCOVERY = "/.well-known/openid-configuration"
KEY_SET = "/.well-known/jwks.json"

Answer = Callable[[httpx.Request], httpx.Response]


class FakeTime:
    """Time that advances only when code sleeps or a test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        await asyncio.sleep(0)


class FakeKeys:
    """A key set of some JWKs that records the requested names, and those that would cause a fetch."""

    def __init__(self, *jwks: dict[str, Any]) -> None:
        self.generation = 1
        self.unavailable = False
        self.requested: list[str] = []
        self.fetched: list[str] = []
        self.jwks = list(jwks)

    def present(self) -> bool:
        return not self.unavailable

    def cached(self, kid: str) -> IssuerKey | None:
        self.requested.append(kid)
        return None if self.unavailable else self._named(kid)

    async def key(self, kid: str) -> IssuerKey | None:
        self.fetched.append(kid)
        if self.unavailable:
            raise AuthUnavailable("unavailable", retry_after=7)
        return self._named(kid)

    def _named(self, kid: str) -> IssuerKey | None:
        return next((rsa_key.read(jwk) for jwk in self.jwks if jwk["kid"] == kid), None)


class FakeProvider:
    """An issuer's two documents, with the answers of a test; `gate` delays them."""

    def __init__(self, *jwks: dict[str, Any]) -> None:
        self.requests: list[httpx.Request] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.answers: dict[str, Answer] = {}
        self.serve(*jwks)
        self.discover({"issuer": ISSUER, "jwks_uri": f"{ISSUER}.well-known/jwks.json"})
        self.transport = httpx.MockTransport(self._handle)

    def serve(self, *jwks: Any) -> None:
        """Publish these keys."""
        self.answers[KEY_SET] = lambda _request: httpx.Response(200, content=json.dumps({"keys": jwks}))

    def discover(self, document: Any) -> None:
        """Publish this discovery document."""
        self.answers[DISCOVERY] = lambda _request: httpx.Response(200, content=json.dumps(document))

    def fail(self) -> None:
        """Be unavailable."""

        def refuse(_request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        self.answers = dict.fromkeys(self.answers, refuse)

    def count_of(self, path: str) -> int:
        """Return the number of requests for *path*."""
        return sum(request.url.path == path for request in self.requests)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await self.gate.wait()
        answer = self.answers.get(request.url.path)
        return answer(request) if answer else httpx.Response(404)
