"""The statements that read the trail, its chain and what is due, and their rows: the same for both engines."""

import json
from collections.abc import Sequence
from typing import Any, Final

from keywright.keys.pair import PublicKey
from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.ports import Due, Link
from keywright.storage import rows
from keywright.storage.checking_rows import Engine

EVENT_READ: Final = ", ".join(f"e.{column}" for column in rows.EVENT_COLUMNS)
"""What a query selects of an event, `e`; absent all together where a place in the chain has none."""

KNOWN_TYPES: Final = ", ".join(f"'{type_}'" for type_ in EventType)

# Places are written as PostgreSQL numbers them; SQLite's numbers have another mark.
ORGANIZATIONS: Final = """
    SELECT org_id FROM events UNION SELECT org_id FROM event_chain UNION SELECT org_id FROM event_chain_heads
    ORDER BY org_id
"""

LINKS: Final = f"""
    SELECT c.position, c.hash, {EVENT_READ} FROM event_chain c LEFT JOIN events e ON e.id = c.event_id
    WHERE c.org_id = $1 AND c.position > $2 ORDER BY c.position LIMIT $3
"""  # noqa: S608 - here and below: names of our own
"""Values: organisation, position, the most rows to give."""

CHAIN_END: Final = "SELECT position, hash FROM event_chain_heads WHERE org_id = $1"

LOOSE: Final = """
    SELECT e.id FROM events e
    WHERE e.org_id = $1 AND e.digest IS NOT NULL AND NOT EXISTS (SELECT 1 FROM event_chain c WHERE c.event_id = e.id)
    ORDER BY e.id LIMIT 100
"""

REPLAY: Final = f"""
    SELECT {", ".join(rows.REPLAY_COLUMNS[1:])} FROM replays
    WHERE org_id = $1 AND request_digest = $2 AND expires_at > $3
"""  # noqa: S608
"""Values: organisation, request, when."""

EXPIRING: Final = """
    SELECT k.org_id, k.id, k.version, k.expires_at FROM api_keys k
    WHERE k.expires_at > $1 AND k.expires_at <= $2 AND k.revoked_at IS NULL AND k.deleted_at IS NULL
        AND (k.noticed_days IS NULL OR k.noticed_days > $3)
    ORDER BY k.expires_at LIMIT $4
"""
"""Values: now, until when, days, the most rows to give."""


def quiet(before: str) -> str:
    """
    Find keys whose replaced secret has been quiet for long enough.

    Args:
        before: How the engine says when `o.quiet_seconds` and $2 seconds before $1 was.

    Returns:
        A statement. Values: now, lag, the most rows to give.
    """
    return f"""
        SELECT k.org_id, k.id, k.version, o.public_key, o.brand, k.environment
        FROM api_key_secrets o JOIN api_keys k ON k.id = o.key_id
        JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
        WHERE o.quiet_seconds IS NOT NULL AND o.retires_at > $1 AND k.deleted_at IS NULL AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > $1)
            AND s.first_used_at < {before} AND (o.last_used_at IS NULL OR o.last_used_at < {before})
        ORDER BY o.retires_at LIMIT $3
    """  # noqa: S608


def event(engine: Engine, row: Sequence[Any]) -> Event:
    """
    Read a row of `EVENT_READ`.

    Raises:
        ValueError: It is none that this version knows.
    """
    id_, org_id, key_id, type_, occurred_at, issuer, subject, client_id, request_id, address, data, _ = row
    return Event(
        id=engine.id(id_),
        type=EventType(type_),
        org_id=engine.id(org_id),
        key_id=engine.id(key_id),
        occurred_at=engine.time(occurred_at),
        issuer=issuer,
        subject=subject,
        client_id=client_id,
        origin=Origin(request_id=request_id, address=address),
        data=json.loads(data),
    )


def link(engine: Engine, row: Sequence[Any]) -> Link:
    """Read a place in the chain, its hash, and a row of `EVENT_READ` whatever somebody made of it."""
    position, hash_, *told = row
    try:
        read = None if told[0] is None else event(engine, told)
    except (ValueError, OverflowError):
        read = None
    return Link(position=position, hash=hash_, digest=told[-1], event=read)


def event_and_place(engine: Engine, row: Sequence[Any]) -> tuple[Event, Link | None]:
    """Read a place in the chain and its hash, both absent for an event without one, and a row of `EVENT_READ`."""
    position, hash_, *told = row
    read = event(engine, told)
    if position is None:
        return read, None
    return read, Link(position=position, hash=hash_, digest=told[-1], event=read)


def expiring(engine: Engine, row: Sequence[Any]) -> Due:
    """Read a row of `EXPIRING`."""
    org_id, key_id, version, expires_at = row
    return Due(org_id=engine.id(org_id), key_id=engine.id(key_id), version=version, expires_at=engine.time(expires_at))


def quieted(engine: Engine, row: Sequence[Any]) -> Due:
    """Read a row of `quiet`."""
    org_id, key_id, version, public_key, brand, environment = row
    return Due(
        org_id=engine.id(org_id),
        key_id=engine.id(key_id),
        version=version,
        public_key=PublicKey(public_key, brand, environment).text,
    )
