"""
Checking keys in a Django project: all of it, by the middleware, or view by view, by the decorator.

    # settings.py
    KEYWRIGHT = {"URL": "https://keys.acme.example", "VERIFIER": os.environ["KEYWRIGHT_VERIFIER"]}
    MIDDLEWARE = ["keywright.client.integrations.django.KeywrightDjangoMiddleware", ...]

    # views.py
    @require_key(scopes=["reports:read"])
    def reports(request): ...

Both put the verdict into `request.keywright`. `KEYWRIGHT` may hold, too, `OPTIONS` for the verifier (such as
`{"outage_seconds": 60}`), `TRUSTED_PROXIES` (networks in CIDR form), and for the middleware `SCOPES`, `ENVIRONMENT`,
`COST` (units of a key's rate limits that each request takes) and `EXEMPT` (paths that need no key). Django is imported
when one of these is used, so that this package can be installed without it.
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
    """Lets through requests that present a key which may be used, and answers all others."""

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
        # Said when the project starts, not with its first request.
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
    Make a decorator that lets a view, async or not, be called with a good key only.

    Args:
        scopes: What a key must be allowed to do, all of it.
        environment: The environment it must belong to; None for any.
        cost: How many units of a key's rate limits each call takes.
    """

    @cache
    def guard() -> Guard:
        # Settings are read when they are needed: a view may be imported before there are any.
        trusted = _settings().get("TRUSTED_PROXIES", ())
        return Guard(scopes=scopes, environment=environment, trusted_proxies=trusted, cost=cost)

    return lambda view: _guarded(view, lambda request: _check(request, guard()))


@cache
def the_verifier() -> Verifier:
    """
    Give the verifier of this project, made out of its settings; started by the first request.

    Raises:
        django.core.exceptions.ImproperlyConfigured: The settings lack a name, or have an unknown one.
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

    # In a thread, because it may have to wait for the service.
    check_in_thread = sync_to_async(check, thread_sensitive=False)

    @wraps(view)
    async def guarded_async(request: Any, *args: Any, **named: Any) -> Any:
        refused = await check_in_thread(request)
        return _with_limits(request, await view(request, *args, **named)) if refused is None else refused

    return guarded_async


def _check(request: Any, guard: Guard) -> Any:
    """Note the verdict on the request's key; give the answer when the request may not go on, None when it may."""
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
    # Django has no types of its own.
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
