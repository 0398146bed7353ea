"""
Reads the rows of keys, for both engines.

A reader is a function whose parameters are the columns of a row, so that the names and their order stand in one place:
`columns` makes the list of a SELECT of them. A reader is called with `*row`, which costs what taking a row apart costs.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from keywright.keys.addresses import Networks, read_networks
from keywright.keys.cache import weight_of
from keywright.keys.pair import PublicKey
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.keys.verdict import LONGEST_HELD_METADATA, NO_METADATA, KeyFacts
from keywright.storage.shared.rows import EPOCH

MOST_SHARED: Final = 4096
"""How many different lists of scopes, networks or limits are kept to be shared by the keys that have the same."""

LONGEST_SHARED: Final = 512
"""The longest value, as it is stored, that is shared: long ones take memory beside the cache, and few are equal."""

_MOST_VALUES: Final = 10_000

Value = TypeVar("Value", bound=Sized)


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Decoding:
    """
    Reads values that are neither text nor a number, out of the types of an engine.

    `id_bytes` gives the 16 bytes of an id, `seconds` a time as seconds since 1970, `digests` many digests that a query
    put together.
    """

    id: Callable[[Any], UUID]
    id_bytes: Callable[[Any], bytes]
    time: Callable[[Any], datetime]
    seconds: Callable[[Any], float]
    digests: Callable[[Any], bytes]


# The id of an organization stands in every row of a page.
@lru_cache(maxsize=1024)
def _id_of(value: bytes) -> UUID:
    return UUID(bytes=value)


SQLITE: Final = Decoding(
    id=_id_of,
    id_bytes=_same,
    time=lambda value: EPOCH + timedelta(microseconds=value),
    seconds=lambda value: float(value / 1_000_000),
    digests=bytes.fromhex,
)
POSTGRES: Final = Decoding(
    id=_same, id_bytes=attrgetter("bytes"), time=_same, seconds=datetime.timestamp, digests=_same
)


def columns(
    reader: Callable[..., Any], table: str, *, instead: Mapping[str, str] = MappingProxyType({}), **others: str
) -> str:
    """
    List the columns that a reader takes, for a SELECT.

    Args:
        reader: A function or method whose parameters have the names of columns; an underscore at the end, for a name
            that Python has taken, is left out. Parameters that are only given by name are no columns.
        table: The alias of the table.
        instead: The expression for each parameter that is no column.
        others: The alias of the table for each column of another one.
    """
    return ", ".join(instead.get(name, f"{others.get(name, table)}.{name}") for name in column_names(reader))


def column_names(reader: Callable[..., Any]) -> list[str]:
    """Name the columns that a reader takes; see `columns`."""
    code = reader.__code__
    return [name.rstrip("_") for name in code.co_varnames[: code.co_argcount] if name != "self"]


class KeyReader:
    """
    Reads rows of `API_KEY_COLUMNS`.

    Args:
        decoding: How the engine gives values.
    """

    def __init__(self, decoding: Decoding) -> None:
        self._id = decoding.id
        self._time = decoding.time

    def read(self, row: Sequence[Any]) -> ApiKey:
        """Read a key, its current secret, and the one that the last rotation replaced if there is one."""
        return self.key(*row[_KEY], secrets=row[_SECRETS])

    def key(
        self,
        id_: Any,
        org_id: Any,
        name: str,
        description: str | None,
        environment: str,
        created_at: Any,
        created_by: str,
        expires_at: Any,
        disabled_at: Any,
        revoked_at: Any,
        revoked_by: str | None,
        revocation_reason: str | None,
        scopes: str | None,
        allowed_ips: str | None,
        rate_limits: str | None,
        external_id: str | None,
        metadata: str | None,
        version: int,
        *,
        secrets: Sequence[Any],
    ) -> ApiKey:
        """Read the columns of `api_keys`; *secrets* are those of the two secrets."""
        current, replaced = secrets[_CURRENT], secrets[_REPLACED]
        return ApiKey(
            id=self._id(id_),
            org_id=self._id(org_id),
            name=name,
            description=description,
            environment=environment,
            created_at=self._time(created_at),
            created_by=created_by,
            secret=self.secret(*current, environment=environment),
            retiring=None if replaced[0] is None else self.secret(*replaced, environment=environment),
            expires_at=None if expires_at is None else self._time(expires_at),
            disabled_at=None if disabled_at is None else self._time(disabled_at),
            revoked_at=None if revoked_at is None else self._time(revoked_at),
            revoked_by=revoked_by,
            revocation_reason=(
                None if revoked_at is None else RevocationReason(revocation_reason or RevocationReason.UNSPECIFIED)
            ),
            scopes=_texts(scopes),
            allowed_ips=_texts(allowed_ips),
            rate_limits=_rate_limits(rate_limits),
            external_id=external_id,
            metadata={} if metadata is None else json.loads(metadata),
            version=version,
        )

    def secret(
        self,
        public_key: bytes,
        brand: str,
        display: str,
        created_at: Any,
        first_used_at: Any,
        last_used_at: Any,
        retires_at: Any,
        idle_seconds: int | None,
        *,
        environment: str,
    ) -> Secret:
        """Read the columns of `api_key_secrets`; the environment is that of the key."""
        time = self._time
        return Secret(
            public_key=PublicKey(public_key, brand, environment),
            display=display,
            created_at=time(created_at),
            first_used_at=None if first_used_at is None else time(first_used_at),
            last_used_at=None if last_used_at is None else time(last_used_at),
            retires_at=None if retires_at is None else time(retires_at),
            idle_seconds=idle_seconds,
        )


API_KEY_COLUMNS: Final = ", ".join(
    (columns(KeyReader.key, "k"), columns(KeyReader.secret, "s"), columns(KeyReader.secret, "r"))
)
"""
What a query selects for `KeyReader`: `k` is a key, `s` its current secret, and `r` the one that the last rotation
replaced, which may be absent.
"""

LAST_REPLACED: Final = "retires_at IS NOT NULL ORDER BY retires_at DESC, id DESC LIMIT 1"
"""Which of a key's secrets that is. None is replaced while an earlier one still works, so they retire in turn."""

