"""
Verification of keys in a Flask application, for one view; `wsgi` does it for a whole application.

    @app.get("/reports")
    @require_key(verifier, scopes=["reports:read"])
    def reports(): return {"key": str(g.keywright.key.id)}

Flask is imported when a guarded view is called, so this package can be installed without it.
"""

from collections.abc import Callable, Collection
from functools import partial, wraps
from typing import Any

from keywright.client.integrations._guard import Guard, KeyRefused, limit_headers
from keywright.client.integrations.wsgi import headers_of
from keywright.client.verifier import Verifier

_View = Callable[..., Any]


def require_key(
    verifier: Verifier,
    *,
    scopes: Collection[str] = (),
    environment: str | None = None,
    trusted_proxies: Collection[str] = (),
    cost: int = 1,
) -> Callable[[_View], _View]:
    """
    Make a decorator that calls a view only with a valid key; the verdict is in `flask.g.keywright`.

    Args:
        verifier: Checks the keys; the first request starts it, and it ends with the process.
        scopes: The scopes that a key must have, all of them.
        environment: The environment that it must belong to; None for any.
        trusted_proxies: Networks in CIDR form whose `X-Forwarded-For` is trusted; none by default.
        cost: The units of a key's rate limits that each call uses.
    """
    guard = Guard(scopes=scopes, environment=environment, trusted_proxies=trusted_proxies, cost=cost)

    def decorate(view: _View) -> _View:
        @wraps(view)
        def guarded(*args: Any, **named: Any) -> Any:
            import flask

            try:
                verdict = flask.g.keywright = guard.check(verifier, headers_of(flask.request.environ))
            except KeyRefused as refused:
                return flask.Response(refused.body, refused.status, refused.answer_headers)
            flask.after_this_request(partial(_add_headers, limit_headers(verdict)))
            return flask.current_app.ensure_sync(view)(*args, **named)

        return guarded

    return decorate


def _add_headers(headers: dict[str, str], response: Any) -> Any:
    response.headers.extend(headers)
    return response
