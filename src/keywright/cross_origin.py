"""Wiring: which pages of other origins may call the API, and with which headers."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SENT = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-Id")
_READ = (
    *("Link", "ETag", "Location", "Retry-After", "X-Request-Id", "Idempotency-Replayed"),
    *("RateLimit", "RateLimit-Policy", "WWW-Authenticate", "Date"),
)
_SECONDS = 7200


def for_pages(app: ASGIApp, origins: Sequence[str], *, docs: bool, checks: bool = False) -> ASGIApp:
    """
    Let pages of other origins call *app*, without cookies.

    Args:
        app: Answers the calls.
        origins: The origins.
        docs: Whether `/docs` may call, too, which has no origin.
        checks: Whether the calls are checks of keys, which have headers of their own.
    """
    if not origins and not docs:
        return app
    return CORSMiddleware(
        app,
        allow_origins=(*origins, "null") if docs else origins,
        allow_methods=_METHODS,
        allow_headers=(*_SENT, "Keywright-Facts") if checks else _SENT,
        expose_headers=(*_READ, "Keywright-Stale") if checks else _READ,
        max_age=_SECONDS,
    )


class _ChecksByPages:
    """Sends requests with `Origin` to *shared*, and all others to *app*, whose answers do not vary."""

    def __init__(self, app: ASGIApp, shared: ASGIApp) -> None:
        self._app = app
        self._shared = shared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        by_page = any(name == b"origin" for name, _ in scope["headers"])
        await (self._shared if by_page else self._app)(scope, receive, send)


def for_docs(checks: ASGIApp) -> ASGIApp:
    """Let `/docs` call the checks of keys, without cookies."""
    return _ChecksByPages(checks, for_pages(checks, (), docs=True, checks=True))
