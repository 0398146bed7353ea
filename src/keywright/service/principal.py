"""Who is calling: the organization and the rights that a verified access token carries."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from uuid import NAMESPACE_URL, UUID, uuid5


class Permission(StrEnum):
    """What a token may allow its bearer to do."""

    CREATE = "create:api_keys"
    READ = "read:api_keys"
    UPDATE = "update:api_keys"
    REVOKE = "revoke:api_keys"
    DELETE = "delete:api_keys"
    VERIFY = "verify:api_keys"
    READ_EVENTS = "read:api_key_events"


class PermissionPolicy(StrEnum):
    """How permissions are read from a token; the setting `KEYWRIGHT_PERMISSIONS`."""

    AUTO = "auto"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant: the UUID under which its keys are kept, and the name its issuer knows it by."""

    id: UUID
    issuer: str
    external_id: str

    @classmethod
    def named(cls, issuer: str, external_id: str) -> Self:
        """
        Give the organization that *issuer* calls *external_id*.

        A canonical UUID stands for itself; any other name becomes `uuid5(uuid5(NAMESPACE_URL, issuer), name)`, so that
        every process derives the same id without asking anybody.
        """
        identifier = _canonical_uuid(external_id) or uuid5(uuid5(NAMESPACE_URL, issuer), external_id)
        return cls(identifier, issuer, external_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """
    The bearer of a verified access token.

    `granted` has the permissions that it is limited to; None stands for all that its organization may do. `scope` has
    the words of the token's `scope` claim.
    """

    issuer: str
    subject: str
    client_id: str | None
    organization: Organization
    granted: frozenset[str] | None
    scope: frozenset[str] = frozenset()

    def may(self, permission: Permission) -> bool:
        """Tell whether the token allows *permission*; checking keys is for services, and never goes without saying."""
        if self.granted is not None:
            return permission in self.granted
        return permission is not Permission.VERIFY or permission in self.scope


def granted(
    policy: PermissionPolicy, *, permissions: Iterable[str] | None, scope: Iterable[str]
) -> frozenset[str] | None:
    """
    Read the rights out of a token's claims.

    Args:
        policy: `auto`: a token with a `permissions` claim is held to it, one without may do all that its organization
            may. `enforce`: the right must be in `permissions`, or in `scope` where that claim is absent.
        permissions: Auth0's `permissions` claim, None where the token has none.
        scope: The words of the `scope` claim.
    """
    if permissions is not None:
        return frozenset(permissions)
    return frozenset(scope) if policy is PermissionPolicy.ENFORCE else None


def _canonical_uuid(text: str) -> UUID | None:
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None
