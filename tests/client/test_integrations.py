"""Every integration keeps the contract: the middlewares, and the guards of single routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import flask
import pytest
from django.core.handlers.asgi import ASGIHandler  # type: ignore[import-untyped]
from django.core.handlers.wsgi import WSGIHandler  # type: ignore[import-untyped]
from django.http import JsonResponse  # type: ignore[import-untyped]
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from keywright.client import AsyncVerifier, KeyInfo, Verifier
from keywright.client.integrations import django as for_django
from keywright.client.integrations import fastapi as for_fastapi
from keywright.client.integrations import flask as for_flask
from keywright.client.integrations.asgi import KeywrightASGIMiddleware, Receive, Scope, Send
from keywright.client.integrations.wsgi import KeywrightWSGIMiddleware
from tests.client.django_project import project
from tests.client.fake_service import FakeService
from tests.client.integration_contract import Guarded, IntegrationContract, MiddlewareContract, asgi, wsgi
from tests.client.shells import QUICK

WHOLE = {"exempt": ["/healthz"]}
TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}


@pytest.mark.usefixtures("nothing_left_running")
class TestASGI(MiddlewareContract):
    """The ASGI middleware."""

    @asynccontextmanager
    async def guarded(self, fake: FakeService, **options: Any) -> AsyncIterator[Guarded]:
        """See `IntegrationContract.guarded`."""
        app = Guarded()

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            answer: Any = PlainTextResponse("healthy")
            if scope["path"] != "/healthz":
                assert scope["state"]["keywright"] is scope["keywright"]
                answer = JSONResponse(app.show(scope["keywright"]))
            await answer(scope, receive, send)

        verifier = AsyncVerifier(fake.url, fake.credential, timing=QUICK)
        app.send = asgi(KeywrightASGIMiddleware(application, verifier, **WHOLE | TRUSTED | options))
        try:
            yield app
        finally:
            await verifier.close()


@pytest.mark.usefixtures("nothing_left_running")
class TestFastAPI(IntegrationContract):
    """The FastAPI dependency."""

    @asynccontextmanager
    async def guarded(self, fake: FakeService, **options: Any) -> AsyncIterator[Guarded]:
        """See `IntegrationContract.guarded`."""
        application, verifier = FastAPI(), AsyncVerifier(fake.url, fake.credential, timing=QUICK)
        for_fastapi.use_verifier(application, verifier)
        app = Guarded()
        app.send = asgi(application)
        dependency = Depends(for_fastapi.require_key(**TRUSTED | options))

        @application.get("/reports")
        async def reports(request: Request, key: Annotated[KeyInfo, dependency]) -> dict[str, Any]:
            assert request.state.keywright.key == key
            return app.show(request.state.keywright)

        @application.get("/healthz")
        async def healthy() -> PlainTextResponse:
            return PlainTextResponse("healthy")

        try:
            yield app
        finally:
            await verifier.close()


def flask_application(app: Guarded, guard: Any, verdict: Any) -> flask.Flask:
    """Make an application: *guard* decorates its guarded view, *verdict* gives the verdict inside of it."""
    application = flask.Flask("reports")

    @application.get("/reports")
    @guard
    def reports() -> dict[str, Any]:
        return app.show(verdict())

    @application.get("/healthz")
    def healthy() -> str:
        return "healthy"

    return application


@pytest.mark.usefixtures("nothing_left_running")
class TestWSGI(MiddlewareContract):
    """The WSGI middleware, in front of a Flask application."""

    @asynccontextmanager
    async def guarded(self, fake: FakeService, **options: Any) -> AsyncIterator[Guarded]:
        """See `IntegrationContract.guarded`."""
        app = Guarded()
        application = flask_application(app, lambda view: view, lambda: flask.request.environ["keywright"])
        verifier = Verifier(fake.url, fake.credential, timing=QUICK)
        app.send = wsgi(KeywrightWSGIMiddleware(application, verifier, **WHOLE | TRUSTED | options))
        try:
            yield app
        finally:
            await asyncio.to_thread(verifier.close)


@pytest.mark.usefixtures("nothing_left_running")
class TestFlask(IntegrationContract):
    """The Flask decorator."""

    @asynccontextmanager
    async def guarded(self, fake: FakeService, **options: Any) -> AsyncIterator[Guarded]:
        """See `IntegrationContract.guarded`."""
        app = Guarded()
        verifier = Verifier(fake.url, fake.credential, timing=QUICK)
        guard = for_flask.require_key(verifier, **TRUSTED | options)
        app.send = wsgi(flask_application(app, guard, lambda: flask.g.keywright))
        try:
            yield app
        finally:
            await asyncio.to_thread(verifier.close)


class TestDjangoMiddleware(MiddlewareContract):
    """The Django middleware."""

    @asynccontextmanager
    async def guarded(self, fake: FakeService, **options: Any) -> AsyncIterator[Guarded]:
        """See `IntegrationContract.guarded`."""
        app = Guarded()
        keywright = {name.upper(): value for name, value in (WHOLE | TRUSTED | options).items()}

        def reports(request: Any) -> JsonResponse:
            return JsonResponse(app.show(request.keywright))

        with project(fake, {"reports": reports}, middleware=True, **keywright):
            app.send = wsgi(WSGIHandler())
            yield app


class TestDjangoDecorator(IntegrationContract):
    """The Django decorator, on a view that does not await."""

    @asynccontextmanager
    async def guarded(self, fake: FakeService, **options: Any) -> AsyncIterator[Guarded]:
        """See `IntegrationContract.guarded`."""
        app = Guarded()

        @for_django.require_key(**options)
        def reports(request: Any) -> JsonResponse:
            return JsonResponse(app.show(request.keywright))

        with project(fake, {"reports": reports}, middleware=False, TRUSTED_PROXIES=TRUSTED["trusted_proxies"]):
            app.send = wsgi(WSGIHandler())
            yield app


class TestDjangoAsyncDecorator(IntegrationContract):
    """The Django decorator, on a view that awaits."""

    @asynccontextmanager
    async def guarded(self, fake: FakeService, **options: Any) -> AsyncIterator[Guarded]:
        """See `IntegrationContract.guarded`."""
        app = Guarded()

        @for_django.require_key(**options)
        async def reports(request: Any) -> JsonResponse:
            await asyncio.sleep(0)
            return JsonResponse(app.show(request.keywright))

        with project(fake, {"reports": reports}, middleware=False, TRUSTED_PROXIES=TRUSTED["trusted_proxies"]):
            app.send = asgi(ASGIHandler())
            yield app
