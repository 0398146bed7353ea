"""The principal of a request: the organization and the permissions of a verified access token."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self
from uuid import NAMESPACE_URL, UUID, uuid5

from keywright.keys.scopes import missing

_DERIVED = 5
"""The version of the UUIDs that are derived from names (RFC 9562, section 5.5)."""


class Permission(StrEnum):
    """A permission, as the claims of a token name it."""

    CREATE = "create:api_keys"
    READ = "read:api_keys"
    UPDATE = "update:api_keys"
    REVOKE = "revoke:api_keys"
    DELETE = "delete:api_keys"
    VERIFY = "verify:api_keys"
    READ_EVENTS = "read:api_key_events"
    OPERATE = "operate:api_keys"
    """All organizations, in tokens of the operator's own; counted only from the claim `permissions`."""


ENDS = frozenset({Permission.REVOKE, Permission.DELETE})
"""The permissions for changes after which a key never works again."""

CHANGES = ENDS | {Permission.CREATE, Permission.UPDATE}
"""The permissions for changes."""


class OrganizationFormat(StrEnum):
    """Which organization claims are accepted; the setting `KEYWRIGHT_ORG_CLAIM_FORMAT`."""

    AUTO = "auto"
    UUID = "uuid"


class PermissionPolicy(StrEnum):
    """How permissions are read from a token; the setting `KEYWRIGHT_PERMISSIONS`."""

    AUTO = "auto"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant: the UUID of its rows, and its issuer with the id that the issuer gave it."""

    id: UUID
    issuer: str
    external_id: str

    @classmethod
    def named(cls, issuer: str, external_id: str) -> Self:
        """
        Give the organization with the id *external_id* at *issuer*.

        A canonical UUID of any version but 5 is kept; any other id, a UUID of version 5 included, becomes
        `uuid5(uuid5(NAMESPACE_URL, issuer), external_id)`, so that every process derives the same UUID without a
        look-up. A derived id is always of version 5: no external id can name it.
        """
        value = _canonical_uuid(external_id)
        if value is None or value.version == _DERIVED:
            return cls(uuid5(uuid5(NAMESPACE_URL, issuer), external_id), issuer, external_id)
        return cls(value, issuer, str(value))

    @classmethod
    def of_uuid(cls, issuer: str, external_id: str) -> Self | None:
        """Give the organization whose id is the canonical UUID *external_id*, of any version; None for other text."""
        value = _canonical_uuid(external_id)
        return None if value is None else cls(value, issuer, str(value))

    def has_external_id(self, external_id: str) -> bool:
        """Return whether the issuer calls it *external_id*; a UUID may be spelled in another case."""
        if _canonical_uuid(external_id) is None:
            return self.external_id == external_id
        return self.external_id.lower() == external_id.lower()

    def owns(self, stored: Self) -> bool:
        """Return whether the *stored* organization with this id is this one; a UUID may be spelled in another case."""
        return self.issuer == stored.issuer and self.external_id.lower() == stored.external_id.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """
    The bearer of a verified access token.

    `granted` are the permissions of the token; None for all permissions but `verify:api_keys`. `grantable` are the
    scopes that it may give to keys, wildcards included; None for any. `operates` tells whether its `permissions` claim
    names `operate:api_keys`. `is_visiting` is true of an operator in another organization, see `visiting`.
    """

    issuer: str
    subject: str
    client_id: str | None
    organization: Organization
    granted: frozenset[str] | None
    grantable: tuple[str, ...] | None = None
    operates: bool = False
    is_visiting: bool = False

    def may(self, permission: Permission) -> bool:
        """
        Return whether the token has *permission*.

        `verify:api_keys` is for services and must always be explicit. `operate:api_keys` counts from `operates` alone.
        """
        if permission is Permission.OPERATE:
            return self.operates
        if self.granted is not None:
            return permission in self.granted
        return permission is not Permission.VERIFY

    def is_operator(self, own: str | None) -> bool:
        """Return whether it operates, in the organization that its issuer calls *own*; nobody does for None."""
        return own is not None and self.operates and self.organization.has_external_id(own)

    def visiting(self, organization: Organization) -> Self:
        """Give this operator as it acts on the keys of *organization*: the events of its acts say so."""
        return replace(self, organization=organization, is_visiting=True)

    def not_grantable(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """List those of *scopes* that the token may not give to a key, in their order."""
        return () if self.grantable is None else tuple(missing(self.grantable, scopes))


def granted(
    policy: PermissionPolicy, *, permissions: Iterable[str] | None, scope: Iterable[str]
) -> frozenset[str] | None:
    """
    Read the permissions from the claims of a token.

    Args:
        policy: `auto`: the `permissions` claim limits a token; without the claim, a `scope` with any `Permission` does;
            without either it is not limited. `enforce`: the permission must be in `permissions`, or in `scope` where
            that claim is absent.
        permissions: Auth0's `permissions` claim; None where the token has none.
        scope: The values of the `scope` claim.

    Returns:
        The permissions that limit the token; None where none do.
    """
    if permissions is not None:
        return frozenset(permissions)
    named = frozenset(scope)
    return named if policy is PermissionPolicy.ENFORCE or not named.isdisjoint(Permission) else None


def _canonical_uuid(text: str) -> UUID | None:
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None
