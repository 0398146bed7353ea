"""The Django middleware and decorator."""

import asyncio
from collections.abc import Iterator
from typing import Any

import django  # type: ignore[import-untyped]
import pytest
from asgiref.sync import async_to_sync
from django.conf import settings  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse, JsonResponse  # type: ignore[import-untyped]
from django.test import AsyncClient, Client, override_settings  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

from keywright.client.django import KeywrightDjangoMiddleware, require_key, the_verifier
from keywright.keys.rate_limits import RateLimit
from tests.client.fake_service import VERIFY, Canned, FakeService
from tests.client.shells import QUICK

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="for tests", ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
    django.setup()

MIDDLEWARE = ["keywright.client.django.KeywrightDjangoMiddleware"]


def show(request: Any) -> JsonResponse:
    return JsonResponse({"name": request.keywright.key.name, "valid": request.keywright.valid})


@require_key(scopes=["a:read"], environment="live")
def guarded(request: HttpRequest) -> JsonResponse:
    return show(request)


@require_key(scopes=["a:read"], environment="live")
async def guarded_async(request: HttpRequest) -> JsonResponse:
    await asyncio.sleep(0)
    return show(request)


def healthy(request: HttpRequest) -> HttpResponse:
    return HttpResponse("healthy")


urlpatterns = [
    path("show", show),
    path("guarded", guarded),
    path("guarded_async", guarded_async),
    path("healthz", healthy),
]


def configured(fake: FakeService, **more: Any) -> dict[str, Any]:
    return {"URL": fake.url, "VERIFIER": fake.credential, "OPTIONS": {"timing": QUICK}, **more}


@pytest.fixture
def project(fake: FakeService) -> Iterator[None]:
    """A project with the decorator alone."""
    with override_settings(KEYWRIGHT=configured(fake, TRUSTED_PROXIES=["127.0.0.0/8"])):
        yield from fresh()


def fresh() -> Iterator[None]:
    the_verifier.cache_clear()
    yield
    the_verifier().close()
    the_verifier.cache_clear()


@pytest.fixture
def guarded_project(fake: FakeService) -> Iterator[None]:
    """A project that is guarded whole."""
    keywright = configured(fake, SCOPES=["a:read"], ENVIRONMENT="live", COST=2, EXEMPT=["/healthz"])
    with override_settings(KEYWRIGHT=keywright, MIDDLEWARE=MIDDLEWARE):
        yield from fresh()


def get(url: str, **headers: str) -> Any:
    return Client().get(url, headers=headers)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("url", ["/guarded", "/guarded_async"])
def test_the_decorator(fake: FakeService, url: str) -> None:
    """A view of either kind is called with a good key only, and finds the verdict."""
    key, weak = fake.create(name="Nightly", scopes=("a:read",)), fake.create()
    assert get(url, authorization=f"Bearer {key}").json() == {"name": "Nightly", "valid": True}
    response = async_to_sync(AsyncClient().get)(url, headers={"X-API-Key": key})
    assert response.json() == {"name": "Nightly", "valid": True}
    response = get(url, x_api_key=weak)
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    response = get(url)
    assert (response.status_code, response.json()["code"]) == (401, "key_required")
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert get("/healthz").content == b"healthy"


@pytest.mark.usefixtures("guarded_project")
def test_the_middleware(fake: FakeService) -> None:
    """A whole project is guarded, but for the paths that are named."""
    key, weak = fake.create(name="Nightly", scopes=("a:read",)), fake.create()
    assert get("/show", x_api_key=key).json() == {"name": "Nightly", "valid": True}
    assert get("/healthz").content == b"healthy"
    assert get("/show").status_code == 401
    assert get("/show", x_api_key=weak).status_code == 403
    assert get("/show", x_api_key=key, authorization="Bearer other").status_code == 400
    response = async_to_sync(AsyncClient().get)("/show", headers={"X-API-Key": key})
    assert response.status_code == 200
    fake.canned[VERIFY] = Canned(503, b"", {"Retry-After": "7"})
    response = get("/show", x_api_key=fake.create())
    assert (response.status_code, response["Retry-After"]) == (503, "7")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("url", ["/guarded", "/guarded_async"])
def test_limits_and_networks(fake: FakeService, url: str) -> None:
    """Every answer tells how the limits stand; beyond them it is 429 with a time, and from elsewhere 403."""
    limited = (RateLimit("minute", 2, 60),)
    key = fake.create(scopes=("a:read",), rate_limits=limited, allowed_ips=("203.0.113.0/24",))
    responses = [get(url, x_api_key=key, x_forwarded_for="203.0.113.9") for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    for response, left in zip(responses, (1, 0, 0), strict=True):
        assert response["RateLimit-Policy"] == '"minute";q=2;w=60'
        assert response["RateLimit"].startswith(f'"minute";r={left};t=')
    assert 1 <= int(responses[-1]["Retry-After"]) <= 30
    elsewhere = get(url, x_api_key=key, x_forwarded_for="198.51.100.1")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "ip_not_allowed")


@pytest.mark.usefixtures("guarded_project")
def test_limits_of_a_whole_project(fake: FakeService) -> None:
    """The middleware, too, has each request pay what the settings say, and tells what is left."""
    key = fake.create(scopes=("a:read",), rate_limits=(RateLimit("minute", 3, 60),))
    responses = [get("/show", x_api_key=key) for _ in range(2)]
    assert [response.status_code for response in responses] == [200, 429]
    assert responses[0]["RateLimit"].startswith('"minute";r=1;')
    assert "RateLimit" not in get("/healthz").headers


@pytest.mark.usefixtures("project")
def test_what_is_told_of_the_caller(fake: FakeService) -> None:
    """The address is read behind the trusted proxy, the agent from its header."""
    key = fake.create(scopes=("a:read",))
    assert get("/guarded", x_api_key=key, x_forwarded_for="203.0.113.9", user_agent="curl/8").status_code == 200
    the_verifier().close()
    (seen,) = fake.sightings
    assert (seen["network"], seen["agent"]) == ("203.0.113.0/24", "curl")


@pytest.mark.parametrize(
    ("keywright", "sentence"),
    [
        ({}, "lacks URL and VERIFIER"),
        ({"URL": "http://127.0.0.1:1"}, "lacks VERIFIER"),
        ({"URL": "http://127.0.0.1:1", "VERIFIER": "x", "EXEMPTED": []}, "does not know EXEMPTED"),
    ],
)
def test_settings_that_cannot_be(keywright: dict[str, Any], sentence: str) -> None:
    """A mistake in the settings is told when the project starts."""
    the_verifier.cache_clear()
    with override_settings(KEYWRIGHT=keywright), pytest.raises(ImproperlyConfigured, match=sentence):
        KeywrightDjangoMiddleware(lambda _request: None)
