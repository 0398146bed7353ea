"""
Operations: routes that say in their signatures what they need, get it here, and are found without a search.

FastAPI reads the signatures for the document and keeps the routes for its router. What a signature asks for is read
here: first each dependency, in the order of the signature, so that what stands behind the principal is not looked at
before the token was found good; then the parameters of path and query, whose flaws are told together. A dependency is a
function of the request, plain or a coroutine, and asks for nothing else.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from fastapi import params
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from keywright.api.answers import PATH
from keywright.api.bodies import validation_refusal

Answer = Callable[[Request], Coroutine[Any, Any, Response]]

# Of one key is every path below that of all keys.
_BELOW = f"{PATH}/"


class Operation(APIRoute):
    """A route of FastAPI's in everything but how its endpoint gets what it asks for."""

    answer: Answer

    def get_route_handler(self) -> Answer:
        """Give what answers a request; FastAPI asks for it once."""
        self.answer = _answering(self.endpoint, path=set(self.param_convertors))
        return self.answer


class Operations:
    """
    Finds operations by method and path.

    Args:
        routes: All routes; those that are no operations are passed over.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        operations = [route for route in routes if isinstance(route, Operation)]
        self._by_path = {
            (method, operation.path): operation for operation in operations for method in operation.methods or ()
        }

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """Give the operation and what its path holds in the places of names; None where the router has to look."""
        key_id = ""
        if path.startswith(_BELOW):
            key_id, slash, rest = path[len(_BELOW) :].partition("/")
            if not key_id:
                return None
            path = f"{_BELOW}{{key_id}}{slash}{rest}"
        operation = self._by_path.get((method, path))
        return None if operation is None else (operation, {"key_id": key_id} if key_id else {})


class _Dependency(NamedTuple):
    name: str
    read: Callable[[Request], Any]
    waits: bool


class _Parameter(NamedTuple):
    name: str
    place: tuple[str, ...]
    read: Callable[[Request], Any]


def _answering(endpoint: Callable[..., Coroutine[Any, Any, Response]], *, path: set[str]) -> Answer:
    dependencies: list[_Dependency] = []
    parameters: list[_Parameter] = []
    for name, hint in get_type_hints(endpoint, include_extras=True).items():
        if name == "return":
            continue
        marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
        if hint is Request:
            dependencies.append(_Dependency(name, _itself, waits=False))
        elif dependency := next((mark.dependency for mark in marks if isinstance(mark, params.Depends)), None):
            inspect.signature(dependency).bind(object())
            dependencies.append(_Dependency(name, dependency, inspect.iscoroutinefunction(dependency)))
        elif name in path:
            parameters.append(_Parameter(name, ("path", name), _path_reader(name, TypeAdapter(hint))))
        elif any(isinstance(mark, params.Query) for mark in marks):
            parameters.append(_Parameter(name, ("query",), _query_reader(TypeAdapter(get_args(hint)[0]))))
        else:
            raise TypeError(f"{endpoint.__name__}: nothing tells where {name} comes from")

    async def answer(request: Request) -> Response:
        values: dict[str, Any] = {}
        for name, read, waits in dependencies:
            found = read(request)
            values[name] = await found if waits else found
        if parameters:
            _read_parameters(parameters, request, values)
        return await endpoint(**values)

    return answer


def _read_parameters(parameters: list[_Parameter], request: Request, values: dict[str, Any]) -> None:
    flaws: list[Any] = []
    for name, place, read in parameters:
        try:
            values[name] = read(request)
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)
            flaws += [{**flaw, "loc": (*place, *flaw["loc"])} for flaw in found]
    if flaws:
        raise validation_refusal(flaws)


def _itself(request: Request) -> Request:
    return request


def _path_reader(name: str, adapter: TypeAdapter[Any]) -> Callable[[Request], Any]:
    return lambda request: adapter.validate_python(request.path_params[name])


def _query_reader(adapter: TypeAdapter[Any]) -> Callable[[Request], Any]:
    # Of a parameter that is given twice the last counts, as FastAPI has it.
    return lambda request: adapter.validate_python(dict(request.query_params))
