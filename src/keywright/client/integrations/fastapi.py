"""
Verification of keys in a FastAPI application, for each route.

    app = FastAPI()
    use_verifier(app, AsyncVerifier(url, credential))

    @app.get("/reports")
    async def reports(key: Annotated[KeyInfo, Depends(require_key(scopes=["reports:read"]))]): ...

FastAPI is imported when one of these is called, so this package can be installed without it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from keywright.client.integrations._guard import Guard, KeyRefused, limit_headers
from keywright.client.integrations.asgi import POLICY_VIOLATION, headers_of
from keywright.client.verifier import AsyncVerifier, KeyInfo

if TYPE_CHECKING:
    import fastapi
    import fastapi.requests

_DESCRIPTION = "An API key."


def use_verifier(app: "fastapi.FastAPI", verifier: AsyncVerifier) -> None:
    """
    Let the routes of an application check keys with *verifier*. Call it before the application serves.

    The verifier is started with the application and closed at its end, unless it was started before. Refusals are
    answered as `{"detail", "code"}`.
    """
    app.state.keywright = verifier
    app.add_exception_handler(KeyRefused, _answer_refusal)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(started: "fastapi.FastAPI") -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            if not verifier.started:
                await stack.enter_async_context(verifier)
            yield await stack.enter_async_context(inner(started))

    app.router.lifespan_context = lifespan


def require_key(
    *,
    scopes: Collection[str] = (),
    environment: str | None = None,
    trusted_proxies: Collection[str] = (),
    cost: int = 1,
) -> Callable[..., Awaitable[KeyInfo]]:
    """
    Make a dependency that gives the key of a request, and answers in place of the route without a valid key.

    The application's OpenAPI document shows it as a key in `Authorization: Bearer` or in `X-API-Key`. The whole verdict
    is in `request.state.keywright`.

    Args:
        scopes: The scopes that a key must have, all of them.
        environment: The environment that it must belong to; None for any.
        trusted_proxies: Networks in CIDR form whose `X-Forwarded-For` is trusted; none by default.
        cost: The units of a key's rate limits that each call uses.

    Raises:
        TypeError, ValueError: An argument is malformed, as for `Guard`.
    """
    import fastapi
    import fastapi.requests

    guard = Guard(scopes=scopes, environment=environment, trusted_proxies=trusted_proxies, cost=cost)
    bearer, header = _schemes()

    async def api_key(
        connection: fastapi.requests.HTTPConnection,
        response: fastapi.Response,
        _bearer: None = fastapi.Depends(bearer),
        _header: None = fastapi.Depends(header),
    ) -> KeyInfo:
        return await _checked(connection, response, guard)

    return api_key


@cache
def _schemes() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Make the two ways to present a key as dependencies that appear in the document and do nothing."""
    import fastapi.openapi.models as openapi
    import fastapi.security.base as security

    class Scheme(security.SecurityBase):
        def __init__(self, name: str, model: openapi.SecurityBase) -> None:
            self.scheme_name = name
            self.model = model

        async def __call__(self) -> None:
            return None

    header = {"in": openapi.APIKeyIn.header, "name": "X-API-Key", "description": _DESCRIPTION}
    return (
        Scheme("ApiKeyBearer", openapi.HTTPBearer(description=_DESCRIPTION)),
        Scheme("ApiKeyHeader", openapi.APIKey.model_validate(header)),
    )


async def _checked(
    connection: "fastapi.requests.HTTPConnection", response: "fastapi.Response", guard: Guard
) -> KeyInfo:
    verifier = getattr(connection.app.state, "keywright", None)
    if not isinstance(verifier, AsyncVerifier):
        raise RuntimeError(f"no verifier: call {__name__}.use_verifier(app, verifier) first")
    verdict = await guard.check_async(verifier, headers_of(connection.scope))
    connection.state.keywright = verdict
    response.headers.update(limit_headers(verdict))
    if verdict.key is None:
        raise AssertionError("a valid verdict without a key")
    return verdict.key


async def _answer_refusal(connection: Any, error: Exception) -> Any:
    import fastapi

    if not isinstance(error, KeyRefused):
        raise error
    if isinstance(connection, fastapi.WebSocket):
        await connection.close(POLICY_VIOLATION, error.code)
        return None
    return fastapi.Response(error.body, error.status, error.answer_headers)
