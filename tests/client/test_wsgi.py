"""The WSGI middleware and the Flask decorator."""

from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from keywright.client import Verifier
from keywright.client.flask import require_key
from keywright.client.wsgi import KeywrightWSGIMiddleware
from keywright.keys.rate_limits import RateLimit
from tests.client.fake_service import VERIFY, Canned, FakeService
from tests.client.shells import QUICK

pytestmark = pytest.mark.usefixtures("nothing_left_running")


@pytest.fixture
def verifier(fake: FakeService) -> Iterator[Verifier]:
    with Verifier(fake.url, fake.credential, timing=QUICK) as verifier:
        yield verifier


def whole(verifier: Verifier) -> FlaskClient:
    """An application that is guarded whole."""
    app = flask.Flask("whole")

    @app.get("/healthz")
    def healthy() -> str:
        return "healthy"

    @app.get("/reports")
    def reports() -> dict[str, Any]:
        verdict = flask.request.environ["keywright"]
        return {"name": verdict.key.name, "valid": verdict.valid}

    guarded = KeywrightWSGIMiddleware(
        app.wsgi_app,
        verifier,
        scopes=["a:read"],
        environment="live",
        exempt=["/healthz"],
        trusted_proxies=["127.0.0.0/8"],
    )
    app.wsgi_app = guarded  # type: ignore[method-assign]  # as Flask's documentation says to do
    return app.test_client()


def by_view(verifier: Verifier) -> FlaskClient:
    """An application one view of which is guarded."""
    app = flask.Flask("by_view")

    @app.get("/healthz")
    def healthy() -> str:
        return "healthy"

    @app.get("/reports")
    @require_key(verifier, scopes=["a:read"], environment="live", trusted_proxies=["127.0.0.0/8"])
    def reports() -> dict[str, Any]:
        return {"name": flask.g.keywright.key.name, "valid": flask.g.keywright.valid}

    return app.test_client()


@pytest.fixture(params=[whole, by_view])
def client(request: pytest.FixtureRequest, verifier: Verifier) -> FlaskClient:
    client: FlaskClient = request.param(verifier)
    return client


def test_a_good_key(fake: FakeService, client: FlaskClient) -> None:
    """A view with a good key finds the verdict; one that needs none is as it was."""
    key = fake.create(name="Nightly", scopes=("a:read",))
    for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
        assert client.get("/reports", headers=headers).json == {"name": "Nightly", "valid": True}
    assert client.get("/healthz").text == "healthy"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "key_required"),
        ({"X-API-Key": "nonsense"}, 401, "not_found"),
        ({"X-API-Key": "KEY", "Authorization": "Bearer other"}, 400, "several_keys"),
        ({"X-API-Key": "KEY"}, 403, "insufficient_scope"),
        ({"X-API-Key": "KEY,KEY"}, 401, "not_found"),
    ],
)
def test_refusals(fake: FakeService, client: FlaskClient, headers: dict[str, str], status: int, code: str) -> None:
    """A refusal has its status, its code and its challenge."""
    key = fake.create()
    response = client.get("/reports", headers={name: value.replace("KEY", key) for name, value in headers.items()})
    assert response.status_code == status
    assert response.json is not None
    assert (set(response.json), response.json["code"]) == ({"detail", "code"}, code)
    assert response.headers["Content-Type"] == "application/json"
    assert ("WWW-Authenticate" in response.headers) is (status in (401, 403))


def test_limits_and_networks(fake: FakeService, client: FlaskClient) -> None:
    """Every answer tells how the limits stand; beyond them it is 429 with a time, and from elsewhere 403."""
    limited = (RateLimit("minute", 2, 60),)
    key = fake.create(scopes=("a:read",), rate_limits=limited, allowed_ips=("203.0.113.0/24",))
    here = {"X-API-Key": key, "X-Forwarded-For": "203.0.113.9"}
    responses = [client.get("/reports", headers=here) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    for response, left in zip(responses, (1, 0, 0), strict=True):
        assert response.headers["RateLimit-Policy"] == '"minute";q=2;w=60'
        assert response.headers["RateLimit"].startswith(f'"minute";r={left};t=')
    assert 1 <= int(responses[-1].headers["Retry-After"]) <= 30
    assert "Retry-After" not in responses[0].headers
    elsewhere = client.get("/reports", headers={**here, "X-Forwarded-For": "198.51.100.1"})
    assert elsewhere.json is not None
    assert (elsewhere.status_code, elsewhere.json["code"]) == (403, "ip_not_allowed")
    assert "RateLimit" not in elsewhere.headers


def test_unavailable(fake: FakeService, client: FlaskClient) -> None:
    """A service that is away is a 503 with a time to try again."""
    fake.canned[VERIFY] = Canned(503, b"", {"Retry-After": "7"})
    response = client.get("/reports", headers={"X-API-Key": fake.create()})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")


def test_what_is_told_of_the_caller(fake: FakeService, verifier: Verifier, client: FlaskClient) -> None:
    """The address is read behind the trusted proxy, the agent from its header."""
    headers = {"X-API-Key": fake.create(scopes=("a:read",)), "X-Forwarded-For": "203.0.113.9", "User-Agent": "curl/8"}
    assert client.get("/reports", headers=headers).status_code == 200
    verifier.close()
    (seen,) = fake.sightings
    assert (seen["network"], seen["agent"]) == ("203.0.113.0/24", "curl")


def test_exempt_is_a_collection(verifier: Verifier) -> None:
    """One string in place of a collection of paths is an error."""
    with pytest.raises(TypeError):
        KeywrightWSGIMiddleware(lambda _environ, _start: [], verifier, exempt="/healthz")


def test_a_mounted_application(fake: FakeService, verifier: Verifier) -> None:
    """An exempt path is the whole path, where the application is mounted included."""
    app = KeywrightWSGIMiddleware(
        lambda _environ, start: (start("200 OK", []), [b""])[1], verifier, exempt=["/a/healthz"]
    )

    def status(script: str, path: str) -> str:
        statuses: list[str] = []
        environ = {"SCRIPT_NAME": script, "PATH_INFO": path}
        list(app(environ, lambda status, _headers, _error=None: statuses.append(status)))  # type: ignore[arg-type]
        return statuses[0]

    assert status("/a", "/healthz") == "200 OK"
    assert status("", "/healthz") == "401 Unauthorized"
