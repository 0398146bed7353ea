"""
Verification of keys in front of any WSGI application, such as Flask's.

    app.wsgi_app = KeywrightWSGIMiddleware(app.wsgi_app, Verifier(url, credential), scopes=["reports:read"])

The verdict is in `environ["keywright"]`, which Flask shows as `request.environ["keywright"]`.
"""

from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from httpx import codes

from keywright.client.integrations._guard import GuardedApplication, KeyRefused, RequestHeaders, limit_headers
from keywright.client.verifier import Verifier


class KeywrightWSGIMiddleware(GuardedApplication[WSGIApplication, Verifier]):
    """
    Passes requests with a valid key on, and answers all others.

    The first request starts the verifier, and it ends with the process. The arguments are those of
    `GuardedApplication`.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._guard.is_exempt(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")):
            try:
                verdict = environ["keywright"] = self._guard.check(self._verifier, headers_of(environ))
            except KeyRefused as refused:
                return _refuse(refused, start_response)
            start_response = _with_headers(limit_headers(verdict), start_response)
        return self._app(environ, start_response)


def headers_of(environ: WSGIEnvironment) -> RequestHeaders:
    """Read the headers and the peer from a WSGI environment, such as Django's `request.META`."""
    # A server joins repeated headers with a comma, which no key contains.
    return RequestHeaders(
        authorization=_values(environ, "HTTP_AUTHORIZATION"),
        api_key=_values(environ, "HTTP_X_API_KEY"),
        forwarded=_values(environ, "HTTP_X_FORWARDED_FOR"),
        user_agent=environ.get("HTTP_USER_AGENT"),
        peer=environ.get("REMOTE_ADDR") or None,
    )


def _values(environ: WSGIEnvironment, name: str) -> list[str]:
    value: Any = environ.get(name)
    return [] if value is None else [value]


def _with_headers(headers: dict[str, str], start_response: StartResponse) -> StartResponse:
    """Add *headers* to the answer."""
    if not headers:
        return start_response

    def start_with_more(status: str, given: list[tuple[str, str]], *error: Any) -> Any:
        return start_response(status, [*given, *headers.items()], *error)

    return start_with_more


def _refuse(refusal: KeyRefused, start_response: StartResponse) -> Iterable[bytes]:
    start_response(f"{refusal.status} {codes.get_reason_phrase(refusal.status)}", list(refusal.answer_headers.items()))
    return [refusal.body]
