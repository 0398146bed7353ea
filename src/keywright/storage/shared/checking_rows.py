"""The rows of changes, verifiers, their sessions and usage, for both engines; see `rows` and `readers`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from keywright.keys.record import Secret
from keywright.service.change_feed import Change
from keywright.service.checking.ports import HourlyUsage
from keywright.service.management.ports import RefusedSource, Source, Usage, UsageCount
from keywright.service.verifier_sessions import Confirmation, Receipt, Session
from keywright.service.verifiers import Verifier
from keywright.storage.shared.readers import Decoding, KeyReader, column_names
from keywright.storage.shared.rows import Encoding, refuse_unstorable

DIGEST_BYTES: Final = 32
MOST_SOURCES: Final = 50
"""How many sources of a secret are kept, and of a key are given: of its uses, and again of its refusals."""

SOURCE: Final = "network, agent, verifier"
"""The columns that tell the sources of a secret's uses apart."""
REFUSED_SOURCE: Final = f"code, {SOURCE}"
"""Those that tell the sources of its refusals apart."""


class VerifierRow(NamedTuple):
    """A row of `verifiers`, but for the digest of its credential."""

    id: Any
    name: str
    display: str
    created_at: Any
    revoked_at: Any


class SessionRow(NamedTuple):
    """A row of `verifier_sessions`, but for its times."""

    id: Any
    verifier_id: Any
    name: str
    outage_seconds: int
    version: str | None


class ReceiptRow(NamedTuple):
    """How a key ended, and a session that it concerns; without one, the rest is None."""

    ended_at: Any
    committed_by: Any
    acknowledged_at: Any
    connected_at: Any
    closed_at: Any
    session_id: Any
    verifier_id: Any
    name: str
    outage_seconds: int


class HourlyUsageRow(NamedTuple):
    """Uses of one secret in one hour from one source, or its refusals with one code."""

    key_id: Any
    digest: Any
    hour: Any
    network: str
    agent: str
    verifier: str
    first_seen: Any
    last_seen: Any
    count: Any
    code: str


class UsageRow(NamedTuple):
    """
    A part of the usage of a key: its last use, one of its secrets, one hour, or one source.

    `secret_id` is None for an hour and for the last use. An hour has `first_seen`, its beginning, and `count`; the last
    use has `last_seen`, which is None for an unused key. An hour or source of refusals has their `code`. The columns
    from `public_key` on are those of a secret, and only a row of a secret has them.
    """

    secret_id: Any
    code: str | None
    network: Any
    agent: Any
    verifier: Any
    first_seen: Any
    last_seen: Any
    count: Any
    public_key: Any
    brand: str
    display: str
    created_at: Any
    first_used_at: Any
    last_used_at: Any
    retires_at: Any
    idle_seconds: int | None
    environment: str


_secret_columns: Final = attrgetter(*column_names(KeyReader.secret))


def change(decoding: Decoding, seq: int, changed_id: Any, occurred_at: Any, digests: Any, written_at: Any) -> Change:
    """Read a change; *digests* are all those of the key or the verifier."""
    together = b"" if digests is None else decoding.digests(digests)
    return Change(
        seq=seq,
        key_id=decoding.id(changed_id),
        digests=tuple(together[at : at + DIGEST_BYTES] for at in range(0, len(together), DIGEST_BYTES)),
        occurred_at=decoding.time(occurred_at),
        written_at=decoding.time(written_at),
    )


def verifier(decoding: Decoding, row: VerifierRow) -> Verifier:
    """Read a verifier."""
    return Verifier(
        id=decoding.id(row.id),
        name=row.name,
        display=row.display,
        created_at=decoding.time(row.created_at),
        revoked_at=_time(decoding, row.revoked_at),
    )


def verifier_row(new: Verifier) -> VerifierRow:
    """Give the row of a verifier, in Python's own types; raise `ValueError` for a text that cannot be stored."""
    row = VerifierRow(new.id, new.name, new.display, new.created_at, new.revoked_at)
    refuse_unstorable(row)
    return row


def session_row(session: Session) -> SessionRow:
    """Give the row of a session, in Python's own types; raise `ValueError` for a text that cannot be stored."""
    row = SessionRow(session.id, session.verifier_id, session.name, session.outage_seconds, session.version)
    refuse_unstorable(row)
    return row


def receipt(decoding: Decoding, rows: Sequence[ReceiptRow]) -> Receipt | None:
    """Read how a key ended; None for no rows. A key that concerns no session has one row."""
    if not rows:
        return None
    return Receipt(
        ended_at=decoding.time(rows[0].ended_at),
        committed_by=decoding.time(rows[0].committed_by),
        confirmations=[_acknowledgement(decoding, row) for row in rows if row.session_id is not None],
    )


