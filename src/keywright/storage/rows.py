"""
Between records and rows, for both engines and in one place.

SQLite keeps an id as its 16 bytes and a time as microseconds since 1970 in UTC. PostgreSQL has types for both, but
takes them as text where a statement takes many at once: for each other type of array its driver would first question
the server, on every new connection.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from keywright.keys.pair import PublicKey
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import NewApiKey, Replay
from keywright.strict_json import has_lone_surrogate

Row = tuple[Any, ...]

_KEY_READ: Final = (
    *("id", "org_id", "name", "description", "environment", "created_at", "created_by", "expires_at", "revoked_at"),
    *("revocation_reason", "scopes", "allowed_ips", "rate_limits", "external_id", "metadata", "version"),
)
_SECRET_READ: Final = (
    *("public_key", "brand", "display", "created_at", "first_used_at", "last_used_at", "retires_at", "quiet_seconds"),
)
SECRET_READ: Final = ", ".join(f"s.{column}" for column in _SECRET_READ)
"""What a query selects for `secret`: `s` is one."""

API_KEY_COLUMNS: Final = ", ".join(
    f"{table}.{column}"
    for table, columns in (("k", _KEY_READ), ("s", _SECRET_READ), ("r", _SECRET_READ))
    for column in columns
)
"""
What a query selects for `sqlite_api_key` and `postgres_api_key`: `k` is a key, `s` its current secret, and `r` the one
that the last rotation replaced, which may be absent.
"""

LAST_REPLACED: Final = "retires_at IS NOT NULL ORDER BY retires_at DESC, id DESC LIMIT 1"
"""Which of a key's secrets that is. None is replaced while an earlier one still works, so they retire in turn."""

ORGANIZATION_COLUMNS = ("id", "issuer", "external_id", "created_at")
KEY_COLUMNS = (
    *("id", "org_id", "name", "description", "environment", "created_at", "created_by", "expires_at"),
    *("scopes", "allowed_ips", "rate_limits", "external_id", "metadata"),
)
SECRET_COLUMNS = ("id", "key_id", "public_key", "secret_digest", "brand", "display", "created_at")
EVENT_COLUMNS = (
    *("id", "org_id", "key_id", "type", "occurred_at"),
    *("issuer", "subject", "client_id", "request_id", "address", "data", "digest"),
)
REPLAY_COLUMNS = ("org_id", "request_digest", "fingerprint", "sealed", "created_at", "expires_at")
CHANGED_COLUMNS = (
    *("name", "description", "expires_at", "scopes", "allowed_ips", "rate_limits", "external_id", "metadata"),
)
"""What `Store.update` writes."""

MOST_SHARED = 4096
"""How many different lists of scopes, networks or limits are kept to be shared by those who have the same."""

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
    organization, key = new.organization, new.api_key
    rows = NewRows(
        (organization.id, organization.issuer, organization.external_id, key.created_at),
        (
            *(key.id, key.org_id, key.name, key.description, key.environment),
            *(key.created_at, key.created_by, key.expires_at, *_lists_of(key)),
        ),
        # The first secret of a key bears the key's own id.
        secret_row(key.id, key.id, key.secret, new.secret_digest),
        event_row(new.event),
    )
    refuse_unstorable(rows.organization + rows.key)
    return rows


def secret_row(secret_id: UUID, key_id: UUID, secret: Secret, digest: bytes) -> Row:
    """Give the row of a secret, in Python's own types; raise `ValueError` as `new_rows` does."""
    public = secret.public_key
    refuse_unstorable((public.brand, secret.display))
    return (secret_id, key_id, public.value, digest, public.brand, secret.display, secret.created_at)


def event_row(event: Event) -> Row:
    """Give the row of an event, in Python's own types; raise `ValueError` as `new_rows` does."""
    data, origin = _write_json(event.data), event.origin
    # As JSON writes it; but so it writes a backslash and these five, too.
    if "\\u0000" in data:
        refuse_unstorable(_texts_in(event.data))
    said = (event.issuer, event.subject, event.client_id, origin.request_id, origin.address, data)
    refuse_unstorable(said)
    return (event.id, event.org_id, event.key_id, event.type.value, event.occurred_at, *said, event.digest)


def replay_row(org_id: UUID, replay: Replay) -> Row:
    """Give the row of a replay, in Python's own types."""
    return (
        *(org_id, replay.request_digest, replay.fingerprint, replay.sealed),
        *(replay.created_at, replay.expires_at),
    )


def changed_row(key: ApiKey) -> Row:
    """Give what is written of a key that was changed, in Python's own types; raise `ValueError` as `new_rows` does."""
    row = (key.name, key.description, key.expires_at, *_lists_of(key))
    refuse_unstorable(row)
    return row


def for_sqlite(row: Sequence[Any]) -> Row:
    """Write the values of a row as SQLite keeps them."""
    return tuple([value if (write := _FOR_SQLITE.get(value.__class__)) is None else write(value) for value in row])


def as_text(row: Row) -> Row:
    """Write the values of a row as text that PostgreSQL reads back exactly."""
    return tuple([value if value is None or value.__class__ is str else _text_value(value) for value in row])


