"""
The owners of organization ids: the issuer and external id that are stored with an id. A stored row never changes.

Where tenants choose the value of the organization claim, the claim alone must not decide whose keys a token reaches.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from keywright.service.faults import OrganizationConflict
from keywright.service.ports import Authenticator
from keywright.service.principal import Organization, Principal
from keywright.service.turns import Turns

DEFAULT_CAPACITY = 10_000


class OrganizationStore(Protocol):
    """The port to the stored organizations. An adapter promises every sentence written here."""

    async def organizations_like(self, claimed: Organization) -> Sequence[Organization]:
        """
        Give the stored organizations that have the id of *claimed*, or its issuer and external id: at most two.

        Raises:
            StorageUnavailable: The database is unavailable.
        """
        ...

    async def self_named_organizations(self, *, limit: int) -> Sequence[Organization]:
        """
        Give up to *limit* organizations whose id is of version 5 and the same UUID as their external id.

        Versions before 0.2 took such a claim as it stands: it may be the derived id of another organization.

        Raises:
            StorageUnavailable: The database is unavailable.
        """
        ...


class Organizations:
    """
    Finds the organization of a token by its stored row.

    Rows never change, so those that were found are cached. An organization without a row is looked up every time: its
    row can be made at any moment, by any process, and for another owner of the same id.

    Args:
        store: Where organizations are stored.
        capacity: The most cached organizations, at least 1; a full cache drops its oldest entry.
        turns: Of the look-ups of each organization; None for any number at once.
    """

    def __init__(
        self, store: OrganizationStore, *, capacity: int = DEFAULT_CAPACITY, turns: Turns | None = None
    ) -> None:
        self._store = store
        self._capacity = capacity
        self._turns = turns
        self._known: dict[tuple[str, str], Organization] = {}

    def known(self, claimed: Organization) -> Organization | None:
        """Give what `find` would, where it is cached."""
        return self._known.get((claimed.issuer, claimed.external_id))

    async def find(self, claimed: Organization) -> Organization:
        """
        Give the stored organization with the issuer and external id of *claimed*, or *claimed* itself without a row.

        A row from an earlier version can have another id than a claim has now; the row decides.

        Raises:
            OrganizationConflict: The id of *claimed* is stored for another issuer or external id.
            Overloaded: The organization is not cached, and too many look-ups of it wait.
            StorageUnavailable: The organization is not cached, and the database is unavailable.
        """
        if (known := self.known(claimed)) is not None:
            return known
        if self._turns is None:
            return await self._look_up(claimed)
        async with self._turns.one(claimed.id.int):
            # Perhaps found by one that had its turn before.
            return self._known.get(_name(claimed)) or await self._look_up(claimed)

    async def _look_up(self, claimed: Organization) -> Organization:
        stored = _stored(claimed, await self._store.organizations_like(claimed))
        if stored is None:
            return claimed
        while len(self._known) >= self._capacity:
            del self._known[next(iter(self._known))]
        self._known[_name(claimed)] = stored
        return stored


class TenantAuthenticator:
    """
    Verifies access tokens, and finds their organizations by the stored rows. Implements `service.ports.Authenticator`.

    Args:
        authenticator: Verifies the tokens; its principals have the organizations that the tokens claim.
        organizations: Finds the stored ones.
    """

    def __init__(self, authenticator: Authenticator, organizations: Organizations) -> None:
        self._authenticator = authenticator
        self._organizations = organizations

    async def authenticate(self, token: str) -> Principal:
        """
        See `Authenticator.authenticate`.

        Raises:
            OrganizationConflict: Another organization owns the id that the token claims.
            StorageUnavailable: The organization is not cached, and the database is unavailable.
        """
        principal = await self._authenticator.authenticate(token)
        claimed = principal.organization
        organization = self._organizations.known(claimed) or await self._organizations.find(claimed)
        return principal if organization == claimed else replace(principal, organization=organization)


def _stored(claimed: Organization, found: Sequence[Organization]) -> Organization | None:
    for stored in found:
        if _name(stored) == _name(claimed):
            return stored
    # What is left has the id: at most one.
    if found and not claimed.owns(found[0]):
        raise OrganizationConflict(str(claimed.id))
    return found[0] if found else None


def _name(organization: Organization) -> tuple[str, str]:
    return organization.issuer, organization.external_id
