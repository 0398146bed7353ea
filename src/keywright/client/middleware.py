"""
Checking keys in front of any ASGI application.

    app = KeywrightMiddleware(app, AsyncVerifier(url, credential), scopes=["reports:read"], exempt=["/healthz"])

The verdict is in `scope["keywright"]`, and in `scope["state"]["keywright"]`, which Starlette shows as
`request.state.keywright`. Whatever refuses a request answers it: the application never sees it.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from keywright.client.errors import KeywrightError
from keywright.client.guard import Guard, KeyRefused, Refusal, limit_headers, presented_key, refused_for_trouble
from keywright.client.verdicts import Verdict
from keywright.client.verifier import AsyncVerifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY_VIOLATION = 1008


class KeywrightMiddleware:
    """
    Lets through requests that present a key which may be used, and answers all others.

    Starts the verifier when the server announces the application's life (or with the first request), and closes it at
    its end, unless it was started before by somebody else.

    Args:
        app: The application behind it.
        verifier: Checks the keys.
        scopes: What a key must be allowed to do, all of it.
        environment: The environment it must belong to; None for any.
        exempt: Paths that need no key, each exactly as it is requested.
        trusted_proxies: Networks in CIDR form whose `X-Forwarded-For` is believed; by default nobody's.
        cost: How many units of a key's rate limits each request takes.
    """

    def __init__(
        self,
        app: App,
        verifier: AsyncVerifier,
        *,
        scopes: Collection[str] = (),
        environment: str | None = None,
        exempt: Collection[str] = (),
        trusted_proxies: Collection[str] = (),
        cost: int = 1,
    ) -> None:
        if isinstance(exempt, str):
            raise TypeError("exempt must be a collection of paths, not one string")
        self._app = app
        self._verifier = verifier
        self._guard = Guard(scopes=scopes, environment=environment, trusted_proxies=trusted_proxies, cost=cost)
        self._exempt = frozenset(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        try:
            verdict = await check_request(scope, self._verifier, self._guard)
        except KeyRefused as refused:
            await _refuse(refused.refusal, scope, receive, send)
            return
        scope["keywright"] = verdict
        scope.setdefault("state", {})["keywright"] = verdict
        await self._app(scope, receive, _telling(limit_headers(verdict), send))

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._verifier.started:
            await self._app(scope, receive, send)
            return
        await self._verifier.start()
        try:
            await _Life(self._app, self._verifier, receive, send).live(scope)
        finally:
            await self._verifier.close()


class _Life:
    """
    Lets an application live, and the verifier with it.

    Answers in the application's place when it knows nothing of such announcements, and closes the verifier before the
    server hears that all is over: what is left to do after that, it does not wait for.
    """

    def __init__(self, app: App, verifier: AsyncVerifier, receive: Receive, send: Send) -> None:
        self._app = app
        self._verifier = verifier
        self._receive = receive
        self._send = send
        self._heard = False

    async def live(self, scope: Scope) -> None:
        try:
            await self._app(scope, self._hear, self._say)
        except Exception:
            if self._heard:
                raise
        if not self._heard:
            # It turned away before it heard anything, as an application that serves requests only does.
            await self._receive()
            await self._say({"type": "lifespan.startup.complete"})
            await self._receive()
            await self._say({"type": "lifespan.shutdown.complete"})

    async def _hear(self) -> Message:
        self._heard = True
        return await self._receive()

    async def _say(self, message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            await self._verifier.close()
        await self._send(message)


async def check_request(scope: Scope, verifier: AsyncVerifier, guard: Guard) -> Verdict:
    """
    Check the key of an ASGI request.

    Raises:
        KeyRefused: It may not go on; holds what to answer.
    """
    headers = _Headers(scope)
    client = scope.get("client")
    asked = guard.asked(peer=client[0] if client else None, forwarded=headers.forwarded, user_agent=headers.user_agent)
    key = presented_key(headers.authorization, headers.api_key)
    try:
        verdict = await verifier.verify(key, **asked)
    except KeywrightError as error:
        raise refused_for_trouble(error) from None
    return guard.pass_or_refuse(verdict)


class _Headers:
    """The headers that matter, out of an ASGI scope."""

    __slots__ = ("api_key", "authorization", "forwarded", "user_agent")

    def __init__(self, scope: Scope) -> None:
        self.authorization: list[str] = []
        self.api_key: list[str] = []
        self.forwarded: list[str] = []
        self.user_agent: str | None = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                self.authorization.append(value.decode("latin-1"))
            elif name == b"x-api-key":
                self.api_key.append(value.decode("latin-1"))
            elif name == b"x-forwarded-for":
                self.forwarded.append(value.decode("latin-1"))
            elif name == b"user-agent":
                self.user_agent = value.decode("latin-1")


def _telling(headers: dict[str, str], send: Send) -> Send:
    """Have the answer carry *headers*, too."""
    if not headers:
        return send
    more = _raw(headers)

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return tell


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        # Before it is accepted, closing it answers the handshake with 403.
        await receive()
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.code})
        return
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    start = {"type": f"{kind}.response.start", "status": refusal.status, "headers": _raw(refusal.answer_headers)}
    await send(start)
    await send({"type": f"{kind}.response.body", "body": refusal.body})