_KEY: Final = slice(len(column_names(KeyReader.key)))
_SECRETS: Final = slice(_KEY.stop, None)
_CURRENT: Final = slice(len(column_names(KeyReader.secret)))
_REPLACED: Final = slice(_CURRENT.stop, None)


class FactsReader:
    """
    Reads what a verdict needs to know of a key, from rows of `FACTS_COLUMNS`.

    What many keys have in common is one object in all of them: a process may hold a million. It counts in the weight of
    the first of them.
    """

    def __init__(self, decoding: Decoding) -> None:
        self._id_bytes = decoding.id_bytes
        self._seconds = decoding.seconds
        self._values: _Shared[Any] = _Shared(_MOST_VALUES, lambda value: (value, (value,)))
        self._texts: _Shared[str] = _Shared(MOST_SHARED, _read_texts)
        self._networks: _Shared[str] = _Shared(MOST_SHARED, _read_networks)
        self._rate_limits: _Shared[str] = _Shared(MOST_SHARED, _read_rate_limits)

    def facts(
        self,
        id_: Any,
        org_id: Any,
        name: str,
        environment: str,
        expires_at: Any,
        disabled_at: Any,
        revoked_at: Any,
        deleted_at: Any,
        scopes: str | None,
        allowed_ips: str | None,
        rate_limits: str | None,
        external_id: str | None,
        created_by: str,
        metadata: str | None,
        org_external_id: str,
        retires_at: Any,
    ) -> KeyFacts:
        """Read a row of `FACTS_COLUMNS`; a deleted key counts as revoked, on whatever clock the secret has ended."""
        id_bytes = self._id_bytes(id_)
        ends = inf if expires_at is None else self._seconds(expires_at)
        retires = inf if retires_at is None else self._seconds(retires_at)
        metadata = NO_METADATA if metadata == NO_METADATA else metadata
        # What this key alone has. `share` adds what it is the first to have.
        parts: list[Any] = [id_bytes, name, external_id]
        parts += [value for value in (ends, retires) if value != inf]
        if metadata is not NO_METADATA:
            parts.append(metadata)
        return KeyFacts(
            id=id_bytes,
            org_id=self._values.share(self._id_bytes(org_id), parts),
            name=name,
            environment=sys.intern(environment),
            expires_at=ends,
            revoked=revoked_at is not None or deleted_at is not None,
            disabled=disabled_at is not None,
            scopes=() if scopes is None else self._texts.share(scopes, parts),
            retires_at=retires,
            networks=() if allowed_ips is None else self._networks.share(allowed_ips, parts),
            rate_limits=() if rate_limits is None else self._rate_limits.share(rate_limits, parts),
            external_id=external_id,
            org_external_id=self._values.share(org_external_id, parts),
            created_by=self._values.share(created_by, parts),
            metadata=metadata,
            weight=weight_of(parts),
        )


