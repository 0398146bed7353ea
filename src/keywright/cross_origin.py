"""Wiring: which pages of other origins may call the API, and with which headers."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SENT = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-Id")
_READ = (
    *("Link", "ETag", "Location", "Retry-After", "X-Request-Id", "Idempotency-Replayed"),
    *("RateLimit", "RateLimit-Policy", "WWW-Authenticate", "Date"),
)
_SECONDS = 7200


def for_pages(app: ASGIApp, origins: Sequence[str], *, docs: bool) -> ASGIApp:
    """
    Let pages of other origins call *app*, without cookies.

    Args:
        app: Answers the calls.
        origins: The origins.
        docs: Whether `/docs` may call, too, which has no origin.
    """
    if not origins and not docs:
        return app
    return CORSMiddleware(
        app,
        allow_origins=(*origins, "null") if docs else origins,
        allow_methods=_METHODS,
        allow_headers=(*_SENT, "Keywright-Facts") if docs else _SENT,
        expose_headers=(*_READ, "Keywright-Stale") if docs else _READ,
        max_age=_SECONDS,
    )
