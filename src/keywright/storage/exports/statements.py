"""The statements that read the chains of all organizations, and all data of one; the same on both engines."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from keywright.keys.pair import PublicKey
from keywright.keys.rate_limits import RateLimit
from keywright.service.management.audit_log import rfc3339
from keywright.service.organization_data.ports import Part
from keywright.storage.shared.readers import Decoding
from keywright.storage.shared.statements import secrets_of

CHAIN_HEADS: Final = "SELECT org_id, position, hash FROM event_chain_heads WHERE org_id > $1 ORDER BY org_id LIMIT $2"
"""Values: the organization to begin above, the most rows to give."""

HASHES: Final = """
    SELECT position, hash FROM event_chain WHERE org_id = $1 AND position > $2 ORDER BY position LIMIT $3
"""
"""Values: organization, position, the most rows to give."""

FIRST_SINCE: Final = """
    SELECT min(c.position) FROM events e JOIN event_chain c ON c.event_id = e.id
    WHERE e.org_id = $1 AND e.id >= $2 AND e.occurred_at >= $3
"""
"""Values: organization, an id below those of events from that time on, the time."""

REMOVE_ANSWERS: Final = "DELETE FROM idempotent_answers WHERE org_id = $1 RETURNING 1"

Read = Callable[[Decoding, Any], Any]
"""Gives a value that is not NULL as JSON has it."""


class Selection(NamedTuple):
    """
    How a part is read.

    `source` is what follows FROM, with a condition for the owner, `$1`; `place` are the columns by which rows are in
    order. `together` makes the row of the values.
    """

    source: str
    place: tuple[str, ...]
    columns: Mapping[str, Read]
    together: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row


def page(selection: Selection, *, is_first: bool) -> str:
    """
    Give a page of a part: first the columns of `place`, then the others.

    Values: the owner, the most rows to give, then, but for the first page, where it begins.
    """
    place = ", ".join(selection.place)
    begin = ", ".join(f"${number}" for number in range(3, 3 + len(selection.place)))
    after = "" if is_first else f"AND ({place}) > ({begin})"
    return f"""
        SELECT {place}, {", ".join(selection.columns)} FROM {selection.source} {after} ORDER BY {place} LIMIT $2
    """  # noqa: S608 - here and below: names of our own


def _plain(_decoding: Decoding, value: Any) -> Any:
    return value


def _id(decoding: Decoding, value: Any) -> str:
    return str(decoding.id(value))


def _time(decoding: Decoding, value: Any) -> str | None:
    return rfc3339(decoding.time(value))


def _json(_decoding: Decoding, value: str) -> Any:
    return json.loads(value)


def _rate_limits(_decoding: Decoding, value: str) -> Any:
    return [RateLimit(*limit)._asdict() for limit in json.loads(value)]


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    public = PublicKey(row.pop("public_key"), row.pop("brand"), row.pop("environment"))
    return {**row, "public_key": public.text}


_KEY: Final[Mapping[str, Read]] = {
    "id": _id,
    "name": _plain,
    "description": _plain,
    "environment": _plain,
    "created_at": _time,
    "created_by": _plain,
    "expires_at": _time,
    "disabled_at": _time,
    "revoked_at": _time,
    "revoked_by": _plain,
    "revocation_reason": _plain,
    "deleted_at": _time,
    "deleted_by": _plain,
    "scopes": _json,
    "allowed_ips": _json,
    "rate_limits": _rate_limits,
    "metadata": _json,
    "external_id": _plain,
    "version": _plain,
}
_EVENT: Final[Mapping[str, Read]] = {
    "id": _id,
    "type": _plain,
    "key_id": _id,
    "occurred_at": _time,
    "issuer": _plain,
    "subject": _plain,
    "client_id": _plain,
    "request_id": _plain,
    "address": _plain,
    "data": _json,
}
_SECRET: Final[Mapping[str, Read]] = {
    "s.id": _id,
    "s.key_id": _id,
    "s.public_key": _plain,
    "s.brand": _plain,
    "k.environment": _plain,
    "s.display": _plain,
    "s.created_at": _time,
    "s.retires_at": _time,
    "s.first_used_at": _time,
    "s.last_used_at": _time,
}
_BULK: Final[Mapping[str, Read]] = {
    "id": _id,
    "created_by": _plain,
    "reason": _plain,
    "previewed_at": _time,
    "previewed_keys": _plain,
    "started_at": _time,
    "finished_at": _time,
    "revoked": _plain,
}
_SOURCE: Final[Mapping[str, Read]] = {
    "s.key_id": _id,
    "u.secret_id": _id,
    "u.network": _plain,
    "u.agent": _plain,
    "u.verifier": _plain,
    "u.first_seen": _time,
    "u.last_seen": _time,
    "u.count": _plain,
}
_HOUR: Final[Mapping[str, Read]] = {"key_id": _id, "hour": _time, "count": _plain}


_PAIRS: Final = f"({secrets_of('$1')}) s"


def _sources(table: str) -> str:
    return f"{_PAIRS} JOIN {table} u ON u.secret_id = s.id WHERE true"


PARTS: Final[Mapping[Part, Selection]] = {
    Part.KEYS: Selection("api_keys WHERE deleted_at IS NULL AND org_id = $1", ("id",), _KEY),
    Part.DELETED_KEYS: Selection("api_keys WHERE deleted_at IS NOT NULL AND org_id = $1", ("id",), _KEY),
    Part.UNCHAINED_EVENTS: Selection(
        "events WHERE digest IS NULL AND org_id = $1", ("id",), _EVENT, lambda row: {"event": row}
    ),
    Part.BULK_REVOCATIONS: Selection("bulk_revocations WHERE org_id = $1", ("id",), _BULK),
    Part.SECRETS: Selection(f"{_PAIRS} JOIN api_keys k ON k.id = s.key_id WHERE true", ("s.id",), _SECRET, _pair),
    Part.USAGE: Selection("key_hours WHERE key_id = $1", ("hour",), _HOUR),
    Part.REFUSALS: Selection("key_refusals WHERE key_id = $1", ("hour", "code"), {**_HOUR, "code": _plain}),
    Part.SOURCES: Selection(_sources("secret_sources"), ("u.secret_id", "u.network", "u.agent", "u.verifier"), _SOURCE),
    Part.REFUSED_SOURCES: Selection(
        _sources("secret_refusals"),
        ("u.secret_id", "u.code", "u.network", "u.agent", "u.verifier"),
        {**_SOURCE, "u.code": _plain},
    ),
}
