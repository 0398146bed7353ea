"""Wiring: which pages of other origins may call the API, and with which headers."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from keywright.console.docs import SandboxedCalls

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SENT = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-Id")
_READ = (
    *("Link", "ETag", "Location", "Retry-After", "X-Request-Id", "Idempotency-Replayed"),
    *("RateLimit", "RateLimit-Policy", "WWW-Authenticate", "Date"),
)
_SECONDS = 7200


def for_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of these origins call *app*, without cookies."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=_SENT,
        expose_headers=_READ,
        max_age=_SECONDS,
    )


def for_docs(app: ASGIApp) -> ASGIApp:
    """Let `/docs`, which has no origin, call the API, without cookies."""
    shared = CORSMiddleware(
        app,
        allow_origins=("null",),
        allow_methods=_METHODS,
        allow_headers=(*_SENT, "Keywright-Facts"),
        expose_headers=(*_READ, "Keywright-Stale"),
        max_age=_SECONDS,
    )
    return SandboxedCalls(app, shared)
