"""The interfaces for operators: probes, metrics, logs, CORS."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Message

from keywright.app import create_app
from keywright.config import Settings
from keywright.dev.issuer import DevIssuer
from keywright.storage.migrate import migrate
from tests.api.caller import KEYS, Caller
from tests.api.verifier import BATCH, VERIFY, Verifier
from tests.conftest import on_any_store
from tests.live import LiveService, environment, start_service
from tests.ports import free_port

ORIGIN = "https://dashboard.example"


class Fetched:
    """Signing keys that are at hand."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def present(self) -> bool:
        return True

    def age(self) -> float | None:
        return 0.0


@pytest.fixture(scope="module")
def browsed(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service that pages of one origin may call, with metrics on its own port."""
    with start_service(environment(issuer, cors_origins=ORIGIN, metrics="path")) as live:
        yield live


@pytest.fixture
def page(browsed: LiveService, issuer: DevIssuer) -> Iterator[Caller]:
    with Caller(browsed, issuer) as caller:
        caller.http.headers["Origin"] = ORIGIN
        yield caller


def test_probes(caller: Caller) -> None:
    """A working service is live and ready, without a token."""
    base = caller.service.base_url
    caller.service.await_ready()
    for path in ("/livez", "/livez/", "/readyz"):
        response = httpx.get(f"{base}{path}", trust_env=False)
        assert (response.status_code, response.json()["status"]) == (200, "ok")
        assert response.headers["cache-control"] == "no-store"


def test_not_ready_without_signing_keys() -> None:
    """While the issuer was never reached the service lives, is not ready, and answers 503, not 401."""
    issuer = DevIssuer(port=free_port())
    with start_service(environment(issuer)) as live:
        assert httpx.get(f"{live.base_url}/livez", trust_env=False).status_code == 200
        ready = httpx.get(f"{live.base_url}/readyz", trust_env=False)
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"] == "ok"
        assert ready.json()["checks"]["signing_keys"] != "ok"
        with Caller(live, issuer) as caller:
            response = caller.http.get(KEYS)
            assert (response.status_code, response.json()["code"]) == (503, "auth_unavailable")
            assert int(response.headers["retry-after"]) >= 1
            # It mends itself as soon as the issuer is there, without a restart.
            issuer.start()
            statuses = set()
            for _ in range(600):
                statuses.add(caller.http.get(KEYS).status_code)
                if 200 in statuses:
                    break
            issuer.stop()


async def test_not_ready_before_the_changes_are_followed(tmp_path: Path) -> None:
    """A process is not ready before its first reading: earlier look-ups are not cached for an outage."""
    url = f"sqlite:///{tmp_path}/keys.db"
    await asyncio.to_thread(migrate, url)
    settings = Settings(issuer="https://id.acme.example/", audience="urn:acme", database_url=url)
    app = create_app(settings, change=lambda plugs: replace(plugs, signing_keys=Fetched()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://keywright") as http:
        early = await http.get("/readyz")
        assert early.json()["checks"] == {"database": "ok", "signing_keys": "ok", "changes": "not followed yet"}
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        async with started(app):
            while (await http.get("/readyz")).status_code == 503:
                pass


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """Start an application as a server does, and stop it."""
    sent: asyncio.Queue[Message] = asyncio.Queue()
    told: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.ensure_future(app({"type": "lifespan", "state": {}}, sent.get, told.put))
    await sent.put({"type": "lifespan.startup"})
    assert (await told.get())["type"] == "lifespan.startup.complete"
    yield
    await sent.put({"type": "lifespan.shutdown"})
    assert (await told.get())["type"] == "lifespan.shutdown.complete"
    await life


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://keywright:hunter22@127.0.0.1:9/prod-database",
        "postgresql://keywright:hunter22@/prod-database?host=/nowhere-at-all",
    ],
)
def test_not_ready_without_a_database(issuer: DevIssuer, url: str) -> None:
    """Readiness needs no token and reveals nothing of the database; the log has the reason."""
    with start_service(environment(issuer, database_url=url)) as live:
        ready = httpx.get(f"{live.base_url}/readyz", trust_env=False)
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"] in ("unavailable", "no answer in time")
        assert int(ready.headers["retry-after"]) >= 1
        told = ready.text + repr(ready.headers)
        for secret in ("127.0.0.1:9", "nowhere", "prod-database", "hunter22", "keywright:"):
            assert secret not in told
        assert live.await_log_line(event="not ready")["reason"]
        assert "hunter22" not in live.log_path.read_text()


def test_metrics_on_their_own_address(caller: Caller) -> None:
    """Metrics count requests by route, on an address of their own and not on the API's."""
    caller.create()
    assert caller.service.metrics_url is not None
    text = httpx.get(caller.service.metrics_url, trust_env=False).text
    assert f'keywright_http_requests_total{{method="POST",route="{KEYS}",status="201"}}' in text
    assert "keywright_commit_batch_size_bucket" in text
    assert caller.http.get("/metrics").status_code == 404


def test_metrics_as_a_path(page: Caller) -> None:
    """Where that is wanted, metrics are a path of the API itself."""
    response = page.http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")


def test_metrics_switched_off(issuer: DevIssuer) -> None:
    """Switched off, there are none."""
    with start_service(environment(issuer, metrics="off")) as live:
        assert live.metrics_url is None
        assert httpx.get(f"{live.base_url}/metrics", trust_env=False).status_code == 404


@on_any_store
def test_log(caller: Caller) -> None:
    """Every request leaves one line with its id, route, status and organisation, but not its path, query or token."""
    created = caller.http.post(KEYS, json={"name": "a key"}, headers={"X-Request-Id": "request-in-the-log"})
    pasted = created.json()["private_key"]
    caller.http.get(f"{KEYS}/{pasted}")
    caller.http.get(f"/{pasted}?{pasted}")
    lines = caller.service.log()
    (line,) = [line for line in lines if line.get("request_id") == "request-in-the-log"]
    assert (line["event"], line["method"], line["route"], line["status"]) == ("request", "POST", KEYS, 201)
    assert line["org"] == created.json()["org_id"]
    assert line["ms"] > 0
    text = caller.service.log_path.read_text()
    assert pasted[-40:] not in text
    assert caller.http.headers["Authorization"][-40:] not in text


@on_any_store
def test_a_trace_in_the_log(caller: Caller) -> None:
    """The line of a request has the trace id of a valid `traceparent`, and that of a refused token its source."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"X-Request-Id": "request-with-trace", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    caller.http.get(KEYS, headers=headers)
    line = caller.service.await_log_line(request_id="request-with-trace")
    assert line["trace_id"] == trace
    assert "source" not in line
    httpx.get(f"{caller.service.base_url}{KEYS}", headers={"X-Request-Id": "request-refused"}, trust_env=False)
    line = caller.service.await_log_line(request_id="request-refused")
    assert (line["status"], line["code"], line["source"]) == (401, "missing_token", "127.0.0.1")
    assert "trace_id" not in line


@on_any_store
def test_checks_are_visible(caller: Caller, verifier: Verifier) -> None:
    """Checks are counted and timed by route, and refused ones leave a line with source and verifier, not the key."""
    key = caller.create()["private_key"]
    assert verifier.code(key) == "valid"
    assert verifier.code(key, environment="sandbox", client_ip="192.0.2.7") == "wrong_environment"
    assert verifier.http.post(BATCH, json={"keys": [{"key": key}]}).status_code == 200
    assert verifier.http.get("/forward-auth").status_code == 401
    refused = caller.service.await_log_line(event="key refused", code="wrong_environment")
    assert (refused["verifier"], refused["source"]) == ("billing-api", "192.0.2.0/24")
    refused = caller.service.await_log_line(event="check refused", code="verifier_required")
    assert (refused["status"], refused["source"]) == (401, "127.0.0.1")
    assert caller.service.metrics_url is not None
    text = httpx.get(caller.service.metrics_url, trust_env=False).text
    for route, method, status in ((VERIFY, "POST", 200), (BATCH, "POST", 200), ("/forward-auth", "any", 401)):
        assert f'keywright_http_requests_total{{method="{method}",route="{route}",status="{status}"}}' in text
        assert f'keywright_http_request_seconds_count{{route="{route}"}}' in text
    for name in ("feed_lag_seconds", "outage", "key_set_age_seconds", "connections", "commit_seconds_count"):
        assert f"\nkeywright_{name} " in text
    assert key[-40:] not in caller.service.log_path.read_text()


def test_preflight(page: Caller) -> None:
    """A page of an allowed origin may send the API's headers; the preflight has no token."""
    response = httpx.options(
        f"{page.service.base_url}{KEYS}",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
        trust_env=False,
    )
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-max-age"] == "7200"
    assert "access-control-allow-credentials" not in response.headers
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}/x", "/nothing", f"{KEYS}?limit=0"])
def test_every_answer_can_be_read_by_the_page(page: Caller, path: str) -> None:
    """Errors too carry the headers without which a browser would hide them from the page."""
    page.http.headers["Authorization"] = "Bearer nonsense"
    response = page.http.get(path)
    assert response.headers["access-control-allow-origin"] == ORIGIN
    exposed = {name.strip() for name in response.headers["access-control-expose-headers"].split(",")}
    assert exposed == {
        *("Link", "ETag", "Location", "Retry-After", "X-Request-Id", "Idempotency-Replayed"),
        *("RateLimit", "RateLimit-Policy", "WWW-Authenticate", "Date"),
    }


@on_any_store
def test_other_origins(page: Caller, caller: Caller) -> None:
    """A page of another origin gets no permission, and without the setting no page does."""
    assert "access-control-allow-origin" not in page.http.get(KEYS, headers={"Origin": "https://evil.example"}).headers
    assert "access-control-allow-origin" not in caller.http.get(KEYS, headers={"Origin": ORIGIN}).headers
