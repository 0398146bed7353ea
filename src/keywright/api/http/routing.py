"""
Operations of the HTTP API: methods whose signatures name what they need, and the routes that lead to them.

    @operation("GET", "/api/v2/api-keys/{key_id}", summary="Get API Key", answers=ApiKeyResponse)
    async def get_api_key(self, principal: MayRead, key_id: KeyId) -> Response:

The annotation of each parameter carries an `Input`. A signature is read once, when its module is imported. For a
request the inputs are read in the order of the signature, the principal first: nothing behind it is read before the
token was verified. Parameters of path, query and headers are validated after all others, and their flaws are reported
together. `api/openapi.py` documents an operation from the same inputs.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from keywright.api.http.problems import Refusal, answer_to, validation_refusal
from keywright.contract.errors import FieldError
from keywright.keys.addresses import Network
from keywright.service.ports import Authenticator
from keywright.service.principal import Permission

Answer = Callable[[Request], Awaitable[Response]]
"""Answers a request, or raises what `problems.answer_to` answers."""

Value = TypeVar("Value")


class CallerAuthenticator(Protocol):
    """Verifies credentials of verifiers, and tokens of services that check keys."""

    async def recognize(self, authorization: Sequence[str], /) -> Any:
        """Give the caller that the values of all `Authorization` headers belong to; raises for any other."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Who verifies tokens, who verifies callers that check keys, and the networks of our proxies."""

    authenticator: Authenticator
    callers: CallerAuthenticator
    proxies: Sequence[Network]


class Reader(NamedTuple):
    """
    How a value is read from a request.

    `read` is plain or a coroutine function. `place` is where a flaw is reported, for a value that pydantic validates;
    None where `read` raises a `Refusal` by itself.
    """

    read: Callable[[Request], Any]
    place: tuple[str, ...] | None = None


class Input:
    """What a parameter of an operation is read from, and what the OpenAPI document says of it."""

    codes: Sequence[str] = ()
    """Codes of the problems that this input may end a request with."""
    headers: Sequence[str] = ()
    """Headers that the answer has because of this input."""
    header: Mapping[str, Any] | None = None
    """The request header that is read, as an OpenAPI parameter."""
    permission: Permission | None = None
    """What the access token has to permit."""

    def reader(self, name: str, hint: Any, trust: Trust) -> Reader:
        """
        Prepare the reading, once for each operation.

        Args:
            name: Of the parameter.
            hint: Its type, with all of its annotations.
            trust: What credentials are verified with.
        """
        raise NotImplementedError


class PathInput(Input):
    """A part of the path, validated as the type of the parameter; where it names nothing, the answer is a 404."""

    codes = ("not_found", "validation_failed")

    def reader(self, name: str, hint: Any, trust: Trust) -> Reader:
        validate = TypeAdapter(hint).validate_python
        return Reader(lambda request: validate(request.path_params[name]), ("path", name))


class QueryInput(Input):
    """All parameters of the query, as one model; of a parameter that is given twice the last one counts."""

    codes = ("validation_failed",)

    def reader(self, name: str, hint: Any, trust: Trust) -> Reader:
        validate = TypeAdapter(hint).validate_python
        return Reader(lambda request: validate(dict(request.query_params)), ("query",))


class HeaderInput(Input):
    """A request header, named as the parameter with hyphens; None where it is absent."""

    codes = ("validation_failed",)

    def reader(self, name: str, hint: Any, trust: Trust) -> Reader:
        validate, header = TypeAdapter(hint).validate_python, name.replace("_", "-")
        return Reader(lambda request: validate(request.headers.get(header)), ("header", header))


Query = Annotated[Value, QueryInput()]
"""The query of a request as a model: `query: Query[ListQuery]`."""


class Asked(NamedTuple):
    """One parameter of a signature: its name, its type with annotations, and where it is read from."""

    name: str
    hint: Any
    input: Input


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """
    One operation.

    `answers` is the type of a good answer's body, None without one or outside of the document. `headers` are those of
    a good answer, `refusals` the codes of what the use case may refuse, both beside what follows from the inputs.
    An operation without a tag is not documented.
    """

    method: str
    path: str
    name: str
    tag: str | None
    summary: str
    description: str
    status: int
    answers: Any
    headers: Sequence[str]
    refusals: Sequence[str]
    inputs: Sequence[Asked]


Endpoint = TypeVar("Endpoint", bound=Callable[..., Awaitable[Response]])
_MARK = "__operation__"