Read = Callable[[Value], tuple[Any, Sequence[Any]]]
"""Reads a stored value; gives, too, all objects that it made."""


class _Shared(Generic[Value]):
    """
    Gives one object for equal values, which a row contains again and again.

    Args:
        most: How many values are kept; beyond it, all are given up.
        read: Makes the object.
    """

    def __init__(self, most: int, read: Read[Value]) -> None:
        self._most = most
        self._read = read
        self._values: dict[Value, Any] = {}

    def share(self, value: Value, parts: list[Any]) -> Any:
        """Give the object of a value, and add to *parts* what had to be made for it."""
        found = self._values.get(value)
        if found is None:
            found, made = self._read(value)
            parts.extend(made)
            if len(value) <= LONGEST_SHARED:
                if len(self._values) >= self._most:
                    self._values.clear()
                self._values[value] = found
        return found


# A fifth of the time of `json`: most keys have networks of their own.
_TEXTS: Final = msgspec.json.Decoder(list[str]).decode


def _read_texts(written: str) -> tuple[tuple[str, ...], Sequence[Any]]:
    texts = tuple(_TEXTS(written))
    return texts, (texts, *texts)


def _read_networks(written: str) -> tuple[Networks, Sequence[Any]]:
    networks = read_networks(_TEXTS(written))
    # The shifts are small numbers, which are no objects of their own.
    return networks, (networks, *networks[1::2])


def _read_rate_limits(written: str) -> tuple[tuple[RateLimit, ...], Sequence[Any]]:
    limits = tuple(RateLimit(*limit) for limit in json.loads(written))
    return limits, (limits, *limits, *(member for limit in limits for member in limit))


FACTS_COLUMNS: Final = columns(
    FactsReader.facts,
    "k",
    instead={
        # As a subquery, so that every plan looks it up by its primary key.
        "org_external_id": "(SELECT external_id FROM organizations WHERE id = k.org_id) AS org_external_id",
        "metadata": f"CASE WHEN k.metadata IS NULL THEN '{NO_METADATA}'"
        f" WHEN length(k.metadata) <= {LONGEST_HELD_METADATA} THEN k.metadata END AS metadata",
    },
    retires_at="s",
)
"""What a query selects for `FactsReader`: `k` is a key, `s` one of its secrets."""

IS_KNOWN: Final = "(k.deleted_at IS NULL OR s.retires_at <= k.deleted_at)"
"""
The condition that a look-up finds a secret.

A secret that ended before its key was deleted stays ended: the deletion does not announce it, so a cached verdict and a
new one have to be the same.
"""


@lru_cache(maxsize=MOST_SHARED)
def _texts(written: str | None) -> tuple[str, ...]:
    return () if written is None else tuple(map(sys.intern, json.loads(written)))


@lru_cache(maxsize=MOST_SHARED)
def _rate_limits(written: str | None) -> tuple[RateLimit, ...]:
    return () if written is None else tuple(RateLimit(*limit) for limit in json.loads(written))
