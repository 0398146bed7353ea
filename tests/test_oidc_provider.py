"""The provider that the tests take their access tokens from is what they believe it to be."""

import json
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from keywright.auth.access_token import verify_jws
from keywright.service.principal import Permission
from tests.oidc_provider import (
    AUDIENCE,
    OTHER_AUDIENCE,
    OidcProvider,
    OidcProviderError,
    oidc_provider,
    own_oidc_provider,
)

__all__ = ["oidc_provider", "own_oidc_provider"]

ORPHAN = """
import os
from tests.oidc_provider import start_oidc_provider
print(start_oidc_provider().issuer, flush=True)
os.kill(os.getpid(), 9)
"""


def test_discovery_names_the_issuer_and_the_keys(oidc_provider: OidcProvider) -> None:
    """The discovery document is that of the issuer, byte for byte, and its key set is where it says."""
    document = _discovery(oidc_provider)
    assert document["issuer"] == oidc_provider.issuer
    assert document["jwks_uri"] == oidc_provider.issuer + "/jwks"
    assert document["token_endpoint"] == oidc_provider.issuer + "/token"


def test_published_key_is_a_public_rsa_key_of_2048_bits(oidc_provider: OidcProvider) -> None:
    """The key set holds one RSA signing key of 2048 bits under a `kid`, and nothing private."""
    (key,) = _keys(oidc_provider)
    assert key["kid"] == oidc_provider.kid
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
    assert _number(key["n"]).bit_length() == 2048
    assert not {"d", "p", "q", "dp", "dq", "qi"} & key.keys()


def test_machine_token_has_the_shape_of_rfc_9068(oidc_provider: OidcProvider) -> None:
    """A machine's token is an `at+jwt` for the audience, with the organisation and permissions it was asked for."""
    token = oidc_provider.token(org_id="org_abcdefghijklmnop", permissions=[Permission.CREATE])
    header, claims = _read(token)
    assert header == {"alg": "RS256", "typ": "at+jwt", "kid": oidc_provider.kid}
    assert (claims["iss"], claims["aud"]) == (oidc_provider.issuer, AUDIENCE)
    assert claims["sub"] == claims["client_id"] == oidc_provider.machine["client_id"]
    assert (claims["org_id"], claims["permissions"]) == ("org_abcdefghijklmnop", ["create:api_keys"])
    assert claims["exp"] - claims["iat"] == 3600


def test_user_token_names_the_user(oidc_provider: OidcProvider) -> None:
    """A token from the authorization code flow has the user who signed in as `sub`, and the web client beside it."""
    token = oidc_provider.user_token("auth0|bob", org_id="org_1", permissions=[], scope="read:api_keys")
    header, claims = _read(token)
    assert header == {"alg": "RS256", "typ": "at+jwt", "kid": oidc_provider.kid}
    assert (claims["sub"], claims["client_id"]) == ("auth0|bob", oidc_provider.web["client_id"])
    assert (claims["iss"], claims["aud"]) == (oidc_provider.issuer, AUDIENCE)
    assert (claims["org_id"], claims["permissions"], claims["scope"]) == ("org_1", [], "read:api_keys")


def test_users_are_kept_apart(oidc_provider: OidcProvider) -> None:
    """Two sign-ins after each other give the tokens of two users."""
    subjects = [_read(oidc_provider.user_token(user))[1]["sub"] for user in ("auth0|alice", "auth0|bob")]
    assert subjects == ["auth0|alice", "auth0|bob"]


def test_signature_verifies_with_the_published_key(oidc_provider: OidcProvider) -> None:
    """The signature of either kind of token is that of the published key, and of the whole token."""
    (key,) = _keys(oidc_provider)
    for token in (oidc_provider.token(org_id="org_1"), oidc_provider.user_token()):
        _verify(token, key)
        with pytest.raises(InvalidSignature):
            _verify("e30" + token[token.index(".") :], key)


def test_tokens_pass_the_signature_check_of_keywright(oidc_provider: OidcProvider) -> None:
    """What the service holds every token to, short of its claims, holds for both kinds of token."""
    (key,) = _keys(oidc_provider)
    for token in (oidc_provider.token(org_id="org_1"), oidc_provider.user_token(org_id="org_1")):
        assert json.loads(verify_jws(token, key)) == _read(token)[1]


def test_claims_not_asked_for_are_absent(oidc_provider: OidcProvider) -> None:
    """A token has no organisation, permissions or scope unless it was asked for with them."""
    for token in (oidc_provider.token(), oidc_provider.user_token()):
        assert not {"org_id", "permissions", "scope"} & _read(token)[1].keys()


def test_every_permission_is_a_scope(oidc_provider: OidcProvider) -> None:
    """The provider grants all of Keywright's permissions as scopes, and none that it does not know."""
    scopes = list(Permission)
    token = oidc_provider.token(scope=" ".join([*scopes, "of:another_api"]))
    assert _read(token)[1]["scope"].split() == scopes


