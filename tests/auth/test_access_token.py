"""The authenticator: the order of its checks, its look-ups of keys, and its cache."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.auth.access_token import AccessTokens, VerifiedTokens
from keywright.service.faults import AuthUnavailable, InvalidToken, OrganizationRequired
from keywright.service.ports import Authenticator
from keywright.service.principal import Organization, Principal
from tests.auth.conftest import MakeAccessTokens
from tests.auth.fakes import FakeKeys
from tests.auth.issuer import AUDIENCE, ISSUER, NOW, Issuer, b64, claims, dumps


class FakeClock:
    def __init__(self) -> None:
        self.now: float = NOW

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


async def test_auth0_token(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """A token of the shape that Auth0 gives is accepted and read completely."""
    authenticator: Authenticator = access_tokens
    assert await authenticator.authenticate(issuer.token()) == Principal(
        issuer=ISSUER,
        subject="auth0|5f7c8ec7c33c6c004bbafe82",
        client_id="my_client_id_123",
        organization=Organization.named(ISSUER, "org_9ybsU1dN2dKfDkBi"),
        granted=frozenset({"create:api_keys", "read:api_keys"}),
    )


async def test_rfc_9068_token(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """A token of the shape that RFC 9068 and certified providers give is accepted."""
    payload = claims(aud=AUDIENCE, azp=None, client_id="web", permissions=None, jti="a1", nbf=NOW)
    principal = await access_tokens.authenticate(issuer.token(payload, typ="at+jwt"))
    assert principal.client_id == "web"
    assert principal.granted is None


async def test_forged(access_tokens: AccessTokens, other_issuer: Issuer) -> None:
    """A token signed with another key of the same name is refused."""
    with pytest.raises(InvalidToken, match="signature"):
        await access_tokens.authenticate(other_issuer.token())


async def test_key_that_nobody_published(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """A token that names a key the issuer does not have is refused."""
    with pytest.raises(InvalidToken, match="publish"):
        await access_tokens.authenticate(issuer.token(kid="key-2"))


async def test_keys_away(issuer: Issuer, access_tokens: AccessTokens, keys: FakeKeys) -> None:
    """Without signing keys the fault is ours, not the token's."""
    keys.unavailable = True
    with pytest.raises(AuthUnavailable):
        await access_tokens.authenticate(issuer.token())


@pytest.mark.parametrize(
    "payload",
    [dumps(claims(iss="https://evil.example/")), dumps(claims(iss=ISSUER[:-1])), b"{}", b"[]", b"\xff", b""],
)
async def test_nobody_is_asked_for_a_foreign_token(
    issuer: Issuer, access_tokens: AccessTokens, keys: FakeKeys, payload: bytes
) -> None:
    """A key is looked up only for a token that names the configured issuer."""
    with pytest.raises(InvalidToken):
        await access_tokens.authenticate(issuer.sign(dumps(issuer.header(kid="key-2")), payload))
    assert keys.requested == []


@pytest.mark.parametrize("header", [{"alg": "HS256"}, {"typ": "JWE"}, {"crit": ["exp"]}, {"kid": 7}])
async def test_nobody_is_asked_for_a_bad_header(
    issuer: Issuer, access_tokens: AccessTokens, keys: FakeKeys, header: dict[str, Any]
) -> None:
    """A key is looked up only for a header that policy allows."""
    with pytest.raises(InvalidToken):
        await access_tokens.authenticate(issuer.token(**header))
    assert keys.requested == []


async def test_signature_before_claims(access_tokens: AccessTokens, other_issuer: Issuer) -> None:
    """The refusal of a forged token has nothing about its claims."""
    payload = claims(aud="https://other.example", exp=0, org_id=None)
    with pytest.raises(InvalidToken, match="signature"):
        await access_tokens.authenticate(other_issuer.token(payload))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example"},
        {"exp": 0},
        {"nbf": NOW + 1000},
        {"iat": NOW + 1000},
        {"sub": 7},
        {"cnf": {}},
        {"permissions": 7},
        {"nonce": "n"},
        {"events": {}},
        {"org_id": None},
    ],
)
async def test_refused_claims_cause_no_fetch(
    issuer: Issuer, access_tokens: AccessTokens, keys: FakeKeys, changes: dict[str, Any]
) -> None:
    """A token that is refused whatever its signature says causes no fetch of the signing keys."""
    with pytest.raises((InvalidToken, OrganizationRequired)):
        await access_tokens.authenticate(issuer.token(claims(**changes), kid="key-2"))
    assert keys.fetched == []


