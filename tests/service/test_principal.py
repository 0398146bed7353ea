"""Organisations, permissions and how they are read."""

from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from keywright.service.principal import Organization, Permission, PermissionPolicy, Principal, granted

ISSUER = "https://issuer.example/"


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21", UUID("6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21")),
        ("6F1F2C1E-3A8E-4B0F-8A43-0F6F5C1E9D21", UUID("6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21")),
        ("org_1234567890abcdef", uuid5(uuid5(NAMESPACE_URL, ISSUER), "org_1234567890abcdef")),
        # Not the canonical form of a UUID, so a name like any other.
        ("6f1f2c1e3a8e4b0f8a430f6f5c1e9d21", uuid5(uuid5(NAMESPACE_URL, ISSUER), "6f1f2c1e3a8e4b0f8a430f6f5c1e9d21")),
    ],
)
def test_organization_id(name: str, id_: UUID) -> None:
    """A canonical UUID stands for itself; any other name is derived, the same in every process."""
    assert Organization.named(ISSUER, name) == Organization(id_, ISSUER, name)


def test_the_same_name_at_another_issuer_is_another_organization() -> None:
    """Two issuers cannot reach each other's organisations by choosing the same name."""
    assert Organization.named(ISSUER, "org_1").id != Organization.named("https://other.example/", "org_1").id


@pytest.mark.parametrize(
    ("policy", "permissions", "scope", "result"),
    [
        (PermissionPolicy.AUTO, None, ["openid"], None),
        (PermissionPolicy.AUTO, [], [], frozenset()),
        (PermissionPolicy.AUTO, ["read:api_keys"], ["create:api_keys"], frozenset({"read:api_keys"})),
        (PermissionPolicy.ENFORCE, None, ["read:api_keys"], frozenset({"read:api_keys"})),
        (PermissionPolicy.ENFORCE, None, [], frozenset()),
        (PermissionPolicy.ENFORCE, [], ["read:api_keys"], frozenset()),
    ],
)
def test_granted(
    policy: PermissionPolicy, permissions: list[str] | None, scope: list[str], result: frozenset[str] | None
) -> None:
    """A permissions claim always limits the token; without one `auto` allows all and `enforce` reads the scope."""
    assert granted(policy, permissions=permissions, scope=scope) == result


@pytest.mark.parametrize(
    ("rights", "allowed"), [(None, True), (frozenset({"create:api_keys"}), True), (frozenset({"read:api_keys"}), False)]
)
def test_may(rights: frozenset[str] | None, allowed: bool) -> None:
    """A principal has the permissions that it was granted, and all of them when no claim limits it."""
    principal = Principal(
        issuer=ISSUER, subject="s", client_id=None, organization=Organization.named(ISSUER, "o"), granted=rights
    )
    assert principal.may(Permission.CREATE) is allowed


@pytest.mark.parametrize(
    ("rights", "scope", "allowed"),
    [
        (None, frozenset(), False),
        (None, frozenset({"verify:api_keys"}), True),
        (frozenset(), frozenset({"verify:api_keys"}), False),
        (frozenset({"verify:api_keys"}), frozenset(), True),
    ],
)
def test_checking_keys_never_goes_without_saying(
    rights: frozenset[str] | None, scope: frozenset[str], allowed: bool
) -> None:
    """A token without limits may do everything but verify keys, which its scope must name."""
    principal = Principal(
        issuer=ISSUER,
        subject="s",
        client_id=None,
        organization=Organization.named(ISSUER, "o"),
        granted=rights,
        scope=scope,
    )
    assert principal.may(Permission.VERIFY) is allowed
