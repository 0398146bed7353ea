"""
Checking keys in front of any WSGI application, Flask's among them.

    app.wsgi_app = KeywrightMiddleware(app.wsgi_app, Verifier(url, credential), scopes=["reports:read"])

The verdict is in `environ["keywright"]`, which Flask shows as `request.environ["keywright"]`.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from httpx import codes

from keywright.client.errors import KeywrightError
from keywright.client.guard import Guard, KeyRefused, Refusal, limit_headers, presented_key, refused_for_trouble
from keywright.client.verdicts import Verdict
from keywright.client.verifier import Verifier

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class KeywrightMiddleware:
    """
    Lets through requests that present a key which may be used, and answers all others.

    Args:
        app: The application behind it.
        verifier: Checks the keys; started by the first request, and ended with the process.
        scopes: What a key must be allowed to do, all of it.
        environment: The environment it must belong to; None for any.
        exempt: Paths that need no key, each exactly as the application sees it.
        trusted_proxies: Networks in CIDR form whose `X-Forwarded-For` is believed; by default nobody's.
        cost: How many units of a key's rate limits each request takes.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        verifier: Verifier,
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

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if path not in self._exempt:
            try:
                verdict = environ["keywright"] = check_environ(environ, self._verifier, self._guard)
            except KeyRefused as refused:
                return _refuse(refused.refusal, start_response)
            start_response = _telling(limit_headers(verdict), start_response)
        return self._app(environ, start_response)


def check_environ(environ: "WSGIEnvironment", verifier: Verifier, guard: Guard) -> Verdict:
    """
    Check the key of a WSGI request; Django's `request.META` is one.

    Raises:
        KeyRefused: It may not go on; holds what to answer.
    """
    # A server joins headers that come twice with a comma, which no key holds.
    key = presented_key(_values(environ, "HTTP_AUTHORIZATION"), _values(environ, "HTTP_X_API_KEY"))
    asked = guard.asked(
        peer=environ.get("REMOTE_ADDR") or None,
        forwarded=_values(environ, "HTTP_X_FORWARDED_FOR"),
        user_agent=environ.get("HTTP_USER_AGENT"),
    )
    try:
        verdict = verifier.verify(key, **asked)
    except KeywrightError as error:
        raise refused_for_trouble(error) from None
    return guard.pass_or_refuse(verdict)


def _values(environ: "WSGIEnvironment", name: str) -> list[str]:
    value: Any = environ.get(name)
    return [] if value is None else [value]


def _telling(headers: dict[str, str], start_response: "StartResponse") -> "StartResponse":
    """Have the answer carry *headers*, too."""
    if not headers:
        return start_response

    def tell(status: str, given: list[tuple[str, str]], *error: Any) -> Any:
        return start_response(status, [*given, *headers.items()], *error)

    return tell


def _refuse(refusal: Refusal, start_response: "StartResponse") -> Iterable[bytes]:
    start_response(f"{refusal.status} {codes.get_reason_phrase(refusal.status)}", list(refusal.answer_headers.items()))
    return [refusal.body]
