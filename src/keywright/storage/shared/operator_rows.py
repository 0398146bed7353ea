"""Writes and reads the rows of the operator's use cases, for both engines."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from keywright.keys.record import RevocationReason
from keywright.service.management.audit_log import Origin
from keywright.service.operator.ports import (
    EXAMINED_IN_A_STEP,
    KEYS_IN_A_STEP,
    Actor,
    Batch,
    BulkRevocation,
    Counted,
    CountedOrganization,
    FoundKey,
    StoredKey,
    Target,
)
from keywright.service.principal import Organization
from keywright.storage.shared.readers import API_KEY_COLUMNS, Decoding, KeyReader, column_names
from keywright.storage.shared.rows import Row

STORED_COLUMNS: Final = f"o.issuer, o.external_id AS owner, k.deleted_at, k.deleted_by, {API_KEY_COLUMNS}"
"""What a query selects for `stored_key`: `o` is the organization of `k`; the others as for `KeyReader`."""

_PAIR: Final = len(column_names(KeyReader.secret))


class BulkRow(NamedTuple):
    """A row of `bulk_revocations`."""

    id: Any
    org_id: Any
    created_by: str | None
    reason: str
    previewed_at: Any
    previewed_keys: int
    previewed_organizations: int
    started_at: Any
    finished_at: Any
    issuer: str
    subject: str
    client_id: str | None
    request_id: str
    address: str | None
    position: Any
    revoked: int
    last_org_id: Any
    last_key_id: Any


def stored_key(decoding: Decoding, keys: KeyReader, row: Row) -> StoredKey:
    """Read a row of `STORED_COLUMNS`."""
    issuer, owner, deleted_at, deleted_by, *columns = row
    api_key = keys.read(columns)
    return StoredKey(
        organization=Organization(api_key.org_id, issuer, owner),
        api_key=api_key,
        deleted_at=None if deleted_at is None else decoding.time(deleted_at),
        deleted_by=deleted_by,
    )


def found_key(decoding: Decoding, keys: KeyReader, row: Row) -> FoundKey:
    """Read the columns of a secret, and `STORED_COLUMNS` of its key."""
    found = stored_key(decoding, keys, row[_PAIR:])
    return FoundKey(found, keys.secret(*row[:_PAIR], environment=found.api_key.environment))


def organization(
    decoding: Decoding, id_: Any, issuer: str, external_id: str, created_at: Any, active: int
) -> CountedOrganization:
    """Read an organization with its number of active keys."""
    return CountedOrganization(Organization(decoding.id(id_), issuer, external_id), decoding.time(created_at), active)


def counted(decoding: Decoding, found: Sequence[Row]) -> Counted:
    """Read rows of an organization and a number; the last of them has the number of examined keys and the last id."""
    *counts, (_, examined, last) = found
    keys = {decoding.id(org_id): number for org_id, number, _ in counts}
    return Counted(keys, decoding.id(last) if examined == EXAMINED_IN_A_STEP else None)


def batch(decoding: Decoding, found: Sequence[Row]) -> Batch:
    """Read rows of an organization and a key; the last of them has the last examined id, and how many there were."""
    *rows, (examined, last, _) = found
    keys = [(decoding.id(org_id), decoding.id(key_id)) for _, key_id, org_id in rows]
    if len(keys) == KEYS_IN_A_STEP:
        return Batch(keys, keys[-1][1])
    return Batch(keys, decoding.id(last) if examined == EXAMINED_IN_A_STEP else None)


def bulk_row(revocation: BulkRevocation) -> BulkRow:
    """Give the row of a revocation of many keys, in Python's types."""
    target, actor = revocation.target, revocation.actor
    return BulkRow(
        revocation.id,
        target.org_id,
        target.created_by,
        revocation.reason.value,
        revocation.previewed_at,
        revocation.keys,
        revocation.organizations,
        revocation.started_at,
        revocation.finished_at,
        *actor_values(actor),
        revocation.position,
        revocation.revoked,
        *(revocation.last or (None, None)),
    )


def actor_values(actor: Actor) -> tuple[str, str, str | None, str, str | None]:
    """Give the columns of an actor: issuer, subject, client, request, address."""
    return actor.issuer, actor.subject, actor.client_id, actor.origin.request_id, actor.origin.address


def bulk_revocation(decoding: Decoding, columns: Row) -> BulkRevocation:
    """Read a row of `bulk_revocations`."""
    row = BulkRow(*columns)

    def time(value: Any) -> Any:
        return None if value is None else decoding.time(value)

    return BulkRevocation(
        id=decoding.id(row.id),
        target=Target(org_id=_id(decoding, row.org_id), created_by=row.created_by),
        reason=RevocationReason(row.reason),
        previewed_at=decoding.time(row.previewed_at),
        keys=row.previewed_keys,
        organizations=row.previewed_organizations,
        actor=Actor(
            issuer=row.issuer,
            subject=row.subject,
            client_id=row.client_id,
            origin=Origin(request_id=row.request_id, address=row.address),
        ),
        started_at=time(row.started_at),
        finished_at=time(row.finished_at),
        position=decoding.id(row.position),
        revoked=row.revoked,
        last=None if row.last_key_id is None else (decoding.id(row.last_org_id), decoding.id(row.last_key_id)),
    )


def _id(decoding: Decoding, value: Any) -> UUID | None:
    return None if value is None else decoding.id(value)
