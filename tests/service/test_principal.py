"""Organisations, permissions and how they are read."""

from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.service.principal import Organization, Permission, PermissionPolicy, Principal, granted

ISSUER = "https://issuer.example/"
VERSION_5 = "6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21"


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21", UUID("6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21")),
        ("6F1F2C1E-3A8E-4B0F-8A43-0F6F5C1E9D21", UUID("6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21")),
        ("00000000-0000-0000-0000-000000000000", UUID(int=0)),
        # A derived id would be of this version.
        (VERSION_5, uuid5(uuid5(NAMESPACE_URL, ISSUER), VERSION_5)),
        ("org_1234567890abcdef", uuid5(uuid5(NAMESPACE_URL, ISSUER), "org_1234567890abcdef")),
        # Not the canonical form of a UUID, so a name like any other.
        ("6f1f2c1e3a8e4b0f8a430f6f5c1e9d21", uuid5(uuid5(NAMESPACE_URL, ISSUER), "6f1f2c1e3a8e4b0f8a430f6f5c1e9d21")),
    ],
)
def test_organization_id(name: str, id_: UUID) -> None:
    """A canonical UUID but those of version 5 stands for itself; any other name is derived, the same everywhere."""
    organization = Organization.named(ISSUER, name)
    assert organization == Organization(id_, ISSUER, name.lower())


@given(name=st.text(max_size=20) | st.uuids().map(str), foreign=st.booleans())
def test_no_claim_names_a_derived_id(name: str, foreign: bool) -> None:
    """A claim with the text of an organization's id has that id only if the organization's own claim is that text."""
    organization = Organization.named("https://other.example/" if foreign else ISSUER, name)
    claimed = Organization.named(ISSUER, str(organization.id))
    assert (claimed.id == organization.id) == (organization.external_id == str(organization.id))


@pytest.mark.parametrize("text", ["org_1", "6f1f2c1e3a8e5b0f8a430f6f5c1e9d21", ""])
def test_organization_that_must_be_a_uuid(text: str) -> None:
    """Only canonical UUIDs are taken where ids must be UUIDs, and all versions of them."""
    assert Organization.of_uuid(ISSUER, text) is None
    assert Organization.of_uuid(ISSUER, VERSION_5.upper()) == Organization(UUID(VERSION_5), ISSUER, VERSION_5)


def test_the_same_name_at_another_issuer_is_another_organization() -> None:
    """Two issuers cannot reach each other's organisations by choosing the same name."""
    assert Organization.named(ISSUER, "org_1").id != Organization.named("https://other.example/", "org_1").id


@pytest.mark.parametrize(
    ("policy", "permissions", "scope", "result"),
    [
        (PermissionPolicy.AUTO, None, ["openid"], None),
        (PermissionPolicy.AUTO, None, ["openid", "read:api_keys"], frozenset({"openid", "read:api_keys"})),
        (PermissionPolicy.AUTO, None, ["verify:api_keys"], frozenset({"verify:api_keys"})),
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
    """A permissions claim always limits the token; without one `auto` reads a scope that names one of them."""
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
    ("rights", "allowed"), [(None, False), (frozenset(), False), (frozenset({"verify:api_keys"}), True)]
)
def test_checking_keys_never_goes_without_saying(rights: frozenset[str] | None, allowed: bool) -> None:
    """A token without limits may do everything but verify keys."""
    principal = Principal(
        issuer=ISSUER, subject="s", client_id=None, organization=Organization.named(ISSUER, "o"), granted=rights
    )
    assert principal.may(Permission.VERIFY) is allowed


@pytest.mark.parametrize(
    ("grantable", "lacking"),
    [
        (None, ()),
        ((), ("reports:read", "orders:*")),
        (("reports:read",), ("orders:*",)),
        (("*:read", "orders:write"), ("orders:*",)),
        (("reports:read", "orders:*"), ()),
        (("*:*",), ()),
    ],
)
def test_not_grantable(grantable: tuple[str, ...] | None, lacking: tuple[str, ...]) -> None:
    """A token gives the scopes that its own grant, and a wildcard only if it has one at least as wide."""
    principal = Principal(
        issuer=ISSUER,
        subject="s",
        client_id=None,
        organization=Organization.named(ISSUER, "o"),
        granted=None,
        grantable=grantable,
    )
    assert principal.not_grantable(("reports:read", "orders:*")) == lacking


def test_operating_is_never_implied() -> None:
    """Neither an unlimited token nor one whose granted permissions name it may operate; the flag alone decides."""
    organization = Organization.named(ISSUER, "org_1")
    for granted_, operates in (
        (None, False),
        (frozenset({"operate:api_keys"}), False),
        (frozenset(Permission), False),
        (frozenset[str](), True),
    ):
        principal = Principal(
            issuer=ISSUER,
            subject="s",
            client_id=None,
            organization=organization,
            granted=granted_,
            operates=operates,
        )
        assert principal.may(Permission.OPERATE) is operates
        # In the organization of the operator, and where there is one.
        assert principal.is_operator(organization.external_id) is operates
        assert not principal.is_operator("org_another")
        assert not principal.is_operator(None)


@pytest.mark.parametrize(
    ("own", "text", "same"),
    [
        ("org_1", "org_1", True),
        ("org_1", "ORG_1", False),
        ("6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21", "6F1F2C1E-3A8E-4B0F-8A43-0F6F5C1E9D21", True),
        (VERSION_5, VERSION_5.upper(), True),
        (VERSION_5, str(Organization.named(ISSUER, VERSION_5).id), False),
    ],
)
def test_external_ids(own: str, text: str, same: bool) -> None:
    """A name has to be the same letter by letter, a UUID in any case; a derived id is no name."""
    assert Organization.named(ISSUER, own).has_external_id(text) is same