def test_other_claims_do_not_replace_those_of_the_provider(oidc_provider: OidcProvider) -> None:
    """A namespaced claim is carried; a claim that the provider sets itself is not to be had by asking."""
    asked = {"https://acme.example/org_id": "acme", "iss": "https://forged.example/", "sub": "root", "aud": "any"}
    _, claims = _read(oidc_provider.token(claims=asked))
    assert claims["https://acme.example/org_id"] == "acme"
    assert (claims["iss"], claims["sub"], claims["aud"]) == (oidc_provider.issuer, "machine", AUDIENCE)


def test_backdated_token_has_expired(oidc_provider: OidcProvider) -> None:
    """A token issued 7200 seconds ago expired 3600 seconds ago and is otherwise as it would be."""
    for token in (oidc_provider.token(issued_ago=7200), oidc_provider.user_token(issued_ago=7200)):
        _, claims = _read(token)
        assert claims["exp"] < time.time() - 3500
        assert claims["exp"] - claims["iat"] == 3600


def test_token_for_another_audience(oidc_provider: OidcProvider) -> None:
    """The provider serves another API too, and no third one."""
    assert _read(oidc_provider.token(audience=OTHER_AUDIENCE))[1]["aud"] == OTHER_AUDIENCE
    assert _read(oidc_provider.user_token(audience=OTHER_AUDIENCE))[1]["aud"] == OTHER_AUDIENCE
    with pytest.raises(OidcProviderError, match="invalid_target"):
        oidc_provider.token(audience="https://unknown.test/")


def test_rotation_publishes_a_new_key_beside_the_old(own_oidc_provider: OidcProvider) -> None:
    """After a rotation tokens name the new key, and those from before still verify by the old one."""
    before = own_oidc_provider.kid
    old = own_oidc_provider.token()
    after = own_oidc_provider.rotate()
    new = own_oidc_provider.token()
    assert (_read(old)[0]["kid"], _read(new)[0]["kid"]) == (before, after)
    keys = {key["kid"]: key for key in _keys(own_oidc_provider)}
    assert list(keys) == [after, before]
    _verify(old, keys[before])
    _verify(new, keys[after])


def test_rotation_can_withdraw_the_old_key(own_oidc_provider: OidcProvider) -> None:
    """A rotation after a leak leaves the new key alone in the set."""
    after = own_oidc_provider.rotate(keep=False)
    assert [key["kid"] for key in _keys(own_oidc_provider)] == [after]


def test_outage_refuses_connections_and_ends_as_it_began(own_oidc_provider: OidcProvider) -> None:
    """Within an outage nothing answers; after it the same key does."""
    before = _keys(own_oidc_provider)
    with own_oidc_provider.outage(), pytest.raises(httpx.ConnectError):
        own_oidc_provider.token()
    assert _keys(own_oidc_provider) == before
    _verify(own_oidc_provider.token(), before[0])


def test_restart_keeps_the_issuer_and_changes_the_key(own_oidc_provider: OidcProvider) -> None:
    """A provider started anew is the same issuer with another key, and its clients can still have tokens."""
    issuer, kid = own_oidc_provider.issuer, own_oidc_provider.kid
    own_oidc_provider.restart()
    assert (_discovery(own_oidc_provider)["issuer"], own_oidc_provider.issuer) == (issuer, issuer)
    (key,) = _keys(own_oidc_provider)
    assert key["kid"] != kid
    _verify(own_oidc_provider.token(), key)
    _verify(own_oidc_provider.user_token(), key)


def test_requests_are_counted(own_oidc_provider: OidcProvider) -> None:
    """The provider knows how often its key set was fetched."""
    assert own_oidc_provider.requests() == {}
    for _ in range(3):
        _keys(own_oidc_provider)
    assert own_oidc_provider.requests()["/jwks"] == 3


def test_stop_ends_the_process_and_may_be_repeated(own_oidc_provider: OidcProvider) -> None:
    """A stopped provider answers nobody, and is stopped once more without complaint."""
    own_oidc_provider.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(own_oidc_provider.issuer, trust_env=False)
    own_oidc_provider.stop()
    with pytest.raises(OidcProviderError, match="is gone"):
        own_oidc_provider.rotate()


@pytest.mark.usefixtures("oidc_provider")
def test_provider_does_not_outlive_a_killed_run() -> None:
    """A run that is killed leaves no provider behind."""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", ORPHAN], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    port = urlsplit(done.stdout.strip()).port or 0
    deadline = time.monotonic() + 20
    while _listens(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _listens(port)


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _discovery(provider: OidcProvider) -> dict[str, Any]:
    document: dict[str, Any] = provider.http.get(provider.issuer + "/.well-known/openid-configuration").json()
    return document


def _keys(provider: OidcProvider) -> list[dict[str, str]]:
    keys: list[dict[str, str]] = provider.http.get(_discovery(provider)["jwks_uri"]).json()["keys"]
    return keys


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    return json.loads(_bytes(header)), json.loads(_bytes(claims))


def _verify(token: str, key: dict[str, str]) -> None:
    signed, _, signature = token.rpartition(".")
    public = RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
    public.verify(_bytes(signature), signed.encode(), PKCS1v15(), SHA256())


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
