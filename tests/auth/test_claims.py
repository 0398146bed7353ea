"""What the claims of a correctly signed token lead to, seen through `AccessTokens.authenticate`."""

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from keywright.auth.access_token import AccessTokens
from keywright.service.faults import InvalidToken, OrganizationRequired
from keywright.service.principal import Organization, OrganizationFormat, Permission, PermissionPolicy
from tests.auth.conftest import MakeAccessTokens
from tests.auth.issuer import AUDIENCE, ISSUER, NOW, Issuer, claims, dumps

LONG = "x" * 256
GOOD = dumps(claims()).decode()


def raw(member: str) -> str:
    """The text of a good payload with one more member, exactly as written here."""
    return GOOD[:-1] + "," + member + "}"


HOSTILE_TEXT = {
    "not JSON": "claims",
    "empty": "",
    "list": "[]",
    "string": '"claims"',
    "sub twice": raw('"sub":"auth0|other"'),
    "org_id twice": raw('"org_id":"org_other"'),
    "exp twice, once escaped": raw('"e\\u0078p":99999999999'),
    "a name twice, deep": raw('"x":[{"a":1,"a":2}]'),
    "byte order mark": "\ufeff" + GOOD,
    "NaN": raw('"x":NaN'),
    "Infinity": raw('"x":Infinity'),
    "1e400": raw('"x":1e400'),
    "5 000 digits": raw('"x":' + "1" * 5000),
    "deep": raw('"x":' + "[" * 16 + "]" * 16),
    "depth bomb": raw('"x":' + "[" * 9000),
    "lone surrogate": raw('"x":"\\ud800"'),
    "lone surrogate in a name": raw('"\\udc00":1'),
    "surrogates the wrong way round": raw('"x":"\\udc00\\ud800"'),
    "NUL": raw('"x":"a\\u0000"'),
    "trailing text": GOOD + "x",
}

