"""Request bodies: read with a bound, as strict JSON, and only after the token was verified."""

from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import Message

from keywright import strict_json
from keywright.api.http.problems import Refusal, validation_refusal
from keywright.api.http.routing import Input, InputReader, Trust, first_header
from keywright.strict_json import NotStrict

MAX_BODY_BYTES = 16 * 1024

Model = TypeVar("Model", bound=BaseModel)


class ParsedBody(NamedTuple, Generic[Model]):
    """A validated body, and the JSON object that it was read from."""

    model: Model
    json: dict[str, Any]


class BodyInput(Input):
    """
    A strict JSON object that a model validates. One refusal lists all flaws of its fields.

    Args:
        required: Whether there must be a body; if not, an absent one is an empty object.
        most: The most bytes it may have.
    """

    codes = ("invalid_json", "payload_too_large", "unsupported_media_type", "validation_failed")

    def __init__(self, *, required: bool = True, most: int = MAX_BODY_BYTES) -> None:
        self.required = required
        self._most = most

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        model = body_model_of(hint)

        async def read(request: Request) -> ParsedBody[Any]:
            raw = await (read_json_bytes(request, most=self._most) if self.required else _read_optional(request))
            value = _as_object(raw)
            return ParsedBody(_as_model(model, value), value)

        return InputReader(read)


Body = Annotated[ParsedBody[Model], BodyInput()]
"""The body of a request: `new: Body[CreateApiKeyRequestV2]`. It stands behind the principal in a signature."""
OptionalBody = Annotated[ParsedBody[Model], BodyInput(required=False)]
"""A body that may be absent; every field of its model has a default."""


def body_model_of(hint: Any) -> Any:
    """Give the model of a `Body`."""
    return get_args(get_args(hint)[0])[0]


async def read_json_bytes(request: Request, *, most: int = MAX_BODY_BYTES) -> bytes:
    """Read a body of content type JSON with at most *most* bytes; its content is not checked."""
    _require_json(request)
    return await _read_bounded(request, most)


def as_model(model: type[Model], raw: bytes) -> Model:
    """Read strict JSON and validate it as *model*; raise `Refusal` for any flaw."""
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
        raise validation_refusal(error, "body") from None


async def _read_optional(request: Request) -> bytes:
    """Read a body that may be absent; only a present one needs the content type of JSON."""
    raw = await _read_bounded(request, MAX_BODY_BYTES)
    if raw:
        _require_json(request)
    return raw or b"{}"


def _require_json(request: Request) -> None:
    # The usual header needs no parsing.
    content_type, encoding = first_header(request, b"content-type"), first_header(request, b"content-encoding")
    if content_type == "application/json" and encoding is None:
        return
    media_type, *parameters = (part.strip().lower() for part in (content_type or "").split(";"))
    charsets = [value.strip('"') for name, _, value in (p.partition("=") for p in parameters) if name == "charset"]
    if media_type != "application/json" or any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise Refusal("unsupported_media_type")
    if encoding is not None and encoding.lower() != "identity":
        raise Refusal("unsupported_media_type", "The body must not be compressed.")


async def _read_bounded(request: Request, most: int) -> bytes:
    declared = first_header(request, b"content-length")
    if declared is not None and (not declared.isdecimal() or int(declared[:20]) > most):
        raise _too_large()
    message = await request.receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False) and len(body) <= most:
        return body
    return await _read_in_pieces(request, message, most)


async def _read_in_pieces(request: Request, message: Message, most: int) -> bytes:
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            # No client reads this answer; it is for the log line.
            raise Refusal("invalid_request", "The client left before its request was whole.")
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)
        message = await request.receive()


def _too_large() -> Refusal:
    # Without closing, the rest of the body would have to be read to find the next request.
    return Refusal("payload_too_large", headers={"Connection": "close"})
