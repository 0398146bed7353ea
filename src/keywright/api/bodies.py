"""Request bodies: read with a bound, as strict JSON, and only after the token was found good."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from keywright import strict_json
from keywright.api.problems import Refusal
from keywright.contract.errors import FieldError
from keywright.strict_json import NotStrict

MAX_BODY_BYTES = 16 * 1024
# Longer than any name of ours, shorter than any private key: one that was pasted in the wrong place is not told back.
_MAX_SHOWN_NAME = 40

# What pydantic says in the words of Python, said in those of JSON.
_WORDS = {
    "model_type": "Input should be an object",
    "dict_type": "Input should be an object",
    "list_type": "Input should be an array",
}

Model = TypeVar("Model", bound=BaseModel)


class Said(NamedTuple, Generic[Model]):
    """A body: what it means, and the JSON object that it was."""

    body: Model
    value: dict[str, Any]


def json_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Give the dependency that reads *model* from a request's body. It stands behind the principal in a signature."""

    async def read(request: Request) -> Model:
        return as_model(model, await read_json_bytes(request))

    return read


def said_body(model: type[Model], *, optional: bool = False) -> Callable[[Request], Awaitable[Said[Model]]]:
    """Give the same with the JSON beside it; where *optional*, no body at all is an empty object."""

    async def read(request: Request) -> Said[Model]:
        raw = await (_read_optional(request) if optional else read_json_bytes(request))
        value = _as_object(raw)
        return Said(_as_model(model, value), value)

    return read


async def read_json_bytes(request: Request, *, most: int = MAX_BODY_BYTES) -> bytes:
    """Read a body that says it is JSON, of at most *most* bytes; nothing is said of its content."""
    _require_json(request)
    return await _read_bounded(request, most)


def as_model(model: type[Model], raw: bytes) -> Model:
    """Read strict JSON and hold it to *model*; raises `Refusal` for any flaw."""
    return _as_model(model, _as_object(raw))


def _as_object(raw: bytes) -> dict[str, Any]:
    try:
        return strict_json.read_object(raw)
    except NotStrict as flaw:
        raise Refusal("invalid_json", f"The body is not a strict JSON object: {flaw}.") from None


def _as_model(model: type[Model], value: dict[str, Any]) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise validation_refusal(error.errors(include_input=False, include_url=False), "body") from None


def validation_refusal(errors: Any, *where: str) -> Refusal:
    """Turn pydantic's errors into a refusal; *where* goes before each location."""
    return Refusal(
        "validation_failed",
        errors=[
            FieldError((*where, *map(_shown, error["loc"])), _WORDS.get(error["type"], error["msg"]), error["type"])
            for error in errors
        ],
    )


def _shown(part: str | int) -> str | int:
    # The name of an unknown field is the caller's own text. It is told, because it is what a mistyped name needs, but
    # only when it looks like a name.
    if isinstance(part, int) or (len(part) <= _MAX_SHOWN_NAME and part.isascii() and part.isidentifier()):
        return part
    return "?"


async def _read_optional(request: Request) -> bytes:
    """Read a body that may be left out; only one that is there has to say that it is JSON."""
    raw = await _read_bounded(request, MAX_BODY_BYTES)
    if raw:
        _require_json(request)
    return raw or b"{}"


def _require_json(request: Request) -> None:
    # What nearly everybody says.
    if request.headers.get("content-type") == "application/json" and "content-encoding" not in request.headers:
        return
    media_type, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charsets = [value.strip('"') for name, _, value in (p.partition("=") for p in parameters) if name == "charset"]
    if media_type != "application/json" or any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise Refusal("unsupported_media_type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal("unsupported_media_type", "The body must not be compressed.")


async def _read_bounded(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared[:20]) > most:
        raise _too_large()
    body = bytearray()
    is_whole = False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            # Nobody is left to read the answer; the log line is what it is for.
            raise Refusal("invalid_request", "The client left before its request was whole.")
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large()
        is_whole = not message.get("more_body", False)
    return bytes(body)


def _too_large() -> Refusal:
    # The connection is closed, or the rest of the body would have to be read to find the next request.
    return Refusal("payload_too_large", headers={"Connection": "close"})
