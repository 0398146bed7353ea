"""The FastAPI dependency: lifespan, document, WebSockets; `integration_contract` tests the shared rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from httpx import AsyncClient

from keywright.client import AsyncVerifier, KeyInfo
from keywright.client.integrations.fastapi import require_key, use_verifier
from tests.client.asgi import alive, converse
from tests.client.fake_service import FakeService
from tests.client.shells import QUICK

pytestmark = pytest.mark.usefixtures("nothing_left_running")

AnyKey = Annotated[KeyInfo, Depends(require_key())]
ReportsKey = Annotated[KeyInfo, Depends(require_key(scopes=["reports:read"], environment="live"))]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"of_the_application": "kept"}


def application(fake: FakeService) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    use_verifier(app, AsyncVerifier(fake.url, fake.credential, timing=QUICK))

    @app.get("/key")
    async def show(key: AnyKey, request: Request) -> dict[str, Any]:
        return {
            "name": key.name,
            "code": request.state.keywright.code,
            "of_the_application": request.state.of_the_application,
        }

    @app.get("/reports")
    def reports(key: ReportsKey) -> dict[str, str]:
        return {"key": str(key.id)}

    @app.get("/open")
    def open_to_all() -> dict[str, str]:
        return {}

    @app.websocket("/stream")
    async def stream(socket: WebSocket, key: AnyKey) -> None:
        await socket.accept()
        await socket.send_text(key.name)
        await socket.close()

    return app


@pytest.fixture
async def client(fake: FakeService) -> AsyncIterator[AsyncClient]:
    async with alive(application(fake)) as client:
        yield client


async def test_a_good_key(fake: FakeService, client: AsyncClient) -> None:
    """A route gets the key itself, and the rest of the application is as it was."""
    key = fake.create(name="Nightly", scopes=("reports:read",))
    response = await client.get("/key", headers={"Authorization": f"Bearer {key}"})
    assert response.json() == {"name": "Nightly", "code": "valid", "of_the_application": "kept"}
    assert (await client.get("/reports", headers={"X-API-Key": key})).status_code == 200
    assert (await client.get("/open")).status_code == 200


async def test_document(client: AsyncClient) -> None:
    """The application's document shows both ways to present a key, at the routes that want one only."""
    document = (await client.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["ApiKeyBearer"] == {"type": "http", "scheme": "bearer", "description": "An API key."}
    assert schemes["ApiKeyHeader"] == {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "An API key.",
    }
    assert document["paths"]["/key"]["get"]["security"] == [{"ApiKeyBearer": []}, {"ApiKeyHeader": []}]
    assert "security" not in document["paths"]["/open"]["get"]
    assert "parameters" not in document["paths"]["/key"]["get"]


async def test_websockets(fake: FakeService) -> None:
    """A WebSocket route gets the key, and is closed before it is accepted without one."""
    app = application(fake)
    async with alive(app):
        key = fake.create(name="Nightly").encode()
        accepted, told, _ = await converse(app, [(b"x-api-key", key)], "/stream")
        assert (accepted["type"], told["text"]) == ("websocket.accept", "Nightly")
        (closed,) = await converse(app, [], "/stream")
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


async def test_an_application_that_lives_twice(fake: FakeService) -> None:
    """An application that is started again, as tests do, checks keys again."""
    app, key = application(fake), fake.create()
    for _ in range(2):
        async with alive(app) as client:
            assert (await client.get("/key", headers={"X-API-Key": key})).status_code == 200


async def test_a_verifier_that_others_started_is_theirs(fake: FakeService) -> None:
    """A verifier that was started before is not closed with the application."""
    app = FastAPI()
    async with AsyncVerifier(fake.url, fake.credential, timing=QUICK) as verifier:
        use_verifier(app, verifier)
        async with alive(app):
            pass
        assert verifier.started


async def test_no_verifier(fake: FakeService) -> None:
    """A route without a verifier is an error, not an unguarded route."""
    app = FastAPI()

    @app.get("/")
    async def show(key: AnyKey) -> None: ...

    async with alive(app) as client:
        with pytest.raises(RuntimeError, match="use_verifier"):
            await client.get("/", headers={"X-API-Key": fake.create()})
