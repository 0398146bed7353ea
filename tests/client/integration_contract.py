"""
What every integration guarantees, as tests; `test_integrations.py` runs them on each.

A test asks for an application with a guarded path, `/reports`, and a path that needs no key, `/healthz`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from keywright.client import Verdict
from keywright.keys.rate_limits import RateLimit
from tests.client.asgi import caller
from tests.client.fake_service import FEED, VERIFY, Canned, FakeService, eventually_async, problem

PROXY = "127.0.0.1"
STRANGER = "192.0.2.1"
_BASE = "http://api.acme.example"

Get = Callable[[str, dict[str, str], str], Awaitable[httpx.Response]]


@dataclass
class Guarded:
    """
    An application behind a guard that trusts `PROXY`.

    `send` sends a request for a URL with headers, from an address; it is set when the application is complete. The
    guarded path answers with what `show` makes of the verdict that the application found; `seen` has these verdicts.
    """

    seen: list[Verdict] = field(default_factory=list)
    send: Get = field(init=False)

    async def get(self, headers: dict[str, str], path: str = "/reports", *, peer: str = PROXY) -> httpx.Response:
        """Send a request."""
        return await self.send(_BASE + path, headers, peer)

    def show(self, verdict: Verdict) -> dict[str, Any]:
        """Note a verdict, and give what the guarded path answers."""
        self.seen.append(verdict)
        assert verdict.key is not None
        return {"name": verdict.key.name, "valid": verdict.valid}


def asgi(app: Any) -> Get:
    """Call an ASGI application without a network."""

    async def get(url: str, headers: dict[str, str], peer: str) -> httpx.Response:
        async with caller(app, client=(peer, 1)) as client:
            return await client.get(url, headers=headers)

    return get


def wsgi(app: Any) -> Get:
    """Call a WSGI application without a network, in a thread."""

    def get(url: str, headers: dict[str, str], peer: str) -> httpx.Response:
        with httpx.Client(transport=httpx.WSGITransport(app=app, remote_addr=peer)) as client:
            return client.get(url, headers=headers)

    return lambda url, headers, peer: asyncio.to_thread(get, url, headers, peer)


class IntegrationContract:
    """The guarantees of guarded routes and of guarded applications."""

    def guarded(self, fake: FakeService, **options: Any) -> AbstractAsyncContextManager[Guarded]:
        """Run an application with the options of `Guard`, whose verifier was not started."""
        raise NotImplementedError

    async def test_a_good_key_passes(self, fake: FakeService) -> None:
        """A request with a good key reaches the application, with the verdict; a path that needs none is as it was."""
        key = fake.create(name="Nightly", scopes=("a:read",))
        async with self.guarded(fake, scopes=["a:read"], environment="live") as app:
            for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
                response = await app.get(headers)
                assert (response.status_code, response.json()) == (200, {"name": "Nightly", "valid": True})
                assert "RateLimit" not in response.headers
            response = await app.get({}, "/healthz")
            assert (response.status_code, response.text) == (200, "healthy")
        assert all(app.seen)

    async def test_the_first_request_starts_the_verifier(self, fake: FakeService) -> None:
        """A verifier that was not started starts with the first request."""
        async with self.guarded(fake) as app:
            assert fake.asked(FEED) == []
            assert (await app.get({"X-API-Key": fake.create()})).status_code == 200
            await eventually_async(lambda: fake.asked(FEED))

    @pytest.mark.parametrize(
        ("options", "headers", "status", "code"),
        [
            ({}, {}, 401, "missing_key"),
            ({}, {"Authorization": "Bearer nonsense"}, 401, "not_found"),
            ({}, {"X-API-Key": "nonsense"}, 401, "not_found"),
            ({}, {"X-API-Key": "GOOD,GOOD"}, 401, "not_found"),
            ({}, {"Authorization": "Bearer GOOD", "X-API-Key": "other"}, 400, "several_keys"),
            ({}, {"Authorization": "Bearer other", "X-API-Key": "GOOD"}, 400, "several_keys"),
            ({"scopes": ["a:read", "b:read"]}, {"X-API-Key": "GOOD"}, 403, "insufficient_scope"),
            ({"environment": "sandbox"}, {"X-API-Key": "GOOD"}, 403, "wrong_environment"),
            ({}, {"X-API-Key": "REVOKED"}, 401, "revoked"),
            ({}, {"X-API-Key": "EXPIRED"}, 401, "expired"),
        ],
    )
    async def test_refusals(
        self, fake: FakeService, options: dict[str, Any], headers: dict[str, str], status: int, code: str
    ) -> None:
        """A refusal has its status, its code and, where it helps, its challenge; the application never sees it."""
        keys = {"GOOD": fake.create(scopes=("a:read",)), "REVOKED": fake.create(), "EXPIRED": fake.create(expires_at=1)}
        fake.revoke(keys["REVOKED"])
        for name, key in keys.items():
            headers = {header: value.replace(name, key) for header, value in headers.items()}
        async with self.guarded(fake, **options) as app:
            response = await app.get(headers)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert set(response.json()) == {"detail", "code"}
        assert response.headers["Content-Type"] == "application/json"
        challenge = response.headers.get("WWW-Authenticate")
        assert (challenge is not None) is (status == 401 or code == "insufficient_scope")
        assert code != "missing_key" or challenge == 'Bearer realm="api"'
        assert app.seen == []

    async def test_limits(self, fake: FakeService) -> None:
        """Every answer has the state of each limit; beyond a limit it is 429, with the time of the next try."""
        key = fake.create(rate_limits=(RateLimit("minute", 2, 60), RateLimit("day", 9, 86_400)))
        async with self.guarded(fake) as app:
            responses = [await app.get({"X-API-Key": key}) for _ in range(3)]
        assert [response.status_code for response in responses] == [200, 200, 429]
        for response, minute, day in zip(responses, (1, 0, 0), (8, 7, 7), strict=True):
            assert response.headers["RateLimit-Policy"] == '"minute";q=2;w=60, "day";q=9;w=86400'
            states = response.headers["RateLimit"].split(", ")
            assert [state.rpartition(";t=")[0] for state in states] == [f'"minute";r={minute}', f'"day";r={day}']
        assert responses[-1].json()["code"] == "rate_limited"
        assert 1 <= int(responses[-1].headers["Retry-After"]) <= 30
        assert "Retry-After" not in responses[0].headers
        assert len(app.seen) == 2

    async def test_costs(self, fake: FakeService) -> None:
        """Each request takes its cost; one that a limit can never let pass has no time of a next try."""
        key, small = (fake.create(rate_limits=(RateLimit("minute", limit, 60),)) for limit in (4, 2))
        async with self.guarded(fake, cost=3) as app:
            passed, refused, never = [await app.get({"X-API-Key": text}) for text in (key, key, small)]
            assert "RateLimit" not in (await app.get({}, "/healthz")).headers
        assert [passed.status_code, refused.status_code, never.status_code] == [200, 429, 429]
        for response in (passed, refused):
            assert response.headers["RateLimit"].startswith('"minute";r=1;t=')
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert "Retry-After" not in never.headers

    async def test_networks(self, fake: FakeService) -> None:
        """A key with allowed networks passes from there only; only a trusted proxy may name the address."""
        limited = (RateLimit("minute", 9, 60),)
        key = {"X-API-Key": fake.create(allowed_ips=("203.0.113.0/24",), rate_limits=limited)}
        async with self.guarded(fake) as app:
            assert (await app.get(key | {"X-Forwarded-For": "203.0.113.9"})).status_code == 200
            refusals = [
                await app.get(key | {"X-Forwarded-For": "198.51.100.1"}),
                await app.get(key | {"X-Forwarded-For": "nonsense"}),
                await app.get(key | {"X-Forwarded-For": "203.0.113.9"}, peer=STRANGER),
                await app.get(key),
            ]
        for response in refusals:
            assert (response.status_code, response.json()["code"]) == (403, "ip_not_allowed")
            assert "RateLimit" not in response.headers

    async def test_reported_sources(self, fake: FakeService) -> None:
        """The service gets the peer's network, or the one in `X-Forwarded-For` of a trusted proxy, and the agent."""
        headers = {"X-API-Key": fake.create(), "X-Forwarded-For": "203.0.113.9", "User-Agent": "curl/8"}
        async with self.guarded(fake) as app:
            for peer in (PROXY, STRANGER):
                assert (await app.get(headers, peer=peer)).status_code == 200
            await eventually_async(lambda: len(fake.sightings) == 2)
        assert {source["network"] for source in fake.sightings} == {"203.0.113.0/24", "192.0.2.0/24"}
        assert {source["agent"] for source in fake.sightings} == {"curl"}

    async def test_trouble_is_not_the_callers_fault(self, fake: FakeService, caplog: pytest.LogCaptureFixture) -> None:
        """An unavailable service and a refused credential are a 503 with Retry-After; the log has the reason."""
        key = fake.create()
        async with self.guarded(fake) as app:
            troubles = [
                (Canned(503, b"", {"Retry-After": "7"}), "7"),
                (Canned(401, problem("invalid_token", "Revoked.")), "1"),
            ]
            for canned, seconds in troubles:
                fake.canned[VERIFY] = canned
                response = await app.get({"X-API-Key": key})
                assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
                assert response.headers["Retry-After"] == seconds
        assert app.seen == []
        assert "Revoked." in caplog.text
        assert key not in caplog.text


class MiddlewareContract(IntegrationContract):
    """The further guarantees of a guarded application, with `exempt`, by default `/healthz`."""

    async def test_exempt_paths(self, fake: FakeService) -> None:
        """A path that needs no key is exactly the one that is named."""
        async with self.guarded(fake) as app:
            assert (await app.get({}, "/healthz?full=1")).status_code == 200
            for path in ("/healthz/", "/healthzz", "/healthz/../reports", "//healthz", "/HEALTHZ"):
                assert (await app.get({}, path)).status_code == 401

    async def test_exempt_is_a_collection(self, fake: FakeService) -> None:
        """One string in place of a collection of paths is an error."""
        with pytest.raises(TypeError):
            async with self.guarded(fake, exempt="/healthz"):
                pass
