"""
Between records and rows, for both engines and in one place.

SQLite keeps an id as its 16 bytes and a time as microseconds since 1970 in UTC. PostgreSQL has types for both, but
takes them as text where a statement takes many at once: for each other type of array its driver would first question
the server, on every new connection.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from keywright.keys.pair import PublicKey
from keywright.keys.record import ApiKey, Secret
from keywright.service.events import Event
from keywright.service.ports import NewApiKey
from keywright.strict_json import has_lone_surrogate

Row = tuple[Any, ...]

API_KEY_COLUMNS = """
    k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at,
    s.public_key, s.brand, s.display, s.created_at, s.last_used_at
"""
"""What a query selects for `sqlite_api_key` and `postgres_api_key`: `k` is a key, `s` its current secret."""

ORGANIZATION_COLUMNS = ("id", "issuer", "external_id", "created_at")
KEY_COLUMNS = ("id", "org_id", "name", "description", "environment", "created_at", "created_by", "expires_at")
SECRET_COLUMNS = ("id", "key_id", "public_key", "secret_digest", "brand", "display", "created_at")
EVENT_COLUMNS = (
    *("id", "org_id", "key_id", "type", "occurred_at"),
    *("issuer", "subject", "client_id", "request_id", "address", "data"),
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Not escaped, so that half a surrogate pair is seen for what it is.
_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class NewRows(NamedTuple):
    """What one creation adds to each table, in the order of the columns above."""

    organization: Row
    key: Row
    secret: Row
    event: Row


def new_rows(new: NewApiKey) -> NewRows:
    """
    Give the rows of a creation, in Python's own types.

    Raises:
        ValueError: A text holds a NUL or half a surrogate pair. PostgreSQL cannot store them, so neither engine does.
    """
    organization, key, secret = new.organization, new.api_key, new.api_key.secret
    rows = NewRows(
        (organization.id, organization.issuer, organization.external_id, key.created_at),
        (
            *(key.id, key.org_id, key.name, key.description, key.environment),
            *(key.created_at, key.created_by, key.expires_at),
        ),
        (
            # The first secret of a key bears the key's own id.
            *(key.id, key.id, secret.public_key.value, new.secret_digest),
            *(secret.public_key.brand, secret.display, secret.created_at),
        ),
        event_row(new.event),
    )
    refuse_unstorable(rows.organization + rows.key + rows.secret)
    return rows


def event_row(event: Event) -> Row:
    """Give the row of an event, in Python's own types; raise `ValueError` as `new_rows` does."""
    refuse_unstorable(event.data.values())
    row = (
        *(event.id, event.org_id, event.key_id, event.type.value, event.occurred_at),
        *(event.issuer, event.subject, event.client_id, event.origin.request_id, event.origin.address),
        _write_json(event.data),
    )
    refuse_unstorable(row)
    return row


def for_sqlite(row: Row) -> Row:
    """Write the values of a row as SQLite keeps them."""
    return tuple([_sqlite_value(value) for value in row])


def as_text(row: Row) -> Row:
    """Write the values of a row as text that PostgreSQL reads back exactly."""
    return tuple([_text_value(value) for value in row])


def sqlite_api_key(row: Sequence[Any]) -> ApiKey:
    """Read a row of `API_KEY_COLUMNS` from SQLite."""
    return _api_key(row, sqlite_id, sqlite_time)


def postgres_api_key(row: Iterable[Any]) -> ApiKey:
    """Read a row of `API_KEY_COLUMNS` from PostgreSQL."""
    return _api_key(tuple(row), unchanged, unchanged)


def sqlite_id(value: bytes) -> UUID:
    """Read an id from SQLite."""
    return UUID(bytes=value)


def sqlite_time(value: int) -> datetime:
    """Read a time from SQLite."""
    return _EPOCH + timedelta(microseconds=value)


def unchanged(value: Any) -> Any:
    """Read what has the right type already."""
    return value


def refuse_unstorable(values: Iterable[Any]) -> None:
    """Raise `ValueError` when one of *values* is a text that PostgreSQL cannot store; neither engine is given it."""
    for value in values:
        if isinstance(value, str) and ("\0" in value or (not value.isascii() and has_lone_surrogate(value))):
            raise ValueError("a text holds a character that a database cannot store")


def _api_key(row: Sequence[Any], read_id: Callable[[Any], UUID], read_time: Callable[[Any], datetime]) -> ApiKey:
    key_id, org_id, name, description, environment, created_at, created_by, expires_at, revoked_at = row[:9]
    public_key, brand, display, secret_created_at, last_used_at = row[9:]
    return ApiKey(
        id=read_id(key_id),
        org_id=read_id(org_id),
        name=name,
        description=description,
        environment=environment,
        created_at=read_time(created_at),
        created_by=created_by,
        secret=Secret(
            public_key=PublicKey(public_key, brand, environment),
            display=display,
            created_at=read_time(secret_created_at),
            last_used_at=None if last_used_at is None else read_time(last_used_at),
        ),
        expires_at=None if expires_at is None else read_time(expires_at),
        revoked_at=None if revoked_at is None else read_time(revoked_at),
    )


def _sqlite_value(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    return value


def _text_value(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return rf"\x{value.hex()}"
    return value.isoformat() if isinstance(value, datetime) else str(value)
