"""
Verification of keys in front of any ASGI application.

    app = KeywrightASGIMiddleware(app, AsyncVerifier(url, credential), scopes=["reports:read"], exempt=["/healthz"])

The verdict is in `scope["keywright"]`, and in `scope["state"]["keywright"]`, which Starlette shows as
`request.state.keywright`. The middleware answers refused requests; the application does not see them. Scopes of other
types than HTTP, WebSocket and lifespan raise ValueError.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from keywright.client.integrations._guard import GuardedApplication, KeyRefused, RequestHeaders, limit_headers
from keywright.client.verifier import AsyncVerifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY_VIOLATION = 1008


class KeywrightASGIMiddleware(GuardedApplication[App, AsyncVerifier]):
    """
    Passes requests with a valid key on, and answers all others.

    It starts the verifier with the application's lifespan (or with the first request), and closes it at the end of the
    lifespan, unless the verifier was started before. The arguments are those of `GuardedApplication`.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            # Passed on, it would reach the application without a key.
            raise ValueError(f"Keywright checks no keys in ASGI scopes of the type {scope['type']!r}.")
        if self._guard.is_exempt(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            verdict = await self._guard.check_async(self._verifier, headers_of(scope))
        except KeyRefused as refused:
            await _refuse(refused, scope, receive, send)
            return
        scope["keywright"] = verdict
        scope.setdefault("state", {})["keywright"] = verdict
        await self._app(scope, receive, _with_headers(limit_headers(verdict), send))

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._verifier.started:
            await self._app(scope, receive, send)
            return
        await self._verifier.start()
        try:
            await _Lifespan(self._app, self._verifier, receive, send).run(scope)
        finally:
            await self._verifier.close()


class _Lifespan:
    """
    Passes the lifespan of an application on, and closes the verifier at its end.

    It answers in place of an application that ignores lifespans. It closes the verifier before the server gets the last
    message, because a server may stop the application right after it.
    """

    def __init__(self, app: App, verifier: AsyncVerifier, receive: Receive, send: Send) -> None:
        self._app = app
        self._verifier = verifier
        self._server_receive = receive
        self._server_send = send
        self._received = False

    async def run(self, scope: Scope) -> None:
        try:
            await self._app(scope, self._receive, self._send)
        except Exception:
            if self._received:
                raise
        if not self._received:
            # An application without lifespan support returns or fails before it receives a message.
            for kind in ("startup", "shutdown"):
                await self._server_receive()
                await self._send({"type": f"lifespan.{kind}.complete"})

    async def _receive(self) -> Message:
        self._received = True
        return await self._server_receive()

    async def _send(self, message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            await self._verifier.close()
        await self._server_send(message)


def headers_of(scope: Scope) -> RequestHeaders:
    """Read the headers and the peer from an ASGI scope."""
    found: dict[bytes, list[str]] = {b"authorization": [], b"x-api-key": [], b"x-forwarded-for": [], b"user-agent": []}
    for name, value in scope["headers"]:
        if name in found:
            found[name].append(value.decode("latin-1"))
    authorization, api_key, forwarded, agents = found.values()
    client = scope.get("client")
    return RequestHeaders(
        authorization, api_key, forwarded, agents[-1] if agents else None, client[0] if client else None
    )


def _with_headers(headers: dict[str, str], send: Send) -> Send:
    """Add *headers* to the answer."""
    if not headers:
        return send
    more = _raw(headers)

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return send_more


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


async def _refuse(refusal: KeyRefused, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        # Closing before the handshake is accepted answers it with 403.
        await receive()
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.code})
        return
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    start = {"type": f"{kind}.response.start", "status": refusal.status, "headers": _raw(refusal.answer_headers)}
    await send(start)
    await send({"type": f"{kind}.response.body", "body": refusal.body})
