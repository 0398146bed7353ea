"""A Django project for tests: settings for the process, and projects that last for one test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.http import HttpResponse  # type: ignore[import-untyped]
from django.test import override_settings  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

from keywright.client.integrations.django import the_verifier
from tests.client.fake_service import FakeService
from tests.client.shells import QUICK

# Django has one set of settings for a process, whichever test module comes first.
if not settings.configured:
    settings.configure(SECRET_KEY="for tests", ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
    django.setup()


def healthy(_request: Any) -> HttpResponse:
    """Answer without a key."""
    return HttpResponse("healthy")


@contextmanager
def project(fake: FakeService, views: dict[str, Any], *, middleware: bool, **keywright: Any) -> Iterator[None]:
    """Set a project up, with views by their paths beside `/healthz`; its verifier is closed in the end."""
    options = {"URL": fake.url, "VERIFIER": fake.credential, "OPTIONS": {"timing": QUICK}, **keywright}
    urls = (path("healthz", healthy), *(path(name, view) for name, view in views.items()))
    installed = ["keywright.client.integrations.django.KeywrightDjangoMiddleware"] if middleware else []
    the_verifier.cache_clear()
    with override_settings(KEYWRIGHT=options, ROOT_URLCONF=urls, MIDDLEWARE=installed):
        try:
            yield
        finally:
            the_verifier().close()
            the_verifier.cache_clear()
