"""A server for ASGI applications that a test drives message by message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from keywright.client.integrations.asgi import App, Message
from tests.client.fake_service import eventually_async


def caller(app: App, **options: Any) -> httpx.AsyncClient:
    """Call an application without a network."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app, **options), base_url="http://api.acme.example")


async def converse(app: App, headers: list[tuple[bytes, bytes]], path: str = "/", **more: Any) -> list[Message]:
    """Open a WebSocket, and give what the application sends until it is done."""
    sent: list[Message] = []
    received: list[Message] = [{"type": "websocket.disconnect", "code": 1000}, {"type": "websocket.connect"}]

    async def receive() -> Message:
        return received.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": path, "headers": headers, "client": None, "query_string": b"", **more}
    await app(scope, receive, send)
    return sent


class Life:
    """A server that starts an application and ends it."""

    def __init__(self, app: App) -> None:
        self.sent: list[Message] = []
        self.state: dict[str, Any] = {}
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.task = asyncio.create_task(self._live(app))

    async def _live(self, app: App) -> None:
        await app({"type": "lifespan", "asgi": {}, "state": self.state}, self._messages.get, self._send)

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    async def tell(self, kind: str) -> None:
        """Announce `startup` or `shutdown`, and wait for the answer."""
        await self._messages.put({"type": f"lifespan.{kind}"})
        await eventually_async(lambda: self.task.done() or any(kind in message["type"] for message in self.sent))


@asynccontextmanager
async def alive(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """Start an application, give what calls it, and end it."""
    life = Life(app)
    await life.tell("startup")

    async def served(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(life.state)}, receive, send)

    try:
        async with caller(served) as client:
            yield client
    finally:
        await life.tell("shutdown")
        await life.task
