"""
Operations of the HTTP API: methods whose signatures name their inputs, and the routes to them.

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
from starlette.routing import Router, compile_path
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from keywright.api.http.problems import Refusal, answer_to, validation_refusal
from keywright.contract.errors import FieldError
from keywright.keys.addresses import Networks
from keywright.service.ports import Authenticator
from keywright.service.principal import Permission, Principal
from keywright.service.turns import ChangeLimit, Turns

Answer = Callable[[Request], Awaitable[Response]]
"""Answers a request, or raises an error that `problems.answer_to` answers."""

Door = Callable[[Request], Awaitable[Principal]]
"""Gives the principal of a request by something else than its bearer token; raises for any other request."""

Value = TypeVar("Value")


class CallerAuthenticator(Protocol):
    """Verifies credentials of verifiers and tokens with `verify:api_keys`."""

    async def recognize(self, authorization: Sequence[str], /) -> Any:
        """Give the caller with this credential, from the values of all `Authorization` headers; raise for any other."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """
    The verification of tokens and of callers that check keys, the networks of our proxies, and the bounds of each
    organization: its requests under way, and its changes. `operator_org` is the external id of the operator's own
    organization; None where nobody operates.

    With a `door`, callers are recognized by it, and no bearer token counts.
    """

    authenticator: Authenticator
    callers: CallerAuthenticator
    proxies: Networks
    turns: Turns
    changes: ChangeLimit
    operator_org: str | None = None
    door: Door | None = None


class InputReader(NamedTuple):
    """
    Reads one value from a request.

    `read` is a plain or a coroutine function. `location` is where a flaw is reported, for a value that pydantic
    validates; None where `read` raises a `Refusal` itself.
    """

    read: Callable[[Request], Any]
    location: tuple[str, ...] | None = None


class Input:
    """The source of a parameter of an operation, and its part of the OpenAPI document."""

    codes: Sequence[str] = ()
    """Codes of the problems that this input may end a request with."""
    headers: Sequence[str] = ()
    """Headers that this input adds to the answer."""
    header: Mapping[str, Any] | None = None
    """The request header of this input, as an OpenAPI parameter."""
    permission: Permission | None = None
    """The permission that the access token needs."""

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        """
        Make the reader, once for each operation.

        Args:
            name: The name of the parameter.
            hint: Its type, with all annotations.
            trust: Verifies credentials.
        """
        raise NotImplementedError


class PathInput(Input):
    """A part of the path, validated as the type of the parameter. The operation may answer 404 for it."""

    codes = ("not_found", "validation_failed")

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        validate = TypeAdapter(hint).validate_python
        return InputReader(lambda request: validate(request.path_params[name]), ("path", name))


class QueryInput(Input):
    """All parameters of the query, as one model; of a repeated parameter the last one counts."""

    codes = ("validation_failed",)

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        validate = TypeAdapter(hint).validate_python
        return InputReader(lambda request: validate(dict(request.query_params)), ("query",))


class HeaderInput(Input):
    """A request header with the parameter's name, hyphens for underscores; None where it is absent."""

    codes = ("validation_failed",)

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        validate, header = TypeAdapter(hint).validate_python, name.replace("_", "-")
        return InputReader(lambda request: validate(request.headers.get(header)), ("header", header))


def header_values(request: Request, name: bytes) -> list[str]:
    """Give the values of all headers called *name*, which is in lower case."""
    return [value.decode("latin-1") for given, value in request.scope["headers"] if given == name]


def first_header(request: Request, name: bytes) -> str | None:
    """Give the value of the first header called *name*, which is in lower case; None where it is absent."""
    # Starlette's reader decodes all headers in front of it.
    for given, value in request.scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return None


Query = Annotated[Value, QueryInput()]
"""The query of a request as a model: `query: Query[ListQuery]`."""


class Parameter(NamedTuple):
    """One parameter of a signature: its name, its type with annotations, and its input."""

    name: str
    hint: Any
    input: Input


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """
    One operation.

    `answers` is the type of a good answer's body; None where it has no body or is not documented. `headers` are those
    of a good answer, `refusals` the codes of the use case, both without those of the inputs. An operation without a tag
    is not documented. One that works `in_steps` takes a turn for each step itself; any other has one for all of it.
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
    in_steps: bool
    inputs: Sequence[Parameter]


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
    in_steps: bool = False,
) -> Callable[[Endpoint], Endpoint]:
    """
    Make a method an operation; its docstring becomes the description in the OpenAPI document.

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
            in_steps=in_steps,
            inputs=[*_inputs(endpoint)],
        )
        setattr(endpoint, _MARK, marked)
        return endpoint

    return mark


def operations_of(group: object) -> Iterator[tuple[Operation, Callable[..., Awaitable[Response]]]]:
    """Give the operations of an object with their bound methods, in the order of its class."""
    for name, member in vars(type(group)).items():
        if (found := getattr(member, _MARK, None)) is not None:
            yield found, getattr(group, name)