HOSTILE: dict[str, dict[str, Any]] = {
    "iss absent": {"iss": None},
    "iss without slash": {"iss": ISSUER[:-1]},
    "iss with two slashes": {"iss": ISSUER + "/"},
    "iss in capitals": {"iss": ISSUER.upper()},
    "iss http": {"iss": ISSUER.replace("https", "http")},
    "iss of another tenant": {"iss": "https://evil.eu.auth0.com/"},
    "iss list": {"iss": [ISSUER]},
    "iss number": {"iss": 1},
    "aud absent": {"aud": None},
    "aud other": {"aud": "https://other.example"},
    "aud empty": {"aud": ""},
    "aud with slash": {"aud": AUDIENCE + "/"},
    "aud prefix": {"aud": AUDIENCE[:-1]},
    "aud in capitals": {"aud": AUDIENCE.upper()},
    "aud space separated": {"aud": f"{AUDIENCE} https://other.example"},
    "aud empty list": {"aud": []},
    "aud list without ours": {"aud": ["https://other.example"]},
    "aud number": {"aud": 7},
    "aud boolean": {"aud": True},
    "aud object": {"aud": {AUDIENCE: True}},
    "aud nested": {"aud": [[AUDIENCE]]},
    "aud list with a number": {"aud": [AUDIENCE, 7]},
    "aud list with null": {"aud": [AUDIENCE, None]},
    "exp absent": {"exp": None},
    "exp past": {"exp": NOW - 5},
    "exp long past": {"exp": 0},
    "exp negative": {"exp": -1},
    "exp boolean": {"exp": True},
    "exp string": {"exp": str(NOW + 100)},
    "exp date": {"exp": "2099-01-01T00:00:00Z"},
    "exp list": {"exp": [NOW + 100]},
    "exp object": {"exp": {}},
    "exp 2^53": {"exp": 2**53},
    "exp huge": {"exp": 10**400},
    "exp 1e300": {"exp": 1e300},
    "exp -1e300": {"exp": -1e300},
    "nbf future": {"nbf": NOW + 6},
    "nbf boolean": {"nbf": False},
    "nbf string": {"nbf": "0"},
    "nbf huge": {"nbf": 2**53},
    "nbf negative huge": {"nbf": -(2**53)},
    "iat absent": {"iat": None},
    "iat future": {"iat": NOW + 61},
    "iat boolean": {"iat": True},
    "iat string": {"iat": str(NOW)},
    "iat huge": {"iat": -(2**53)},
    "sub absent": {"sub": None},
    "sub empty": {"sub": ""},
    "sub number": {"sub": 7},
    "sub list": {"sub": ["auth0|x"]},
    "sub too long": {"sub": LONG},
    "sub with newline": {"sub": "auth0|x\n"},
    "sub with DEL": {"sub": "auth0|\x7f"},
    "sub with C1 control": {"sub": "auth0|\x9b31m"},
    "cnf": {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
    "cnf empty": {"cnf": {}},
    "cnf false": {"cnf": False},
    "azp number": {"azp": 7},
    "azp empty": {"azp": ""},
    "azp too long": {"azp": LONG},
    "azp with control": {"azp": "client\x1b[31m"},
    "client_id list": {"azp": None, "client_id": ["x"]},
    "client_id too long": {"azp": None, "client_id": LONG},
    "org_id number": {"org_id": 7},
    "org_id zero": {"org_id": 0},
    "org_id false": {"org_id": False},
    "org_id list": {"org_id": []},
    "org_id object": {"org_id": {"id": "org_x"}},
    "org_id too long": {"org_id": LONG},
    "org_id with newline": {"org_id": "org_x\n"},
    "org_id with tab": {"org_id": "\t"},
    "permissions string": {"permissions": "create:api_keys"},
    "permissions object": {"permissions": {"create:api_keys": True}},
    "permissions false": {"permissions": False},
    "permissions with number": {"permissions": ["create:api_keys", 7]},
    "permissions nested": {"permissions": [["create:api_keys"]]},
    "scope list": {"scope": ["create:api_keys"]},
    "scope number": {"scope": 7},
}


@pytest.mark.parametrize("text", HOSTILE_TEXT.values(), ids=HOSTILE_TEXT)
async def test_hostile_payload(issuer: Issuer, access_tokens: AccessTokens, text: str) -> None:
    """A payload that is not strict JSON is refused although its signature is right."""
    with pytest.raises(InvalidToken) as refusal:
        await access_tokens.authenticate(issuer.sign(dumps(issuer.header()), text.encode()))
    assert refusal.value.reason.startswith("The payload of the token is refused: ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
async def test_payload_of_another_encoding(issuer: Issuer, access_tokens: AccessTokens, encoding: str) -> None:
    """A payload that is not UTF-8 is refused."""
    payload = raw('"x":"é"').encode(encoding)
    with pytest.raises(InvalidToken):
        await access_tokens.authenticate(issuer.sign(dumps(issuer.header()), payload))


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_claims(issuer: Issuer, access_tokens: AccessTokens, changes: dict[str, Any]) -> None:
    """A claim that is missing, malformed or not meant for us is refused, in text that may stand in a header."""
    with pytest.raises(InvalidToken) as refusal:
        await access_tokens.authenticate(issuer.token(claims(**changes)))
    reason = refusal.value.reason
    assert reason.isascii()
    assert reason.isprintable()
    assert not set(reason) & set("\"'\\")


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "nbf", "iat", "sub", "cnf", "azp", "permissions", "scope"])
async def test_null_is_not_absent(issuer: Issuer, access_tokens: AccessTokens, name: str) -> None:
    """A claim that is null is malformed, not left out."""
    with pytest.raises(InvalidToken):
        await access_tokens.authenticate(issuer.token(claims() | {name: None}))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": AUDIENCE},
        {"aud": ["https://other.example", AUDIENCE]},
        {"exp": NOW - 4},
        {"exp": NOW + 0.5},
        {"exp": 2**53 - 1},
        {"exp": float(NOW + 100)},
        {"nbf": NOW + 5},
        {"nbf": 0},
        {"iat": NOW + 60},
        {"iat": 0},
        {"iat": -1.5},
        {"sub": "x" * 255},
        {"sub": "my_client@clients"},
        {"sub": "Zoë ☃ \U0001f600"},
        {"org_id": "x" * 255},
        {"scope": None},
        {"scope": ""},
        {"permissions": []},
        {"azp": None},
        {"jti": "x", "gty": "client-credentials", "https://acme.example/roles": ["admin"]},
    ],
)
async def test_good_claims(issuer: Issuer, access_tokens: AccessTokens, changes: dict[str, Any]) -> None:
    """What the rules allow is accepted, to the second and the character."""
    principal = await access_tokens.authenticate(issuer.token(claims(**changes)))
    assert principal.subject == changes.get("sub", "auth0|5f7c8ec7c33c6c004bbafe82")


