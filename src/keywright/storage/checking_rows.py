"""Between rows and what checking keys speaks of, for both engines and in one place."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Any, Final, NamedTuple
from uuid import UUID

from keywright.keys.record import Secret
from keywright.keys.verdict import KeyFacts
from keywright.service.change_feed import Change
from keywright.service.checking_ports import Sighting
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import Source, Usage
from keywright.service.verifier_sessions import Confirmation, Receipt, Session
from keywright.service.verifiers import Verifier
from keywright.storage import rows
from keywright.storage.rows import Row

DIGEST_BYTES = 32
MOST_SOURCES = 50
"""How many sources of a secret are kept, and of a key are told."""

REPORTERS_KEPT = timedelta(days=7)
"""How long after its last batch of uses the number of a reporter is kept."""

MOST_SHARED = 10_000
FACTS_COLUMNS = (
    "k.id, k.org_id, k.name, k.environment, k.expires_at, k.revoked_at, k.scopes, k.allowed_ips, k.rate_limits,"
    " s.retires_at"
)
"""What a query selects for `Facts`: `k` is a key, `s` one of its secrets."""

VERIFIER_COLUMNS: Final = ("id", "name", "display", "created_at", "revoked_at")
SESSION_COLUMNS: Final = ("id", "verifier_id", "name", "outage_seconds")
SIGHTING_COLUMNS: Final = (
    *("key_id", "digest", "hour", "network", "agent", "verifier"),
    *("first_seen", "last_seen", "count"),
)

ENDS: Final = (EventType.REVOKED.value, EventType.DELETED.value)
"""The types of changes after which a key never works again."""

SECRET, HOUR, SOURCE = range(3)
"""What a row of `usage` tells of: one secret of the key, one hour, one source."""


class Engine(NamedTuple):
    """How an engine gives what is not text or a number."""

    id: Callable[[Any], UUID]
    id_bytes: Callable[[Any], bytes]
    time: Callable[[Any], datetime]
    seconds: Callable[[Any], float]
    digests: Callable[[Any], bytes]


SQLITE = Engine(
    id=rows.sqlite_id,
    id_bytes=rows.unchanged,
    time=rows.sqlite_time,
    seconds=lambda value: float(value / 1_000_000),
    digests=bytes.fromhex,
)
POSTGRES = Engine(
    id=rows.unchanged,
    id_bytes=lambda value: bytes(value.bytes),
    time=rows.unchanged,
    seconds=lambda value: float(value.timestamp()),
    digests=rows.unchanged,
)


class Facts:
    """
    Reads what a verdict needs to know of a key.

    What many keys have in common is one object in all of them: a process may hold a million.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shared: dict[bytes, bytes] = {}

    def of(self, row: Sequence[Any]) -> KeyFacts:
        """Read a row of `FACTS_COLUMNS`."""
        key_id, org_id, name, environment, expires_at, revoked_at, scopes, allowed_ips, limits, retires_at = row
        return KeyFacts(
            id=self._engine.id_bytes(key_id),
            org_id=self._share(self._engine.id_bytes(org_id)),
            name=name,
            environment=sys.intern(environment),
            expires_at=inf if expires_at is None else self._engine.seconds(expires_at),
            revoked=revoked_at is not None,
            scopes=rows.texts(scopes),
            retires_at=inf if retires_at is None else self._engine.seconds(retires_at),
            allowed_ips=rows.texts(allowed_ips),
            rate_limits=rows.rate_limits(limits),
        )

    def _share(self, value: bytes) -> bytes:
        shared = self._shared.setdefault(value, value)
        if len(self._shared) > MOST_SHARED:
            self._shared.clear()
        return shared


def change(engine: Engine, row: Sequence[Any]) -> Change:
    """Read a change: its number, what changed, when, all digests of that, and when it was written."""
    seq, changed_id, occurred_at, digests, noted_at = row
    together = b"" if digests is None else engine.digests(digests)
    return Change(
        seq=seq,
        key_id=engine.id(changed_id),
        digests=tuple(together[at : at + DIGEST_BYTES] for at in range(0, len(together), DIGEST_BYTES)),
        occurred_at=engine.time(occurred_at),
        noted_at=engine.time(noted_at),
    )


def verifier(engine: Engine, row: Sequence[Any]) -> Verifier:
    """Read a row of `VERIFIER_COLUMNS`."""
    id_, name, display, created_at, revoked_at = row
    return Verifier(
        id=engine.id(id_),
        name=name,
        display=display,
        created_at=engine.time(created_at),
        revoked_at=_or_none(engine.time, revoked_at),
    )


def verifier_row(new: Verifier, credential_digest: bytes) -> Row:
    """Give the row of a verifier, in Python's own types; raise `ValueError` for a text that cannot be stored."""
    row = (new.id, new.name, new.display, new.created_at, new.revoked_at, credential_digest)
    rows.refuse_unstorable(row)
    return row