def sqlite_api_key(row: Sequence[Any]) -> ApiKey:
    """Read a row of `API_KEY_COLUMNS` from SQLite."""
    return _api_key(row, sqlite_id, sqlite_time)


def postgres_api_key(row: Iterable[Any]) -> ApiKey:
    """Read a row of `API_KEY_COLUMNS` from PostgreSQL."""
    return _api_key(tuple(row), unchanged, unchanged)


def secret(row: Sequence[Any], environment: str, read_time: Callable[[Any], datetime]) -> Secret:
    """Read a row of `SECRET_READ`; the environment is that of its key."""
    public_key, brand, display, created_at, first_used_at, last_used_at, retires_at, quiet_seconds = row
    return Secret(
        public_key=PublicKey(public_key, brand, environment),
        display=display,
        created_at=read_time(created_at),
        first_used_at=None if first_used_at is None else read_time(first_used_at),
        last_used_at=None if last_used_at is None else read_time(last_used_at),
        retires_at=None if retires_at is None else read_time(retires_at),
        quiet_seconds=quiet_seconds,
    )


def replay(row: Sequence[Any], read_time: Callable[[Any], datetime]) -> Replay:
    """Read a row of `REPLAY_COLUMNS` but the first."""
    request_digest, fingerprint, sealed, created_at, expires_at = row
    return Replay(
        request_digest=request_digest,
        fingerprint=fingerprint,
        sealed=sealed,
        created_at=read_time(created_at),
        expires_at=read_time(expires_at),
    )


@lru_cache(maxsize=MOST_SHARED)
def texts(written: str | None) -> tuple[str, ...]:
    """Read scopes or networks: one object for all who have the same, since a process may hold a million keys."""
    return () if written is None else tuple(map(sys.intern, json.loads(written)))


@lru_cache(maxsize=MOST_SHARED)
def rate_limits(written: str | None) -> tuple[RateLimit, ...]:
    """Read rate limits, shared as `texts` are."""
    return () if written is None else tuple(RateLimit(*limit) for limit in json.loads(written))


def sqlite_id(value: bytes) -> UUID:
    """Read an id from SQLite."""
    return UUID(bytes=value)


def sqlite_time(value: int) -> datetime:
    """Read a time from SQLite."""
    return _EPOCH + timedelta(microseconds=value)


def unchanged(value: Any) -> Any:
    """Read what has the right type already."""
    return value


def is_storable(values: Iterable[Any]) -> bool:
    """Tell whether none of *values* is a text that PostgreSQL cannot store; neither engine is given one."""
    for value in values:
        if isinstance(value, str) and ("\0" in value or (not value.isascii() and has_lone_surrogate(value))):
            return False
    return True


def refuse_unstorable(values: Iterable[Any]) -> None:
    """Raise `ValueError` when one of *values* cannot be stored."""
    if not is_storable(values):
        raise ValueError("a text holds a character that a database cannot store")


def _api_key(row: Sequence[Any], read_id: Callable[[Any], UUID], read_time: Callable[[Any], datetime]) -> ApiKey:
    key_id, org_id, name, description, environment, created_at, created_by, expires_at, revoked_at, *rest = row
    reason, scopes, allowed_ips, limits, external_id, metadata, version, *secrets = rest
    current, replaced = secrets[: len(_SECRET_READ)], secrets[len(_SECRET_READ) :]
    return ApiKey(
        id=read_id(key_id),
        org_id=read_id(org_id),
        name=name,
        description=description,
        environment=environment,
        created_at=read_time(created_at),
        created_by=created_by,
        secret=secret(current, environment, read_time),
        retiring=None if replaced[0] is None else secret(replaced, environment, read_time),
        expires_at=None if expires_at is None else read_time(expires_at),
        revoked_at=None if revoked_at is None else read_time(revoked_at),
        revocation_reason=None if revoked_at is None else RevocationReason(reason or RevocationReason.UNSPECIFIED),
        scopes=texts(scopes),
        allowed_ips=texts(allowed_ips),
        rate_limits=rate_limits(limits),
        external_id=external_id,
        metadata={} if metadata is None else json.loads(metadata),
        version=version,
    )


def _lists_of(key: ApiKey) -> Row:
    """Give the last five of `KEY_COLUMNS` and `CHANGED_COLUMNS`; what is empty is absent."""
    return (
        _write_json(key.scopes) if key.scopes else None,
        _write_json(key.allowed_ips) if key.allowed_ips else None,
        _write_json(key.rate_limits) if key.rate_limits else None,
        key.external_id,
        _write_json(key.metadata) if key.metadata else None,
    )


def _texts_in(value: Any) -> Iterator[str]:
    """Find every text in a JSON value, names among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)


# A time is that of several rows: a key, its secret and its event are made at once.
@lru_cache(maxsize=MOST_SHARED)
def _microseconds(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND


_FOR_SQLITE: dict[type, Callable[[Any], Any]] = {UUID: attrgetter("bytes"), datetime: _microseconds}


def _text_value(value: Any) -> str:
    if isinstance(value, UUID):
        # A third of the time that the dashes take; the server does without them.
        return value.hex
    if isinstance(value, datetime):
        return _moment(value)
    return rf"\x{value.hex()}" if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=MOST_SHARED)
def _moment(value: datetime) -> str:
    return value.isoformat()
