"""
The rows that changes of keys write, for both engines: organizations, keys, secrets, events, idempotent answers.

A row is a named tuple whose fields are the columns, in the order in which statements name them. `readers` has the rows
that are read.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from keywright.keys.record import ApiKey, Secret
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import NewApiKey, SealedAnswer
from keywright.strict_json import has_lone_surrogate

Row = tuple[Any, ...]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_TIMES = 4096

# Not escaped, so that half a surrogate pair is seen for what it is.
_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _same(value: Any) -> Any:
    return value


# A time is that of several rows: a key, its secret and its event are made at once.
_remembered = lru_cache(maxsize=_MOST_TIMES)


def _microseconds(value: datetime) -> int:
    return (value - EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Encoding:
    """
    Writes values that are not texts as an engine takes them; unchanged where no function is given.

    `id_bytes` takes an id as its 16 bytes. `moment` is for a time that no other row has: `time` remembers times.
    """

    id: Callable[[UUID], Any] = _same
    id_bytes: Callable[[bytes], Any] = _same
    time: Callable[[datetime], Any] = _same
    moment: Callable[[datetime], Any] = _same
    bytes: Callable[[bytes], Any] = _same
    number: Callable[[int], Any] = _same


SQLITE: Final = Encoding(id=attrgetter("bytes"), time=_remembered(_microseconds), moment=_microseconds)
"""An id is its 16 bytes, a time the microseconds since 1970 in UTC."""

POSTGRES: Final = Encoding()
"""The driver has types for everything."""

POSTGRES_TEXTS: Final = Encoding(
    # A third of the time that the dashes take; the server does without them.
    id=attrgetter("hex"),
    id_bytes=bytes.hex,
    time=_remembered(datetime.isoformat),
    moment=datetime.isoformat,
    bytes=lambda value: rf"\x{value.hex()}",
    number=str,
)
"""For arrays of texts: for an array of another type the driver questions the server, on every new connection."""


def for_sqlite(values: Sequence[Any]) -> Row:
    """Write values of any of these types as SQLite keeps them."""
    return tuple([_SQLITE_BY_TYPE.get(value.__class__, _same)(value) for value in values])


_SQLITE_BY_TYPE: Final[dict[type, Callable[[Any], Any]]] = {UUID: SQLITE.id, datetime: SQLITE.time}


class OrganizationRow(NamedTuple):
    """A row of `organizations`."""

    id: Any
    issuer: str
    external_id: str
    created_at: Any


class KeyRow(NamedTuple):
    """A row of `api_keys`, as a creation adds it."""

    id: Any
    org_id: Any
    name: str
    description: str | None
    environment: str
    created_at: Any
    created_by: str
    expires_at: Any
    scopes: str | None
    allowed_ips: str | None
    rate_limits: str | None
    external_id: str | None
    metadata: str | None


class ChangedRow(NamedTuple):
    """What `Store.update` writes of a key."""

    name: str
    description: str | None
    expires_at: Any
    disabled_at: Any
    scopes: str | None
    allowed_ips: str | None
    rate_limits: str | None
    external_id: str | None
    metadata: str | None


class SecretRow(NamedTuple):
    """A row of `api_key_secrets`, as a creation or a rotation adds it."""

    id: Any
    key_id: Any
    public_key: Any
    secret_digest: Any
    brand: str
    display: str
    created_at: Any


class EventRow(NamedTuple):
    """A row of `events`."""

    id: Any
    org_id: Any
    key_id: Any
    type: str
    occurred_at: Any
    issuer: str
    subject: str
    client_id: str | None
    request_id: str
    address: str | None
    data: str
    digest: Any


class AnswerRow(NamedTuple):
    """A row of `idempotent_answers`."""

    org_id: Any
    request_digest: Any
    fingerprint: Any
    sealed: Any
    created_at: Any
    expires_at: Any


class NewRows(NamedTuple):
    """What one creation adds to each table."""

    organization: OrganizationRow
    key: KeyRow
    secret: SecretRow
    event: EventRow


def new_rows(new: NewApiKey, encoding: Encoding) -> NewRows:
    """
    Give the rows of a creation.

    Raises:
        ValueError: A text holds a NUL or half a surrogate pair. PostgreSQL cannot store them, so neither engine does.
    """
    key, write = new.api_key, encoding
    key_id, org_id, created_at = write.id(key.id), write.id(key.org_id), write.time(key.created_at)
    organization = OrganizationRow(org_id, new.organization.issuer, new.organization.external_id, created_at)
    key_row = KeyRow(
        key_id,
        org_id,
        key.name,
        key.description,
        key.environment,
        created_at,
        key.created_by,
        None if key.expires_at is None else write.time(key.expires_at),
        *_lists_of(key),
    )
    refuse_unstorable((*organization, *key_row))
    # The first secret of a key has the key's own id.
    secret = secret_row(key_id, key_id, key.secret, new.secret_digest, write)
    return NewRows(organization, key_row, secret, event_row(new.event, write))


def secret_row(secret_id: Any, key_id: Any, secret: Secret, digest: bytes, encoding: Encoding) -> SecretRow:
    """Give the row of a secret, from ids as *encoding* writes them; raise `ValueError` as `new_rows` does."""
    public = secret.public_key
    refuse_unstorable((public.brand, secret.display))
    return SecretRow(
        secret_id,
        key_id,
        encoding.bytes(public.value),
        encoding.bytes(digest),
        public.brand,
        secret.display,
        encoding.time(secret.created_at),
    )


def event_row(event: Event, encoding: Encoding) -> EventRow:
    """Give the row of an event; raise `ValueError` as `new_rows` does."""
    data, origin = _write_json(event.data), event.origin
    # As JSON writes it; but so it writes a backslash and these five, too.
    if "\\u0000" in data:
        refuse_unstorable(_texts_in(event.data))
    refuse_unstorable((event.issuer, event.subject, event.client_id, origin.request_id, origin.address, data))
    return EventRow(
        encoding.id(event.id),
        encoding.id(event.org_id),
        encoding.id(event.key_id),
        str(event.type),
        encoding.time(event.occurred_at),
        event.issuer,
        event.subject,
        event.client_id,
        origin.request_id,
        origin.address,
        data,
        encoding.bytes(event.digest),
    )


def answer_row(org_id: UUID, answer: SealedAnswer, encoding: Encoding) -> AnswerRow:
    """Give the row of a sealed answer."""
    return AnswerRow(
        encoding.id(org_id),
        encoding.bytes(answer.request_digest),
        encoding.bytes(answer.fingerprint),
        encoding.bytes(answer.sealed),
        encoding.time(answer.created_at),
        encoding.time(answer.expires_at),
    )


def changed_row(key: ApiKey, encoding: Encoding) -> ChangedRow:
    """Give what is written of a key that was changed; raise `ValueError` as `new_rows` does."""
    expires_at = None if key.expires_at is None else encoding.time(key.expires_at)
    disabled_at = None if key.disabled_at is None else encoding.time(key.disabled_at)
    row = ChangedRow(key.name, key.description, expires_at, disabled_at, *_lists_of(key))
    refuse_unstorable(row)
    return row


def is_storable(values: Iterable[Any]) -> bool:
    """Tell whether none of *values* is a text that PostgreSQL cannot store; neither engine is given one."""
    # Together: half a surrogate pair at the end of a text stays one beside the next text's other half.
    text = "\n".join([value for value in values if isinstance(value, str)])
    return "\0" not in text and (text.isascii() or not has_lone_surrogate(text))


def refuse_unstorable(values: Iterable[Any]) -> None:
    """Raise `ValueError` when one of *values* cannot be stored."""
    if not is_storable(values):
        raise ValueError("a text holds a character that a database cannot store")


def _lists_of(key: ApiKey) -> Row:
    """Give the last five columns of `KeyRow` and `ChangedRow`; what is empty is absent."""
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