def session_row(noted: Session) -> Row:
    """Give the row of a session, in Python's own types; raise `ValueError` for a text that cannot be stored."""
    row = (noted.id, noted.verifier_id, noted.name, noted.outage_seconds)
    rows.refuse_unstorable(row)
    return row


def ending(engine: Engine, found: Sequence[Sequence[Any]]) -> Receipt | None:
    """
    Read how a key ended; None for no rows.

    A row tells when the key ended, by when that was committed, when a session confirmed, connected and was closed, and
    `SESSION_COLUMNS`; without sessions there is one row that has only the first two.
    """
    if not found:
        return None
    ended_at, committed_by, *_ = found[0]
    return Receipt(
        ended_at=engine.time(ended_at),
        committed_by=engine.time(committed_by),
        confirmations=[_confirmation(engine, row[2:]) for row in found if row[5] is not None],
    )


def _confirmation(engine: Engine, row: Sequence[Any]) -> Confirmation:
    confirmed_at, connected_at, closed_at, id_, verifier_id, name, outage_seconds = row
    return Confirmation(
        session=Session(
            id=engine.id(id_),
            verifier_id=_or_none(engine.id, verifier_id),
            name=name,
            outage_seconds=outage_seconds,
        ),
        connected_at=engine.time(connected_at),
        confirmed_at=_or_none(engine.time, confirmed_at),
        closed_at=_or_none(engine.time, closed_at),
    )


def sighting_rows(sightings: Sequence[Sighting]) -> list[Row]:
    """Give rows of `SIGHTING_COLUMNS`, in Python's own types; raise `ValueError` for a text that cannot be stored."""
    told = [
        (
            *(seen.key_id, seen.digest, seen.hour, seen.network or "", seen.agent or "", seen.verifier),
            *(seen.first_seen, seen.last_seen, seen.count),
        )
        for seen in sightings
    ]
    for row in told:
        rows.refuse_unstorable(row)
    return told


def usage(engine: Engine, found: Sequence[Sequence[Any]]) -> Usage | None:
    """
    Read the use of a key; None for no rows.

    A row tells what it speaks of, then the id of a secret, network, agent, verifier, two times and a count, and then
    what `rows.SECRET_READ` has of that secret, and the key's environment. For an hour there is only the second time
    and the count, and of a source's secret only the id.
    """
    secrets = {
        row[1]: rows.secret(row[8:-1], row[-1], engine.time)
        for row in sorted((row for row in found if row[0] == SECRET), key=_end_of_secret, reverse=True)
    }
    if not secrets:
        return None
    sources = _sources(engine, [row for row in found if row[0] == SOURCE], secrets)
    uses = [secret.last_used_at for secret in secrets.values() if secret.last_used_at is not None]
    return Usage(
        last_used_at=max(uses, default=None),
        hours=dict(sorted((engine.time(row[6]), row[7]) for row in found if row[0] == HOUR)),
        sources=sorted(sources, key=lambda source: source.last_seen, reverse=True)[:MOST_SOURCES],
        secrets=list(secrets.values()),
    )


def _end_of_secret(row: Sequence[Any]) -> tuple[Any, ...]:
    retires_at = row[-3]
    return (True,) if retires_at is None else (False, retires_at, row[1])


def _sources(engine: Engine, found: Sequence[Sequence[Any]], secrets: Mapping[Any, Secret]) -> list[Source]:
    """Add up what was noted of one source by this version and by the one before, which kept it elsewhere."""
    together: dict[tuple[Any, ...], tuple[Any, Any, int]] = {}
    for _, *place, first_seen, last_seen, count in (row[:8] for row in found):
        known = together.get(tuple(place))
        if known is not None:
            first_seen, last_seen, count = min(first_seen, known[0]), max(last_seen, known[1]), count + known[2]
        together[tuple(place)] = (first_seen, last_seen, count)
    return [
        Source(
            public_key=secrets[secret_id].public_key.text,
            network=network or None,
            agent=agent or None,
            verifier=verifier,
            first_seen=engine.time(first_seen),
            last_seen=engine.time(last_seen),
            count=count,
        )
        for (secret_id, network, agent, verifier), (first_seen, last_seen, count) in together.items()
    ]


def hours_by_key(engine: Engine, found: Sequence[Sequence[Any]]) -> dict[UUID, dict[datetime, int]]:
    """Read rows of a key, an hour and a count."""
    counts: dict[UUID, dict[datetime, int]] = {}
    for key_id, hour, count in found:
        counts.setdefault(engine.id(key_id), {})[engine.time(hour)] = count
    return counts


def _or_none(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)
