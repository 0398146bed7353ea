"""What operators read: any key by what is known of it, lists of all organizations, and the audit log of all."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from keywright.keys.format import digest
from keywright.keys.pair import parse_public
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.service.management.audit_log import Event, Origin
from keywright.service.management.management import Management, Page, page_in_parts
from keywright.service.management.ports import EventFilter, Found, KeyFilter, Link
from keywright.service.operator.ports import CountedOrganization, FoundKey, OperatorStore, StoredKey
from keywright.service.principal import Principal


class FoundBy(StrEnum):
    """By which text a key was found."""

    ID = "id"
    PUBLIC_KEY = "public_key"
    PRIVATE_KEY = "private_key"


class FoundByText(NamedTuple):
    """A key, by what it was found, and the pair that the text belongs to; None for an id."""

    by: FoundBy
    key: StoredKey
    secret: Secret | None


class Visit(NamedTuple):
    """A key, and the operator as it acts in the key's organization."""

    operator: Principal
    key: StoredKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """
    Reads the keys and events of all organizations, and revokes one key.

    The edge checks that the principal is an operator. Long reads take the turns of the operator's organization.
    """

    store: OperatorStore
    management: Management

    async def find(self, principal: Principal, text: str) -> FoundByText | None:
        """
        Find a key, a deleted one, too.

        Args:
            principal: The operator.
            text: A key's id, or the text of a public or private key, of a pair that has ended, too. A private key is
                hashed here and not kept.
        """
        reader, text = principal.organization.id, text.strip()
        if (key_id := _id(text)) is not None:
            found = await self.store.find_by_id(reader, key_id)
            return None if found is None else FoundByText(FoundBy.ID, found, None)
        if (public := parse_public(text)) is not None:
            pair = await self.store.find_by_public_key(reader, public.value)
            # The text of a pair has the brand and the environment, too.
            return _found(FoundBy.PUBLIC_KEY, pair if pair is not None and pair.secret.public_key == public else None)
        if not text.isascii():
            return None
        return _found(FoundBy.PRIVATE_KEY, await self.store.find_by_digest(reader, digest(text)))

    async def visit(self, principal: Principal, key_id: UUID) -> Visit | None:
        """Give a key by its id, a deleted one, too, and the operator in its organization."""
        found = await self.store.find_by_id(principal.organization.id, key_id)
        return None if found is None else Visit(principal.visiting(found.organization), found)

    async def revoke(
        self, principal: Principal, origin: Origin, key_id: UUID, reason: RevocationReason
    ) -> StoredKey | None:
        """Revoke a key of any organization, as `Management.revoke` does; None without such a key."""
        found = await self.visit(principal, key_id)
        if found is None:
            return None
        revoked = await self.management.revoke(found.operator, origin, key_id, reason)
        return None if revoked is None else StoredKey(organization=found.key.organization, api_key=revoked)

    async def keys_page(
        self, principal: Principal, *, limit: int, before: UUID | None, which: KeyFilter, org_id: UUID | None = None
    ) -> Page[StoredKey]:
        """Read keys newest first as `Management.list_page` does: of one organization, or of all."""
        if org_id is not None:
            return await self._keys_of(principal, org_id, limit, before, which)
        reader = principal.organization.id

        async def part(most: int, below: UUID | None) -> Found[StoredKey]:
            return await self.store.keys_of_all(reader, limit=most, before=below, which=which)

        return await page_in_parts(self.management.turns, reader, part, limit, before, lambda key: key.api_key.id)

    async def events_page(
        self, principal: Principal, *, limit: int, before: UUID | None, which: EventFilter, org_id: UUID | None = None
    ) -> Page[tuple[Event, Link | None]]:
        """Read events newest first as `Management.events_page` does: of one organization, or of all."""
        if org_id is not None:
            found = await self.organization(principal, org_id)
            if found is None:
                return Page([], None)
            visitor = principal.visiting(found.organization)
            return await self.management.events_page(visitor, limit=limit, before=before, which=which)
        reader = principal.organization.id

        async def part(most: int, below: UUID | None) -> Found[tuple[Event, Link | None]]:
            return await self.store.events_of_all(reader, limit=most, before=below, which=which)

        return await page_in_parts(self.management.turns, reader, part, limit, before, lambda found: found[0].id)

    async def organizations_page(
        self, principal: Principal, *, limit: int, before: UUID | None
    ) -> Page[CountedOrganization]:
        """Read organizations with their numbers of keys, in descending order of id."""
        reader = principal.organization.id
        async with self.management.turns.one(reader):
            found = [*await self.store.counted_organizations(reader, limit=limit + 1, before=before)]
        return Page(found[:limit], found[limit - 1].organization.id if len(found) > limit else None)

    async def organization(self, principal: Principal, org_id: UUID) -> CountedOrganization | None:
        """Read one organization."""
        return await self.store.counted_organization(principal.organization.id, org_id)

    async def organization_named(self, principal: Principal, external_id: str) -> CountedOrganization | None:
        """Read the organization with this id at the operator's issuer."""
        return await self.store.counted_organization_named(principal.organization.id, principal.issuer, external_id)

    async def _keys_of(
        self, principal: Principal, org_id: UUID, limit: int, before: UUID | None, which: KeyFilter
    ) -> Page[StoredKey]:
        found = await self.organization(principal, org_id)
        if found is None:
            return Page([], None)
        organization = found.organization
        page: Page[ApiKey] = await self.management.list_page(
            principal.visiting(organization), limit=limit, before=before, which=which
        )
        return Page([StoredKey(organization=organization, api_key=key) for key in page.items], page.next)


def _found(by: FoundBy, pair: FoundKey | None) -> FoundByText | None:
    return None if pair is None else FoundByText(by, pair.key, pair.secret)


def _id(text: str) -> UUID | None:
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None