def _acknowledgement(decoding: Decoding, row: ReceiptRow) -> Confirmation:
    return Confirmation(
        session=Session(
            id=decoding.id(row.session_id),
            verifier_id=None if row.verifier_id is None else decoding.id(row.verifier_id),
            name=row.name,
            outage_seconds=row.outage_seconds,
        ),
        connected_at=decoding.time(row.connected_at),
        confirmed_at=_time(decoding, row.acknowledged_at),
        closed_at=_time(decoding, row.closed_at),
    )


def hourly_usage_rows(uses: Iterable[HourlyUsage], encoding: Encoding) -> list[HourlyUsageRow]:
    """Give the rows of uses; raise `ValueError` for a text that cannot be stored."""
    rows = [_hourly_usage_row(use, encoding) for use in uses]
    refuse_unstorable(chain.from_iterable(row[3:6] for row in rows))
    return rows


def _hourly_usage_row(use: HourlyUsage, encoding: Encoding) -> HourlyUsageRow:
    key_id, digest, hour, network, agent, verifier, first_seen, last_seen, count, code = use
    return HourlyUsageRow(
        encoding.id_bytes(key_id),
        encoding.bytes(digest),
        encoding.time(hour),
        network or "",
        agent or "",
        verifier,
        encoding.moment(first_seen),
        encoding.moment(last_seen),
        encoding.number(count),
        code.value,
    )


def usage(decoding: Decoding, keys: KeyReader, rows: Sequence[UsageRow], limit: int) -> Usage | None:
    """Read the use of a key, with up to *limit* of the secrets; None for no rows, which means no key."""
    if not rows:
        return None
    newest_first = sorted((row for row in rows if row.public_key is not None), key=_end_of_secret, reverse=True)
    page = newest_first[:limit]
    secrets = {row.secret_id: keys.secret(*_secret_columns(row), environment=row.environment) for row in page}
    seen = [row for row in rows if row.public_key is None and row.secret_id in secrets]
    seen.sort(key=lambda row: row.last_seen, reverse=True)
    uses = [row for row in seen if row.code is None][:MOST_SOURCES]
    refused = [row for row in seen if row.code is not None][:MOST_SOURCES]
    hours = sorted((row for row in rows if _is_hour(row)), key=lambda row: row.first_seen)
    return Usage(
        last_used_at=next((decoding.time(row.last_seen) for row in rows if _is_last_use(row)), None),
        counts={decoding.time(row.first_seen): row.count for row in hours if row.code is None},
        sources=[Source(**_source(decoding, row, secrets)) for row in uses],
        secrets=list(secrets.values()),
        next=decoding.id(page[-1].secret_id) if len(newest_first) > limit else None,
        refused=_by_code(decoding, hours),
        refusals=[RefusedSource(**_source(decoding, row, secrets), code=row.code or "") for row in refused],
    )


def _by_code(decoding: Decoding, hours: Iterable[UsageRow]) -> dict[datetime, dict[str, int]]:
    refused: dict[datetime, dict[str, int]] = {}
    for row in hours:
        if row.code is not None:
            refused.setdefault(decoding.time(row.first_seen), {})[row.code] = row.count
    return refused


def _is_hour(row: UsageRow) -> bool:
    return row.secret_id is None and row.first_seen is not None


def _is_last_use(row: UsageRow) -> bool:
    return row.secret_id is None and row.last_seen is not None


def _end_of_secret(row: UsageRow) -> tuple[Any, ...]:
    return (True,) if row.retires_at is None else (False, row.retires_at, row.secret_id)


def _source(decoding: Decoding, row: UsageRow, secrets: Mapping[Any, Secret]) -> dict[str, Any]:
    """Give the members of a `Source`."""
    return {
        "public_key": secrets[row.secret_id].public_key.text,
        "network": row.network or None,
        "agent": row.agent or None,
        "verifier": row.verifier,
        "first_seen": decoding.time(row.first_seen),
        "last_seen": decoding.time(row.last_seen),
        "count": row.count,
    }


def days_by_key(decoding: Decoding, rows: Iterable[Sequence[Any]]) -> dict[UUID, dict[datetime, UsageCount]]:
    """Read rows of a key, a day, a code, which is None for uses, and a count."""
    days: dict[UUID, dict[datetime, UsageCount]] = {}
    for key_id, day, code, count in rows:
        of_key, at = days.setdefault(decoding.id(key_id), {}), decoding.time(day)
        known = of_key.get(at, UsageCount(0, {}))
        of_key[at] = (
            known._replace(uses=count) if code is None else UsageCount(known.uses, {**known.refused, code: count})
        )
    return days


def _time(decoding: Decoding, value: Any) -> datetime | None:
    return None if value is None else decoding.time(value)
