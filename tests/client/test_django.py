"""The Django integration: settings, and servers of both kinds; `integration_contract` tests the shared rules."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped]
from django.http import JsonResponse  # type: ignore[import-untyped]
from django.test import AsyncClient, Client, override_settings  # type: ignore[import-untyped]

from keywright.client.integrations.django import KeywrightDjangoMiddleware, require_key, the_verifier
from tests.client.django_project import project
from tests.client.fake_service import FakeService


def show(request: Any) -> JsonResponse:
    return JsonResponse({"name": request.keywright.key.name})


@require_key(scopes=["a:read"])
def guarded(request: Any) -> JsonResponse:
    return show(request)


@require_key(scopes=["a:read"])
async def guarded_async(request: Any) -> JsonResponse:
    await asyncio.sleep(0)
    return show(request)


@pytest.mark.parametrize(("view", "middleware"), [(guarded, False), (guarded_async, False), (show, True)])
def test_both_kinds_of_server(fake: FakeService, view: Any, middleware: bool) -> None:
    """A view of either kind is guarded under WSGI and under ASGI."""
    good, weak = fake.create(name="Nightly", scopes=("a:read",)), fake.create()
    with project(fake, {"show": view}, middleware=middleware, SCOPES=["a:read"]):
        for get in (Client().get, async_to_sync(AsyncClient().get)):
            assert get("/show", headers={"X-API-Key": good}).json() == {"name": "Nightly"}
            assert [get("/show", headers=headers).status_code for headers in ({"X-API-Key": weak}, {})] == [403, 401]


@pytest.mark.parametrize(
    ("keywright", "sentence"),
    [
        ({}, "lacks URL and VERIFIER"),
        ({"URL": "http://127.0.0.1:1"}, "lacks VERIFIER"),
        ({"URL": "http://127.0.0.1:1", "VERIFIER": "x", "EXEMPTED": []}, "does not know EXEMPTED"),
    ],
)
def test_settings_that_cannot_be(keywright: dict[str, Any], sentence: str) -> None:
    """A mistake in the settings fails the start of the project."""
    the_verifier.cache_clear()
    with override_settings(KEYWRIGHT=keywright), pytest.raises(ImproperlyConfigured, match=sentence):
        KeywrightDjangoMiddleware(lambda _request: None)