async def test_good_claims_cause_a_fetch(issuer: Issuer, access_tokens: AccessTokens, keys: FakeKeys) -> None:
    """A token whose key is not cached, and nothing else is wrong with it, causes one."""
    with pytest.raises(InvalidToken, match="publish"):
        await access_tokens.authenticate(issuer.token(kid="key-2"))
    assert keys.fetched == ["key-2"]


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (["aud", "exp", "nbf", "iat", "sub", "cnf"], "audience"),
        (["exp", "nbf", "iat", "sub", "cnf"], "expired"),
        (["nbf", "iat", "sub", "cnf"], "not valid yet"),
        (["iat", "sub", "cnf"], "future"),
        (["sub", "cnf"], "sub claim"),
        (["cnf"], "bound"),
    ],
)
async def test_order_of_claims(issuer: Issuer, access_tokens: AccessTokens, broken: list[str], expected: str) -> None:
    """Of several wrong claims, the refusal names the first in the order of the rules."""
    wrong = {
        "aud": "https://other.example",
        "exp": 0,
        "nbf": NOW + 1000,
        "iat": NOW + 1000,
        "sub": 7,
        "cnf": {},
        "org_id": None,
        "permissions": 7,
    }
    changes = {name: wrong[name] for name in [*broken, "org_id", "permissions"]}
    with pytest.raises(InvalidToken, match=expected):
        await access_tokens.authenticate(issuer.token(claims(**changes)))


async def test_organization_before_permissions(issuer: Issuer, access_tokens: AccessTokens) -> None:
    """The organization is required before permissions are read."""
    with pytest.raises(OrganizationRequired):
        await access_tokens.authenticate(issuer.token(claims(org_id=None, permissions=7)))


@given(st.text(max_size=300) | st.binary(max_size=300))
async def test_garbage(token: Any) -> None:
    """Any garbage is refused by the one error, and causes no look-up."""
    keys = FakeKeys()
    access_tokens = AccessTokens(issuer=ISSUER, audience=AUDIENCE, key_set=keys, clock=FakeClock())
    with pytest.raises(InvalidToken):
        await access_tokens.authenticate(token)
    assert keys.requested == []


@pytest.mark.parametrize("algorithms", [[], ["none"], ["HS256"], ["RS256", "ES256"]])
def test_algorithms_that_are_not_supported(make_access_tokens: MakeAccessTokens, algorithms: list[str]) -> None:
    """What cannot be verified safely cannot be configured."""
    with pytest.raises(ValueError, match="RS256"):
        make_access_tokens(algorithms=algorithms)


async def test_remembered(issuer: Issuer, make_access_tokens: MakeAccessTokens, keys: FakeKeys) -> None:
    """A token that was verified a moment ago is accepted without asking for its key."""
    access_tokens = make_access_tokens(verified=VerifiedTokens())
    first = await access_tokens.authenticate(issuer.token())
    assert await access_tokens.authenticate(issuer.token()) == first
    assert keys.requested == ["key-1"]


async def test_memory_knows_whole_tokens(
    issuer: Issuer, other_issuer: Issuer, make_access_tokens: MakeAccessTokens
) -> None:
    """A forged token is refused although a good one with the same claims is remembered."""
    access_tokens = make_access_tokens(verified=VerifiedTokens())
    await access_tokens.authenticate(issuer.token())
    for forged in (other_issuer.token(), issuer.token().rpartition(".")[0] + "." + b64(bytes(256))):
        with pytest.raises(InvalidToken):
            await access_tokens.authenticate(forged)


async def test_failures_are_not_remembered(
    issuer: Issuer, make_access_tokens: MakeAccessTokens, keys: FakeKeys
) -> None:
    """A token that was refused is checked again, and accepted once its key is published."""
    access_tokens = make_access_tokens(verified=VerifiedTokens())
    token = issuer.token(kid="key-2")
    with pytest.raises(InvalidToken):
        await access_tokens.authenticate(token)
    keys.jwks.append(issuer.jwk(kid="key-2"))
    assert (await access_tokens.authenticate(token)).subject


async def test_memory_ends_with_the_key_set(
    issuer: Issuer, make_access_tokens: MakeAccessTokens, keys: FakeKeys
) -> None:
    """When the issuer withdraws a key, what it verified is refused at once."""
    access_tokens = make_access_tokens(verified=VerifiedTokens())
    await access_tokens.authenticate(issuer.token())
    keys.jwks.clear()
    keys.generation += 1
    with pytest.raises(InvalidToken):
        await access_tokens.authenticate(issuer.token())


async def test_memory_ends_with_trust_in_the_keys(
    issuer: Issuer, make_access_tokens: MakeAccessTokens, keys: FakeKeys
) -> None:
    """When the keys are too old to be trusted, what they verified is not trusted either."""
    access_tokens = make_access_tokens(verified=VerifiedTokens())
    await access_tokens.authenticate(issuer.token())
    keys.unavailable = True
    with pytest.raises(AuthUnavailable):
        await access_tokens.authenticate(issuer.token())


async def test_memory_ends_with_the_token(issuer: Issuer, make_access_tokens: MakeAccessTokens) -> None:
    """A remembered token that expires is refused like any other."""
    clock = FakeClock()
    access_tokens = make_access_tokens(verified=VerifiedTokens(), clock=clock)
    token = issuer.token(claims(exp=NOW + 10))
    await access_tokens.authenticate(token)
    clock.now = NOW + 15
    with pytest.raises(InvalidToken, match="expired"):
        await access_tokens.authenticate(token)
