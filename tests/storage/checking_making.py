"""Makes what tests of checking store, and reaches behind the store's back for what it cannot do yet."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.change_feed import Change, ChangeFeed
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.management.ports import NewApiKey
from keywright.service.verifier_sessions import Session
from keywright.service.verifiers import Verifier
from tests.storage.making import NOON, Database, new_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = NOON.replace(minute=0, second=0, microsecond=0)
TODAY = HOUR.replace(hour=0)


def a_verifier(name: str = "billing-api", **changes: Any) -> tuple[Verifier, bytes]:
    """Give a new verifier, and its credential's digest."""
    id_ = new_id()
    fields: dict[str, Any] = {"id": id_, "name": name, "display": "kw_vk_...abcd", "created_at": NOON}
    return Verifier(**{**fields, **changes}), sha256(id_.bytes).digest()


def a_session(**changes: Any) -> Session:
    """Give a new session, of a process of ours."""
    fields: dict[str, Any] = {"id": new_id(), "verifier_id": None, "name": "host:4711", "outage_seconds": 300}
    return Session(**{**fields, **changes})


def was(session: Session, database: Database, **times: datetime) -> None:
    """Have a session that is stored look as if it had been connected, seen or closed at other times."""
    set_ = ", ".join(f"{name} = {literal(database, at)}" for name, at in times.items())
    database.query(f"UPDATE verifier_sessions SET {set_} WHERE id = {literal(database, session.id)}")


def confirmed_at(session_id: UUID, at: datetime, database: Database) -> None:
    """Have a session's confirmations look as if they had come at another time."""
    where = f"session_id = {literal(database, session_id)}"
    # By the name before, which is a table on SQLite and a view on PostgreSQL, and can be updated on both.
    database.query(f"UPDATE confirmations SET confirmed_at = {literal(database, at)} WHERE {where}")


def written_at(at: datetime, database: Database) -> None:
    """Have every change look as if it had been written at another time."""
    database.query(f"UPDATE changes SET noted_at = {literal(database, at)}")


async def read_changes(feed: ChangeFeed) -> Sequence[Change]:
    """Read, and give the changes alone."""
    return (await feed.read()).changes


def an_hourly_usage(made: NewApiKey, **changes: Any) -> HourlyUsage:
    """Give one use of a key a minute after noon."""
    at = HOUR + timedelta(minutes=1)
    fields: dict[str, Any] = {
        "key_id": made.api_key.id.bytes,
        "digest": made.secret_digest,
        "hour": HOUR,
        "network": "192.0.2.0/24",
        "agent": "python-httpx",
        "verifier": "billing-api",
        "first_seen": at,
        "last_seen": at,
        "count": 1,
    }
    return HourlyUsage(**{**fields, **changes})


def a_batch() -> UsageBatch:
    """Give the first batch of a reporter that has written none before."""
    return UsageBatch(new_id(), 1)


def add_event(key: ApiKey, type_: str, database: Database) -> str:
    """Give the statement by which another version of the service notes that something happened to a key."""
    values = (new_id(), key.org_id, key.id, type_, NOON, "https://x.example/", "auth0|eve", "req-9", "{}", bytes(32))
    literals = ", ".join(literal(database, value) for value in values)
    columns = "id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data, digest"
    return f"INSERT INTO events ({columns}) VALUES ({literals})"


def literal(database: Database, value: UUID | bytes | datetime | str) -> str:
    """Write a value as the engine's SQL does."""
    if isinstance(value, UUID):
        return f"x'{value.hex}'" if database.is_sqlite else f"'{value}'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'" if database.is_sqlite else f"'\\x{value.hex()}'"
    if isinstance(value, datetime):
        microseconds = (value - EPOCH) // timedelta(microseconds=1)
        return str(microseconds) if database.is_sqlite else f"'{value.isoformat()}'"
    return f"'{value}'"
