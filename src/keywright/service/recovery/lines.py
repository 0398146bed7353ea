"""
Heads and events of the audit log as lines of JSON (NDJSON), written and read.

A reader accepts members that it does not know, so that a later version may add some.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NamedTuple, NoReturn, TypeVar
from uuid import UUID

import msgspec

from keywright.service.management.audit import Head
from keywright.service.management.audit_log import Event, EventType, Origin, rfc3339
from keywright.service.management.ports import Link

LONGEST_LINE: Final = 1024 * 1024
"""Bytes; more than the longest event takes."""

_Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Position = Annotated[int, msgspec.Meta(ge=1, lt=10**18)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Line = TypeVar("_Line")


class BadLine(ValueError):
    """A line cannot be used; the message has the reason, and quotes nothing of the line."""


class KeptHead(NamedTuple):
    """The end of the chain of one organization, as it was at the moment `at`."""

    org_id: UUID
    head: Head
    at: datetime


class KeptEvent(NamedTuple):
    """
    A position of the chain of one organization that was kept elsewhere.

    `link.event` is None where it was gone then, or this version does not know its type.
    """

    org_id: UUID
    link: Link


class _HeadLine(msgspec.Struct):
    org_id: UUID
    position: _Position
    hash: _Hex
    at: _Moment


class _EventLine(msgspec.Struct):
    id: UUID
    type: str
    key_id: UUID
    occurred_at: _Moment
    issuer: str
    subject: str
    client_id: str | None
    request_id: str
    address: str | None
    data: dict[str, Any]


class _LogLine(msgspec.Struct):
    org_id: UUID
    position: _Position
    hash: _Hex
    digest: _Hex | None
    event: _EventLine | None
    erased_by: UUID | None = None


def head_fields(kept: KeptHead) -> dict[str, Any]:
    """Give the members of the line of a head."""
    head = kept.head
    return {
        "org_id": str(kept.org_id),
        "position": head.position,
        "hash": head.hash.hex(),
        "at": rfc3339(kept.at),
    }


def event_fields(kept: KeptEvent) -> dict[str, Any]:
    """Give the members of the line of an event, with all that its digest is over."""
    link = kept.link
    return {
        "org_id": str(kept.org_id),
        "position": link.position,
        "hash": link.hash.hex(),
        "digest": None if link.digest is None else link.digest.hex(),
        "erased_by": None if link.erased_by is None else str(link.erased_by),
        "event": None if link.event is None else _event_fields(link.event),
    }


def _event_fields(event: Event) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "type": event.type.value,
        "key_id": str(event.key_id),
        "occurred_at": rfc3339(event.occurred_at),
        "issuer": event.issuer,
        "subject": event.subject,
        "client_id": event.client_id,
        "request_id": event.origin.request_id,
        "address": event.origin.address,
        "data": event.data,
    }


def read_head(line: bytes) -> KeptHead:
    """
    Read the line of a head.

    Raises:
        BadLine: It is none.
    """
    read = _read(line, _HeadLine)
    return KeptHead(read.org_id, Head(read.position, bytes.fromhex(read.hash)), read.at)


def read_event(line: bytes) -> KeptEvent:
    """
    Read the line of an event, and compare the event with its digest; one that was erased since cannot be compared.

    Raises:
        BadLine: It is none, or the event was altered.
    """
    read = _read(line, _LogLine)
    event = None if read.event is None else _event(read.org_id, read.event)
    digest = None if read.digest is None else bytes.fromhex(read.digest)
    if event is not None and read.erased_by is None and event.digest != digest:
        raise BadLine("the event does not fit its digest")
    link = Link(
        position=read.position,
        hash=bytes.fromhex(read.hash),
        digest=digest,
        event=event,
        erased_by=read.erased_by,
    )
    return KeptEvent(read.org_id, link)


def _event(org_id: UUID, read: _EventLine) -> Event | None:
    try:
        type_ = EventType(read.type)
    except ValueError:
        return None
    return Event(
        id=read.id,
        type=type_,
        org_id=org_id,
        key_id=read.key_id,
        occurred_at=read.occurred_at.astimezone(UTC),
        issuer=read.issuer,
        subject=read.subject,
        client_id=read.client_id,
        origin=Origin(request_id=read.request_id, address=read.address),
        data=read.data,
    )


def _read(line: bytes, kind: type[_Line]) -> _Line:
    if len(line) > LONGEST_LINE:
        raise BadLine("it is longer than 1 MiB")
    return _converted(_object(line), kind)


def _object(line: bytes) -> Mapping[str, Any]:
    # Not strict_json: the metadata of a key may be as deep as that allows, and an event has it some levels down.
    try:
        found = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadLine("it is not JSON") from None
    if not isinstance(found, dict):
        raise BadLine("it is not a JSON object")
    return found


def _refuse(_name: str) -> NoReturn:
    raise ValueError


def _converted(found: Mapping[str, Any], kind: type[_Line]) -> _Line:
    try:
        return msgspec.convert(found, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise BadLine(f"{error}") from None