class Routes:
    """
    The ASGI application that routes each request to its resource.

    `/x/` is `/x` without a redirect, because clients drop `Authorization` on redirects.

    Args:
        groups: Objects with operations. No path of theirs without parameters matches the template of another one.
        trust: Verifies credentials.
        lifespan: Runs while requests are served.
        prefix: What all paths begin with here, before those of the operations.
    """

    def __init__(
        self, groups: Iterable[object], trust: Trust, *, lifespan: Lifespan[Any] | None = None, prefix: str = ""
    ) -> None:
        resources: dict[str, dict[str, Answer]] = {}
        for group in groups:
            for found, endpoint in operations_of(group):
                resources.setdefault(prefix + found.path, {})[found.method] = _answering(found, endpoint, trust)
        # By the template itself, which is the path where it has no parameter.
        self._resources = {path: _Resource(path, answers) for path, answers in resources.items()}
        self._patterns = [(compile_path(path)[0], resource) for path, resource in self._resources.items()]
        self._lifespan = Router(lifespan=lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to its resource."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
        resource = None if "{" in path else self._resources.get(path)
        await (resource or self._matching(path, scope))(scope, receive, send)

    def _matching(self, path: str, scope: Scope) -> ASGIApp:
        for pattern, resource in self._patterns:
            if (match := pattern.match(path)) is not None:
                scope["path_params"] = match.groupdict()
                return resource
        return _not_found


class UnknownScope(Exception):
    """An ASGI server passed a scope of a type that the application does not serve."""


class Front:
    """
    Sends each request by its path to the application that answers it, and what none of them answers to *app*.

    An application in front does without what happens to all other requests: an id, a log line, metrics.

    Args:
        app: Answers all other paths, and has the lifespan.
        applications: Each with a pattern that the whole path matches.
    """

    def __init__(self, app: ASGIApp, applications: Iterable[tuple[re.Pattern[str], ASGIApp]]) -> None:
        self._app = app
        self._applications = [*applications]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Send a request on.

        Raises:
            UnknownScope: The scope is neither HTTP nor the lifespan: nothing behind would check a token there.
        """
        app = self._app
        if scope["type"] == "http":
            path = scope["path"]
            for paths, each in self._applications:
                if paths.fullmatch(path):
                    app = each
                    break
        elif scope["type"] != "lifespan":
            raise UnknownScope(f"Keywright serves no ASGI scope of the type {scope['type']!r}.")
        await app(scope, receive, send)


class _Resource:
    """The ASGI application of one path; it chooses the operation by method."""

    def __init__(self, path: str, answers: dict[str, Answer]) -> None:
        self._path = path
        self._answers = {"HEAD": answers["GET"], **answers} if "GET" in answers else answers
        self._allow = ", ".join(sorted(self._answers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["route"] = self._path
        request = Request(scope, receive)
        try:
            response = await self._answers.get(scope["method"], self._refuse)(request)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer; `answer_to` logs unexpected ones
            response = answer_to(error, request)
        await response(scope, receive, send)

    async def _refuse(self, _request: Request) -> Response:
        raise Refusal("method_not_allowed", headers={"Allow": self._allow})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await answer_to(Refusal("not_found"), Request(scope))(scope, receive, send)


def _inputs(endpoint: Callable[..., Any]) -> Iterator[Parameter]:
    hints = get_type_hints(endpoint, include_extras=True)
    for name in [*inspect.signature(endpoint).parameters][1:]:
        hint = hints[name]
        marks = get_args(hint) if get_origin(hint) is Annotated else ()
        found = next((mark for mark in marks if isinstance(mark, Input)), None)
        if found is None:
            raise TypeError(f"{endpoint.__qualname__}: the annotation of {name} has no Input")
        yield Parameter(name, hint, found)


def _answering(found: Operation, endpoint: Callable[..., Awaitable[Response]], trust: Trust) -> Answer:
    readers = {param.name: param.input.reader(param.name, param.hint, trust) for param in found.inputs}
    first = [
        (name, reader.read, inspect.iscoroutinefunction(reader.read))
        for name, reader in readers.items()
        if reader.location is None
    ]
    validated = [
        (name, reader.read, reader.location) for name, reader in readers.items() if reader.location is not None
    ]

    principal = None if found.in_steps else next((each.name for each in found.inputs if each.input.permission), None)

    async def answer(request: Request) -> Response:
        values: dict[str, Any] = {}
        for name, read, waits in first:
            value = read(request)
            values[name] = await value if waits else value
        if validated:
            _validate(validated, request, values)
        if principal is None:
            return await endpoint(**values)
        # After the body was read: a slow client takes no turn.
        org_id = values[principal].organization.id.int
        if not trust.turns.take_now(org_id):
            await trust.turns.wait(org_id)
        try:
            return await endpoint(**values)
        finally:
            trust.turns.give_back(org_id)

    return answer


def _validate(
    validated: Sequence[tuple[str, Callable[[Request], Any], tuple[str, ...]]], request: Request, values: dict[str, Any]
) -> None:
    flaws: list[FieldError] = []
    for name, read, location in validated:
        try:
            values[name] = read(request)
        except ValidationError as error:
            flaws += validation_refusal(error, *location).errors
    if flaws:
        raise Refusal("validation_failed", errors=flaws)
