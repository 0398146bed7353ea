"""
Every operation of the management API as a value: what to send, what to expect, and how to read it. No I/O.

`management` carries calls out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx

from keywright.client.answers import read_created, read_events, read_key, read_page, reader
from keywright.client.bodies import body_of, moment
from keywright.client.errors import KeywrightError
from keywright.client.records import ApiKey, CreatedApiKey, Page
from keywright.client.trail import EventPage, KeyOptions, Receipt, Usage

KEYS = "/api/v2/api-keys"
EVENTS = "/api/v2/api-key-events"
OPTIONS = "/api/v2/api-key-options"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Result]):
    """
    One request: its method, path and content, the status of the wished-for answer, and how that is read.

    `repeatable` requests are sent with an idempotency key, and again with the same one when the answer was lost.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], Result]
    expect: int = httpx.codes.OK
    body: bytes | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False


def create(fields: Mapping[str, Any]) -> Call[CreatedApiKey]:
    """Create a key."""
    return Call(
        method="POST", path=KEYS, read=read_created, expect=httpx.codes.CREATED, body=body_of(fields), repeatable=True
    )


def list_page(parameters: Mapping[str, Any]) -> Call[Page]:
    """Read a page of keys."""
    return Call(method="GET", path=KEYS, read=read_page, parameters=_given(parameters))


def get(key_id: UUID | str) -> Call[ApiKey]:
    """Read one key."""
    return Call(method="GET", path=_path(key_id), read=read_key)


def update(key_id: UUID | str, changes: Mapping[str, Any], if_match: str | None) -> Call[ApiKey]:
    """Change fields of a key."""
    return Call(method="PATCH", path=_path(key_id), read=read_key, body=body_of(changes), headers=_condition(if_match))


def rotate(key_id: UUID | str, fields: Mapping[str, Any], if_match: str | None) -> Call[CreatedApiKey]:
    """Give a key a new pair."""
    return Call(
        method="POST",
        path=_path(key_id, "/rotate"),
        read=read_created,
        body=body_of(_there(fields)),
        headers=_condition(if_match),
        repeatable=True,
    )


def set_overlap(key_id: UUID | str, seconds: int) -> Call[ApiKey]:
    """Give the pair that is being rotated out another end."""
    return Call(
        method="PUT", path=_path(key_id, "/rotation"), read=read_key, body=body_of({"overlap_seconds": seconds})
    )


def revoke(key_id: UUID | str, reason: str | None) -> Call[ApiKey]:
    """Revoke a key."""
    body = None if reason is None else body_of({"reason": reason})
    return Call(method="PUT", path=_path(key_id, "/revoke"), read=read_key, body=body)


def delete(key_id: UUID | str) -> Call[None]:
    """Delete a key."""
    return Call(method="DELETE", path=_path(key_id), read=_nothing, expect=httpx.codes.NO_CONTENT)


def events(parameters: Mapping[str, Any]) -> Call[EventPage]:
    """Read a page of the organisation's trail."""
    return Call(method="GET", path=EVENTS, read=read_events, parameters=_given(parameters))


def key_events(key_id: UUID | str, parameters: Mapping[str, Any]) -> Call[EventPage]:
    """Read a page of one key's trail."""
    return Call(method="GET", path=_path(key_id, "/events"), read=read_events, parameters=_given(parameters))


def usage(key_id: UUID | str, parameters: Mapping[str, Any]) -> Call[Usage]:
    """Read how a key was used."""
    return Call(method="GET", path=_path(key_id, "/usage"), read=reader(Usage.read), parameters=_given(parameters))


def receipt(key_id: UUID | str) -> Call[Receipt]:
    """Read how far a revocation has come."""
    return Call(method="GET", path=_path(key_id, "/revocation"), read=reader(Receipt.read))


def options() -> Call[KeyOptions]:
    """Read what a new key may be."""
    return Call(method="GET", path=OPTIONS, read=reader(KeyOptions.read))


def _path(key_id: UUID | str, rest: str = "") -> str:
    return f"{KEYS}/{_uuid(key_id)}{rest}"


def _uuid(key_id: UUID | str) -> UUID:
    """Read an id; one that is no UUID must not reach another route."""
    try:
        return key_id if isinstance(key_id, UUID) else UUID(key_id)
    except ValueError:
        raise KeywrightError("The id must be a UUID: 8-4-4-4-12 hexadecimal digits.") from None


def _condition(if_match: str | None) -> dict[str, str]:
    if if_match is None:
        return {}
    if not if_match.isascii() or not if_match.isprintable():
        raise KeywrightError("if_match must be the etag of a key, or *.")
    return {"If-Match": if_match}


def _given(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in _there(parameters).items()}


def _there(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _text(value: Any) -> str:
    try:
        text = moment(value) if isinstance(value, datetime) else str(value)
        text.encode()
    except ValueError:
        raise KeywrightError("A filter is no text that UTF-8 can carry, or a time without a zone.") from None
    return text


def _nothing(_response: httpx.Response) -> None:
    return None