@pytest.mark.parametrize("payload", [claims(org_id=None), claims() | {"org_id": None}, claims(org_id="")])
async def test_no_organization(issuer: Issuer, access_tokens: AccessTokens, payload: dict[str, Any]) -> None:
    """A good token whose organization is absent, null or empty has an error of its own."""
    with pytest.raises(OrganizationRequired):
        await access_tokens.authenticate(issuer.token(payload))


async def test_no_organization_in_an_expired_token(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """A bad token without an organization is refused as a bad token."""
    with pytest.raises(InvalidToken):
        await access_tokens.authenticate(issuer.token(claims(org_id=None, exp=NOW - 60)))


async def test_organization_of_auth0(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """An organization that is no UUID gets the id that the contract derives from issuer and name."""
    organization = (await access_tokens.authenticate(issuer.token())).organization
    assert organization.id == uuid5(uuid5(NAMESPACE_URL, ISSUER), "org_9ybsU1dN2dKfDkBi")
    assert organization.issuer == ISSUER
    assert organization.external_id == "org_9ybsU1dN2dKfDkBi"


async def test_organization_that_is_a_uuid(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """An organization that is a UUID of another version than 5 stands for itself."""
    text = "5b0ddfd6-3bb5-4d57-9b0e-0a4de6d4a1b4"
    principal = await access_tokens.authenticate(issuer.token(claims(org_id=text)))
    assert principal.organization.id == UUID(text)


async def test_organization_that_is_a_derived_uuid(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """A claim with another organization's derived id gets an id of its own."""
    derived = (await access_tokens.authenticate(issuer.token())).organization.id
    claimed = (await access_tokens.authenticate(issuer.token(claims(org_id=str(derived))))).organization
    assert claimed.id == uuid5(uuid5(NAMESPACE_URL, ISSUER), str(derived))


async def test_organizations_that_are_uuids_only(issuer: Issuer, make_access_tokens: MakeAccessTokens) -> None:
    """With the format `uuid` every UUID is the id, and any other claim is refused."""
    access_tokens = make_access_tokens(org_format=OrganizationFormat.UUID)
    derived = str(uuid5(NAMESPACE_URL, ISSUER))
    principal = await access_tokens.authenticate(issuer.token(claims(org_id=derived.upper())))
    assert principal.organization == Organization(UUID(derived), ISSUER, derived)
    with pytest.raises(InvalidToken, match="UUID"):
        await access_tokens.authenticate(issuer.token())


@pytest.mark.parametrize(
    ("value", "grantable"),
    [
        (["reports:read", "orders:*"], ("reports:read", "orders:*")),
        ("reports:read orders:*", ("reports:read", "orders:*")),
        ("openid  reports:read", ("reports:read",)),
        (["", "no scope", "reports:read"], ("reports:read",)),
        (None, ()),
    ],
)
async def test_grantable_scopes(
    issuer: Issuer, make_access_tokens: MakeAccessTokens, value: Any, grantable: tuple[str, ...]
) -> None:
    """The named claim limits the scopes that a token may give; a token without it may give none."""
    access_tokens = make_access_tokens(grantable_claim="https://acme.example/grantable")
    changes = {"https://acme.example/grantable": value}
    assert (await access_tokens.authenticate(issuer.token(claims(**changes)))).grantable == grantable


@pytest.mark.parametrize("value", [7, {}, [7], [None], True])
async def test_malformed_grantable_scopes(issuer: Issuer, make_access_tokens: MakeAccessTokens, value: Any) -> None:
    """A claim that is neither a text nor an array of texts refuses the token."""
    with pytest.raises(InvalidToken, match="grantable"):
        await make_access_tokens(grantable_claim="g").authenticate(issuer.token(claims(g=value)))


async def test_any_scope_without_the_setting(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """Without the setting a token may give any scope."""
    assert (await access_tokens.authenticate(issuer.token())).grantable is None


@pytest.mark.parametrize(
    "changes", [{"nonce": "n-0S6_WzA2Mj"}, {"at_hash": "x"}, {"token_use": "id"}, {"events": {}}, {"nonce": ""}]
)
async def test_tokens_of_other_kinds(issuer: Issuer, access_tokens: AccessTokens, changes: dict[str, Any]) -> None:
    """ID tokens and security events of the same issuer are refused, even with our audience."""
    with pytest.raises(InvalidToken, match="Send an access token"):
        await access_tokens.authenticate(issuer.token(claims(**changes)))


async def test_access_token_of_cognito(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """A token that says that it is an access token is accepted."""
    assert (await access_tokens.authenticate(issuer.token(claims(token_use="access")))).subject


async def test_namespaced_organization_claim(issuer: Issuer, make_access_tokens: MakeAccessTokens) -> None:
    """With another claim configured, that one counts and `org_id` does not."""
    name = "https://acme.example/org_id"
    access_tokens = make_access_tokens(org_claim=name)
    principal = await access_tokens.authenticate(issuer.token(claims(**{name: "acme"})))
    assert principal.organization.external_id == "acme"
    with pytest.raises(OrganizationRequired):
        await access_tokens.authenticate(issuer.token())


@pytest.mark.parametrize(
    ("changes", "client_id"),
    [
        ({}, "my_client_id_123"),
        ({"client_id": "other"}, "my_client_id_123"),
        ({"azp": None, "client_id": "other"}, "other"),
        ({"azp": None}, None),
    ],
)
async def test_client(
    issuer: Issuer, access_tokens: AccessTokens, changes: dict[str, Any], client_id: str | None
) -> None:
    """The client is `azp`, or else `client_id`, or None."""
    assert (await access_tokens.authenticate(issuer.token(claims(**changes)))).client_id == client_id


@pytest.mark.parametrize(
    ("policy", "changes", "may_create"),
    [
        (PermissionPolicy.AUTO, {}, True),
        (PermissionPolicy.AUTO, {"permissions": []}, False),
        (PermissionPolicy.AUTO, {"permissions": ["read:api_keys"], "scope": "create:api_keys"}, False),
        (PermissionPolicy.AUTO, {"permissions": None}, True),
        (PermissionPolicy.AUTO, {"permissions": None, "scope": "openid read:api_keys"}, False),
        (PermissionPolicy.AUTO, {"permissions": None, "scope": "openid create:api_keys"}, True),
        (PermissionPolicy.AUTO, {"permissions": None, "scope": "openid read:orders"}, True),
        (PermissionPolicy.ENFORCE, {}, True),
        (PermissionPolicy.ENFORCE, {"permissions": None}, False),
        (PermissionPolicy.ENFORCE, {"permissions": None, "scope": None}, False),
        (PermissionPolicy.ENFORCE, {"permissions": None, "scope": "read:api_keys  create:api_keys"}, True),
        (PermissionPolicy.ENFORCE, {"permissions": None, "scope": "xcreate:api_keys"}, False),
        (PermissionPolicy.ENFORCE, {"permissions": None, "scope": "read:api_keys\tcreate:api_keys"}, False),
        (PermissionPolicy.ENFORCE, {"permissions": [], "scope": "create:api_keys"}, False),
    ],
)
async def test_permissions(
    issuer: Issuer,
    make_access_tokens: MakeAccessTokens,
    policy: PermissionPolicy,
    changes: dict[str, Any],
    may_create: bool,
) -> None:
    """Permissions come from `permissions`, or from a `scope` that names one or must, or from being a token at all."""
    principal = await make_access_tokens(permissions=policy).authenticate(issuer.token(claims(**changes)))
    assert principal.may(Permission.CREATE) is may_create


@pytest.mark.parametrize("policy", PermissionPolicy)
@pytest.mark.parametrize(
    ("changed", "operates"),
    [
        ({"permissions": ["operate:api_keys"]}, True),
        ({"permissions": ["read:api_keys"], "scope": "operate:api_keys"}, False),
        ({"permissions": [], "scope": "operate:api_keys"}, False),
        ({"scope": "operate:api_keys"}, False),
        ({}, False),
    ],
)
async def test_operators(
    policy: PermissionPolicy,
    changed: dict[str, Any],
    operates: bool,
    issuer: Issuer,
    make_access_tokens: MakeAccessTokens,
) -> None:
    """`operate:api_keys` counts from the claim `permissions` alone, whatever the policy is and the scope says."""
    principal = await make_access_tokens(permissions=policy).authenticate(issuer.token(claims(**changed)))
    assert principal.may(Permission.OPERATE) is operates
