"""The export of all data of an organization."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from uuid import UUID

from keywright.service.management.audit_log import rfc3339
from keywright.service.operator.ports import CountedOrganization
from keywright.service.organization_data.ports import OrganizationDataStore, Part
from keywright.service.recovery.export import chain
from keywright.service.recovery.lines import KeptEvent, event_fields

ROWS_AT_ONCE: Final = 500

OF_A_KEY: Final = (Part.SECRETS, Part.USAGE, Part.REFUSALS, Part.SOURCES, Part.REFUSED_SOURCES)

Line = Mapping[str, Any]
"""JSON values by name; `type` says what the line is about."""


async def export(store: OrganizationDataStore, organization: CountedOrganization) -> AsyncIterator[Line]:
    """
    Give all data of an organization line by line; the memory does not grow with it.

    First the organization; then each key, a deleted one, too, followed by its pairs, usage and sources; then the
    revocations of many keys that name the organization; then its events, in the order of the chain. No line has a
    private key, its digest, or a sealed answer: nothing in it opens anything.

    Raises:
        StorageUnavailable: The database is unavailable.
    """
    yield _organization(organization)
    org_id = organization.organization.id
    # Deleted ones last, so that one which is deleted meanwhile is not missed.
    for part in (Part.KEYS, Part.DELETED_KEYS):
        async for key in rows(store, part, org_id):
            yield {**key, "type": Part.KEYS.value}
            async for line in _of_key(store, UUID(key["id"])):
                yield line
    for part in (Part.BULK_REVOCATIONS, Part.UNCHAINED_EVENTS):
        async for line in rows(store, part, org_id):
            yield line
    end, _ = await store.chain_end(org_id)
    async for kept in chain(store, org_id, 1, end):
        yield _event(kept)


async def _of_key(store: OrganizationDataStore, key_id: UUID) -> AsyncIterator[Line]:
    for part in OF_A_KEY:
        async for line in rows(store, part, key_id):
            yield line


async def rows(
    store: OrganizationDataStore, part: Part, owner: UUID, *, at_once: int = ROWS_AT_ONCE
) -> AsyncIterator[Line]:
    """
    Give a part line by line; see `OrganizationDataStore.data`.

    Args:
        at_once: How many are read together.
    """
    page = await store.data(part, owner, after=None, limit=at_once)
    while True:
        for row in page.rows:
            yield {"type": part.value, **row}
        if page.next is None:
            return
        page = await store.data(part, owner, after=page.next, limit=at_once)


def _organization(counted: CountedOrganization) -> Line:
    organization = counted.organization
    return {
        "type": "organization",
        "id": str(organization.id),
        "issuer": organization.issuer,
        "external_id": organization.external_id,
        "created_at": rfc3339(counted.created_at),
        "active_keys": counted.active_keys,
    }


def _event(kept: KeptEvent) -> Line:
    return {"type": "event", **event_fields(kept)}
