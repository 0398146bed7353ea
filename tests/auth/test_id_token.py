"""ID tokens: what is refused, one claim at a time."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from keywright.auth.id_token import IdTokens
from keywright.service.faults import InvalidToken
from tests.auth.fakes import FakeKeys
from tests.auth.issuer import ISSUER, NOW, Issuer, claims

CLIENT, NONCE, ACCESS_TOKEN = "console", "n" * 43, "access.token.text"
AT_HASH = urlsafe_b64encode(sha256(ACCESS_TOKEN.encode()).digest()[:16]).rstrip(b"=").decode()


def id_claims(**changes: Any) -> dict[str, Any]:
    return claims(**{"aud": CLIENT, "azp": None, "scope": None, "permissions": None, "nonce": NONCE, **changes})


async def verify(keys: FakeKeys, token: object) -> dict[str, Any]:
    tokens = IdTokens(issuer=ISSUER, client_id=CLIENT, key_set=keys, clock=lambda: datetime.fromtimestamp(NOW, UTC))
    return await tokens.verify(token, nonce=NONCE, access_token=ACCESS_TOKEN)


@pytest.mark.parametrize(
    "changes",
    [{}, {"aud": [CLIENT]}, {"azp": CLIENT}, {"aud": [CLIENT, "other"], "azp": CLIENT}, {"at_hash": AT_HASH}],
)
async def test_accepted(keys: FakeKeys, issuer: Issuer, changes: dict[str, Any]) -> None:
    """A token of our issuer, for our client and our sign-in gives its claims."""
    payload = id_claims(**changes)
    assert await verify(keys, issuer.token(payload)) == payload


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example/"}, {"iss": None}, {"aud": "another"}, {"aud": None}, {"aud": [CLIENT, 1]},
        {"aud": [CLIENT, "other"]}, {"azp": "another"}, {"aud": [CLIENT, "other"], "azp": "other"},
        {"exp": NOW - 100}, {"exp": None}, {"iat": NOW + 1000}, {"iat": None}, {"nbf": NOW + 1000},
        {"nonce": "m" * 43}, {"nonce": None}, {"nonce": ""}, {"nonce": [NONCE]}, {"nonce": "\\u00e9"},
        {"at_hash": "x" * 22}, {"at_hash": 1}, {"sub": ""}, {"sub": None}, {"sub": "x" * 300},
    ],
)  # fmt: skip
async def test_refused(keys: FakeKeys, issuer: Issuer, changes: dict[str, Any]) -> None:
    """A token with one wrong claim is refused."""
    with pytest.raises(InvalidToken):
        await verify(keys, issuer.token(id_claims(**changes)))


@pytest.mark.parametrize("token", [None, "", "a.b", 1, ["x"], "é"])
async def test_no_token(keys: FakeKeys, token: object) -> None:
    """Anything that is no token is refused, and is no error."""
    with pytest.raises(InvalidToken):
        await verify(keys, token)


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"typ": "at+jwt"}, {"kid": "unknown"}])
async def test_header(keys: FakeKeys, issuer: Issuer, header: dict[str, Any]) -> None:
    """Another algorithm, type or key than the issuer's is refused."""
    with pytest.raises(InvalidToken):
        await verify(keys, issuer.token(id_claims(), **header))


async def test_forged(keys: FakeKeys, other_issuer: Issuer) -> None:
    """A token that another key signed under the same name is refused."""
    with pytest.raises(InvalidToken):
        await verify(keys, other_issuer.token(id_claims()))
