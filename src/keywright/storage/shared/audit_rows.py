"""Reads the rows of the audit log, its chain, what is sealed, and due tasks, for both engines."""

import json
from typing import Any, Final

from keywright.keys.pair import PublicKey
from keywright.service.console_sessions import StoredSession
from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.audit_ports import Checkpoint
from keywright.service.management.ports import Link, SealedAnswer
from keywright.service.management.task_ports import Due
from keywright.storage.shared.readers import Decoding
from keywright.storage.shared.rows import EventRow

EVENT_COLUMNS: Final = ", ".join(f"e.{column}" for column in EventRow._fields)
"""What a query selects of an event, `e`; all of it is NULL where a place in the chain has no event."""

LINK_COLUMNS: Final = f"c.position, c.hash, e.erased_by, {EVENT_COLUMNS}"
"""What a query selects for `link` and `event_and_link`: `c` is a place in the chain."""

KNOWN_TYPES: Final = ", ".join(f"'{type_}'" for type_ in EventType)


def event(decoding: Decoding, row: EventRow) -> Event:
    """
    Read an event.

    Raises:
        ValueError: This version knows no such event.
    """
    return Event(
        id=decoding.id(row.id),
        type=EventType(row.type),
        org_id=decoding.id(row.org_id),
        key_id=decoding.id(row.key_id),
        occurred_at=decoding.time(row.occurred_at),
        issuer=row.issuer,
        subject=row.subject,
        client_id=row.client_id,
        origin=Origin(request_id=row.request_id, address=row.address),
        data=json.loads(row.data),
    )


def link(decoding: Decoding, position: int, hash_: bytes, erased_by: Any, *columns: Any) -> Link:
    """Read a row of `LINK_COLUMNS`, even where the event was altered."""
    row = EventRow(*columns)
    try:
        read = None if row.id is None else event(decoding, row)
    except (ValueError, OverflowError):
        read = None
    return _link(decoding, position, hash_, erased_by, row.digest, read)


def event_and_link(
    decoding: Decoding, position: int | None, hash_: bytes, erased_by: Any, *columns: Any
) -> tuple[Event, Link | None]:
    """Read a row of `LINK_COLUMNS`; the position is None for an event without a place."""
    row = EventRow(*columns)
    read = event(decoding, row)
    if position is None:
        return read, None
    return read, _link(decoding, position, hash_, erased_by, row.digest, read)


def _link(
    decoding: Decoding, position: int, hash_: bytes, erased_by: Any, digest: bytes | None, read: Event | None
) -> Link:
    erasure = None if erased_by is None else decoding.id(erased_by)
    return Link(position=position, hash=hash_, digest=digest, event=read, erased_by=erasure)


def checkpoint(
    decoding: Decoding, position: int, hash_: bytes, removed: int, undigested: int, moved_at: Any
) -> Checkpoint:
    """Read a checkpoint."""
    return Checkpoint(
        position=position, hash=hash_, removed=removed, undigested=undigested, moved_at=decoding.time(moved_at)
    )


def answer(
    decoding: Decoding, request_digest: bytes, fingerprint: bytes, sealed: bytes, created_at: Any, expires_at: Any
) -> SealedAnswer:
    """Read a sealed answer."""
    return SealedAnswer(
        request_digest=request_digest,
        fingerprint=fingerprint,
        sealed=sealed,
        created_at=decoding.time(created_at),
        expires_at=decoding.time(expires_at),
    )


def console_session(
    decoding: Decoding, digest: bytes, subject: bytes, sealed: bytes, created_at: Any, used_at: Any, expires_at: Any
) -> StoredSession:
    """Read a session of the console."""
    return StoredSession(
        digest=digest,
        subject=subject,
        sealed=sealed,
        created_at=decoding.time(created_at),
        used_at=decoding.time(used_at),
        expires_at=decoding.time(expires_at),
    )


def expiring(decoding: Decoding, org_id: Any, key_id: Any, version: int, expires_at: Any) -> Due:
    """Read a key that expires soon."""
    return Due(
        org_id=decoding.id(org_id), key_id=decoding.id(key_id), version=version, expires_at=decoding.time(expires_at)
    )


def idle(
    decoding: Decoding, org_id: Any, key_id: Any, version: int, public_key: bytes, brand: str, environment: str
) -> Due:
    """Read a key whose replaced secret was idle for long enough."""
    return Due(
        org_id=decoding.id(org_id),
        key_id=decoding.id(key_id),
        version=version,
        public_key=PublicKey(public_key, brand, environment).text,
    )