def operation(
    method: str,
    path: str,
    *,
    tag: str | None = None,
    summary: str = "",
    status: int = 200,
    answers: Any = None,
    headers: Sequence[str] = (),
    refusals: Sequence[str] = (),
) -> Callable[[Endpoint], Endpoint]:
    """
    Make a method an operation; its docstring is the description in the document.

    Raises:
        TypeError: A parameter of the signature has no `Input`.
    """

    def mark(endpoint: Endpoint) -> Endpoint:
        marked = Operation(
            method=method,
            path=path,
            name=endpoint.__name__,
            tag=tag,
            summary=summary,
            description=" ".join((inspect.getdoc(endpoint) or "").split()),
            status=status,
            answers=answers,
            headers=headers,
            refusals=refusals,
            inputs=[*_inputs(endpoint)],
        )
        setattr(endpoint, _MARK, marked)
        return endpoint

    return mark


def operations_of(group: object) -> Iterator[tuple[Operation, Callable[..., Awaitable[Response]]]]:
    """Give the operations of an object, each with the bound method that answers it, as they stand in its class."""
    for name, member in vars(type(group)).items():
        if (found := getattr(member, _MARK, None)) is not None:
            yield found, getattr(group, name)


class Routes:
    """
    The application behind the edge: every resource by its path.

    `/x/` is `/x` without a redirect, because clients drop `Authorization` on redirects.

    Args:
        groups: Objects with operations; those that are asked for most come first.
        trust: What credentials are verified with.
        lifespan: What runs while requests are served.
    """

    def __init__(self, groups: Iterable[object], trust: Trust, *, lifespan: Lifespan[Any] | None = None) -> None:
        resources: dict[str, dict[str, Answer]] = {}
        for group in groups:
            for found, endpoint in operations_of(group):
                resources.setdefault(found.path, {})[found.method] = _answering(found, endpoint, trust)
        routes = [Route(path, _Resource(path, answers)) for path, answers in resources.items()]
        self._router = Router(routes, redirect_slashes=False, default=_not_found, lifespan=lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to its resource."""
        path = scope.get("path", "")
        if len(path) > 1 and path.endswith("/"):
            scope = {**scope, "path": path[:-1]}
        await self._router(scope, receive, send)


class Front:
    """
    Sends each request by its path to the application that answers it, and what none of them answers to *app*.

    An application in front does without what happens to all other requests: an id, a log line, metrics.

    Args:
        app: Answers all other paths, and what is not HTTP.
        applications: Each with a pattern that the whole path matches.
    """

    def __init__(self, app: ASGIApp, applications: Iterable[tuple[re.Pattern[str], ASGIApp]]) -> None:
        self._app = app
        self._applications = [*applications]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a request on."""
        app = self._app
        if scope["type"] == "http":
            path = scope["path"]
            app = next((each for paths, each in self._applications if paths.fullmatch(path)), app)
        await app(scope, receive, send)


class _Resource:
    """What is at one path: an ASGI application that answers by method."""

    def __init__(self, path: str, answers: dict[str, Answer]) -> None:
        self._path = path
        self._answers = {"HEAD": answers["GET"], **answers} if "GET" in answers else answers
        self._allow = ", ".join(sorted(self._answers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["route"] = self._path
        request = Request(scope, receive)
        try:
            response = await self._answers.get(scope["method"], self._refuse)(request)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer; the unexpected is logged whole
            response = answer_to(error, request)
        await response(scope, receive, send)

    async def _refuse(self, _request: Request) -> Response:
        raise Refusal("method_not_allowed", headers={"Allow": self._allow})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await answer_to(Refusal("not_found"), Request(scope))(scope, receive, send)


def _inputs(endpoint: Callable[..., Any]) -> Iterator[Asked]:
    hints = get_type_hints(endpoint, include_extras=True)
    for name in [*inspect.signature(endpoint).parameters][1:]:
        hint = hints[name]
        marks = get_args(hint) if get_origin(hint) is Annotated else ()
        found = next((mark for mark in marks if isinstance(mark, Input)), None)
        if found is None:
            raise TypeError(f"{endpoint.__qualname__}: nothing says where {name} is read from")
        yield Asked(name, hint, found)


def _answering(found: Operation, endpoint: Callable[..., Awaitable[Response]], trust: Trust) -> Answer:
    readers = {asked.name: asked.input.reader(asked.name, asked.hint, trust) for asked in found.inputs}
    first = [
        (name, reader.read, inspect.iscoroutinefunction(reader.read))
        for name, reader in readers.items()
        if reader.place is None
    ]
    validated = [(name, reader.read, reader.place) for name, reader in readers.items() if reader.place is not None]

    async def answer(request: Request) -> Response:
        values: dict[str, Any] = {}
        for name, read, waits in first:
            value = read(request)
            values[name] = await value if waits else value
        if validated:
            _validate(validated, request, values)
        return await endpoint(**values)

    return answer


def _validate(
    validated: Sequence[tuple[str, Callable[[Request], Any], tuple[str, ...]]], request: Request, values: dict[str, Any]
) -> None:
    flaws: list[FieldError] = []
    for name, read, place in validated:
        try:
            values[name] = read(request)
        except ValidationError as error:
            flaws += validation_refusal(error, *place).errors
    if flaws:
        raise Refusal("validation_failed", errors=flaws)
