"""Operations: the inputs of a signature, the order of their reading, and the routing of paths."""

from typing import Annotated, Any, NoReturn

import httpx
import pytest
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keywright.api.http.routing import (
    HeaderInput,
    Input,
    InputReader,
    PathInput,
    Query,
    Routes,
    Trust,
    UnknownScope,
    operation,
)
from keywright.app import create_app
from keywright.config import Settings
from tests.api.recording import OPERATIONS


class Noted(Input):
    """Gives its name, and writes down in the request that it was read."""

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        def read(request: Request) -> str:
            request.scope["state"].setdefault("read", []).append(name)
            return name

        return InputReader(read)


class Waiting(Noted):
    """Does the same as a coroutine."""

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        plain = super().reader(name, hint, trust)

        async def read(request: Request) -> Any:
            return plain.read(request)

        return InputReader(read)


class Limit(BaseModel):
    limit: int = Field(default=10, ge=1)


class Shelf:
    """Operations on two paths."""

    @operation("GET", "/books/{number}")
    async def get(
        self,
        number: Annotated[int, PathInput()],
        first: Annotated[str, Waiting()],
        query: Query[Limit],
        x_mark: Annotated[str | None, Field(max_length=3), HeaderInput()],
        second: Annotated[str, Noted()],
    ) -> Response:
        return JSONResponse([number, first, query.limit, x_mark, second])

    @operation("PUT", "/books/{number}")
    async def put(self, number: Annotated[int, PathInput()]) -> Response:
        return JSONResponse(number)

    @operation("POST", "/books")
    async def post(self) -> Response:
        raise KeyError("broken")


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright")


@pytest.fixture
def states() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def http(states: list[dict[str, Any]]) -> httpx.AsyncClient:
    trust: Any = None
    routes = Routes([Shelf()], trust)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"request_id": "one", "log": {}}
        states.append(scope["state"])
        await routes(scope, receive, send)

    return client_of(app)


async def test_a_signature_is_read_by_name(http: httpx.AsyncClient) -> None:
    """Every parameter gets its own value, whether its input is a coroutine, plain, or validated."""
    answer = await http.get("/books/7?limit=3&limit=4", headers={"X-Mark": "abc"})
    assert answer.json() == [7, "first", 4, "abc", "second"]
    assert (await http.get("/books/7")).json() == [7, "first", 10, None, "second"]


async def test_flaws_are_reported_together_after_all_else(
    http: httpx.AsyncClient, states: list[dict[str, Any]]
) -> None:
    """Flaws of path, query and headers are one refusal without a value, after all other inputs."""
    answer = await http.get("/books/x?limit=0", headers={"X-Mark": "secret"})
    assert answer.status_code == 422
    assert [flaw["loc"] for flaw in answer.json()["detail"]] == [
        *(["path", "number"], ["query", "limit"], ["header", "x-mark"])
    ]
    assert "secret" not in answer.text
    assert states[-1]["read"] == ["first", "second"]


async def test_methods_of_a_path(http: httpx.AsyncClient, states: list[dict[str, Any]]) -> None:
    """A method that a path does not know is a 405 with all that it knows; a slash at the end makes no other path."""
    answer = await http.delete("/books/7/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PUT")
    assert (await http.get("/books")).headers["allow"] == "POST"
    assert (await http.head("/books/7/")).status_code == 200
    assert states[-1]["route"] == "/books/{number}"
    assert (await http.get("/books/7//")).status_code == 404
    assert "route" not in states[-1]


async def test_the_unexpected_is_a_fixed_sentence(http: httpx.AsyncClient) -> None:
    """An unexpected error has an answer, too, which reveals nothing of the error."""
    answer = await http.post("/books")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "broken" not in answer.text


def test_a_parameter_without_an_input() -> None:
    """A signature with a parameter without an input fails when its module is imported."""
    with pytest.raises(TypeError, match=r"get: the annotation of more has no Input"):

        class _Wrong:
            @operation("GET", "/")
            async def get(self, more: int) -> Response:
                raise NotImplementedError


@pytest.mark.parametrize("kind", ["websocket", "webtransport", ""])
async def test_other_scopes(kind: str) -> None:
    """A scope that is neither HTTP nor a lifespan is refused by the whole application, and not passed on."""
    app = create_app(Settings(issuer="https://id.acme.example/", audience="urn:acme"))

    async def nothing(*_: object) -> NoReturn:
        raise AssertionError

    with pytest.raises(UnknownScope):
        await app({"type": kind, "path": "/api/v2/api-keys", "headers": []}, nothing, nothing)


async def test_every_operation_is_documented_and_recorded() -> None:
    """The operations of the document are those whose refusals of tokens were recorded, verifications apart."""
    app = create_app(Settings(issuer="https://id.acme.example/", audience="urn:acme"))
    document = (await client_of(app).get("/openapi.json")).json()
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    verifications = {(method, path) for method, path in documented if "/verify" in path}
    assert documented - verifications == {*OPERATIONS}
    assert len(verifications) == 2
