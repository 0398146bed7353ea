"""
Verification of keys in a Django project: for all views by the middleware, or for one view by the decorator.

    # settings.py
    KEYWRIGHT = {"URL": "https://keys.acme.example", "VERIFIER": os.environ["KEYWRIGHT_VERIFIER"]}
    MIDDLEWARE = ["keywright.client.integrations.django.KeywrightDjangoMiddleware", ...]

    # views.py
    @require_key(scopes=["reports:read"])
    def reports(request): ...

Both set `request.keywright` to the verdict. Further settings in `KEYWRIGHT` are `OPTIONS` for the verifier (such as
`{"outage_seconds": 60}`), `TRUSTED_PROXIES` (networks in CIDR form), and for the middleware `SCOPES`, `ENVIRONMENT`,
`COST` (units of a key's rate limits that each request uses) and `EXEMPT` (paths that need no key). Django is imported
when one of these is used, so this package can be installed without it.
"""

from collections.abc import Callable, Collection
from functools import cache, wraps
from typing import Any

from keywright.client.integrations._guard import Guard, KeyRefused, limit_headers
from keywright.client.integrations.wsgi import headers_of
from keywright.client.verifier import Verifier

_NAMES = frozenset({"URL", "VERIFIER", "OPTIONS", "TRUSTED_PROXIES", "SCOPES", "ENVIRONMENT", "COST", "EXEMPT"})

_View = Callable[..., Any]


class KeywrightDjangoMiddleware:
    """Passes requests with a valid key on, and answers all others."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: _View) -> None:
        settings = _settings()
        self._get_response = get_response
        self._guard = Guard(
            scopes=settings.get("SCOPES", ()),
            environment=settings.get("ENVIRONMENT"),
            exempt=settings.get("EXEMPT", ()),
            trusted_proxies=settings.get("TRUSTED_PROXIES", ()),
            cost=settings.get("COST", 1),
        )
        # A flaw in the settings fails the start, not the first request.
        the_verifier()

    def __call__(self, request: Any) -> Any:
        """Answer a request."""
        if self._guard.is_exempt(request.path):
            return self._get_response(request)
        refused = _check(request, self._guard)
        return _with_limits(request, self._get_response(request)) if refused is None else refused


def require_key(
    *, scopes: Collection[str] = (), environment: str | None = None, cost: int = 1
) -> Callable[[_View], _View]:
    """
    Make a decorator that calls a view, async or not, only with a valid key.

    Args:
        scopes: The scopes that a key must have, all of them.
        environment: The environment that it must belong to; None for any.
        cost: The units of a key's rate limits that each call uses.
    """

    @cache
    def guard() -> Guard:
        # Read late: a view may be imported before the settings are configured.
        trusted = _settings().get("TRUSTED_PROXIES", ())
        return Guard(scopes=scopes, environment=environment, trusted_proxies=trusted, cost=cost)

    return lambda view: _guarded(view, lambda request: _check(request, guard()))


@cache
def the_verifier() -> Verifier:
    """
    Give the verifier of this project, made from its settings; the first request starts it.

    Raises:
        django.core.exceptions.ImproperlyConfigured: `KEYWRIGHT` lacks a name, or has an unknown one.
    """
    settings = _settings()
    return Verifier(settings["URL"], settings["VERIFIER"], **settings.get("OPTIONS", {}))


def _guarded(view: _View, check: Callable[[Any], Any]) -> _View:
    from asgiref.sync import iscoroutinefunction, sync_to_async

    if not iscoroutinefunction(view):

        @wraps(view)
        def guarded(request: Any, *args: Any, **named: Any) -> Any:
            refused = check(request)
            return _with_limits(request, view(request, *args, **named)) if refused is None else refused

        return guarded

    # In a thread, because the check may wait for the service.
    check_in_thread = sync_to_async(check, thread_sensitive=False)

    @wraps(view)
    async def guarded_async(request: Any, *args: Any, **named: Any) -> Any:
        refused = await check_in_thread(request)
        return _with_limits(request, await view(request, *args, **named)) if refused is None else refused

    return guarded_async


def _check(request: Any, guard: Guard) -> Any:
    """Set the verdict on the request; return the answer of a refusal, None for a valid key."""
    from django.http import HttpResponse  # type: ignore[import-untyped]

    try:
        request.keywright = guard.check(the_verifier(), headers_of(request.META))
    except KeyRefused as refused:
        return HttpResponse(refused.body, status=refused.status, headers=refused.answer_headers)
    return None


def _with_limits(request: Any, response: Any) -> Any:
    """Add the state of the key's rate limits to the answer."""
    for name, value in limit_headers(request.keywright).items():
        response.headers[name] = value
    return response


def _settings() -> dict[str, Any]:
    # Django ships no types.
    from django.conf import settings  # type: ignore[import-untyped]
    from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped]

    found = dict(getattr(settings, "KEYWRIGHT", {}))
    missing = sorted({"URL", "VERIFIER"} - found.keys())
    unknown = sorted(found.keys() - _NAMES)
    if missing:
        raise ImproperlyConfigured(f"The setting KEYWRIGHT lacks {' and '.join(missing)}.")
    if unknown:
        raise ImproperlyConfigured(f"The setting KEYWRIGHT does not know {', '.join(unknown)}.")
    return found
