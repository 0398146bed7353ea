"""The embedded issuer, seen as the service sees it."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from keywright.auth.key_source import DEADLINE_SECONDS, FetchFailed, KeySource, read_key_set
from keywright.dev.issuer import AUDIENCE, DEMO_ORGANIZATIONS, DevIssuer, SigningKey
from tests.ports import free_port


@pytest.fixture
def issuer() -> Iterator[DevIssuer]:
    with DevIssuer(port=free_port()) as running:
        yield running


def read(segment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return found


def claims(token: str) -> dict[str, Any]:
    return read(token.split(".")[1])


async def fetched(issuer: DevIssuer) -> set[str]:
    source = KeySource(issuer.url, transport=None, deadline=DEADLINE_SECONDS)
    try:
        return set(await source.fetch())
    finally:
        await source.close()


async def test_keys_are_found_as_those_of_auth0(issuer: DevIssuer) -> None:
    """Discovery over HTTP leads the service's own client to the key that tokens are signed with."""
    token = issuer.token("acme")
    header = read(token.split(".")[0])
    assert header == {"alg": "RS256", "typ": "JWT", "kid": header["kid"]}
    assert await fetched(issuer) == {header["kid"]}
    assert issuer.fetches == 1


def test_issuer_ends_in_a_slash(issuer: DevIssuer) -> None:
    """The issuer looks like one of Auth0, and its discovery document names it so."""
    assert issuer.url.endswith("/")
    assert httpx.get(f"{issuer.url}.well-known/openid-configuration").json()["issuer"] == issuer.url


@pytest.mark.parametrize("path", ["", "token", ".well-known/jwks.json/", "../etc/passwd"])
def test_nothing_else_is_served(issuer: DevIssuer, path: str) -> None:
    """Any other path is not found."""
    assert httpx.get(issuer.url + path).status_code == 404


def test_claims_of_a_token(issuer: DevIssuer) -> None:
    """A token carries what Auth0's carry; optional claims are absent unless asked for."""
    found = claims(issuer.token("acme"))
    assert set(found) == {"iss", "sub", "aud", "iat", "exp", "azp", "jti", "org_id"}
    assert found["iss"] == issuer.url
    assert found["aud"] == [AUDIENCE]
    assert found["org_id"] == DEMO_ORGANIZATIONS["acme"]
    assert found["exp"] - found["iat"] == 3600
    everything = claims(issuer.token(None, permissions=["read:api_keys"], scope="openid", audience="x", expires_in=-60))
    assert "org_id" not in everything
    assert (everything["permissions"], everything["scope"], everything["aud"]) == (["read:api_keys"], "openid", ["x"])
    assert everything["exp"] < time.time()


def test_organization_by_id(issuer: DevIssuer) -> None:
    """What is no demo organization's name is taken for an id."""
    assert claims(issuer.token("org_0123456789abcdef"))["org_id"] == "org_0123456789abcdef"


@pytest.mark.parametrize("organization", DEMO_ORGANIZATIONS.values())
def test_demo_organizations_look_like_auth0s(organization: str) -> None:
    """Demo ids have the shape of Auth0's own."""
    assert organization.startswith("org_")
    assert len(organization) == 20
    assert organization.removeprefix("org_").isalnum()


def test_anything_can_be_signed() -> None:
    """Tests sign what no honest issuer would, under any header."""
    header, payload, _ = DevIssuer().sign({"exp": "soon"}, {"alg": "none", "crit": ["x"]}).split(".")
    assert read(payload) == {"exp": "soon"}
    assert read(header)["alg"] == "none"
    assert read(header)["crit"] == ["x"]


async def test_rotation(issuer: DevIssuer) -> None:
    """After a rotation new tokens name a new key, and the former one is published until it is dropped."""
    former = await fetched(issuer)
    issuer.rotate()
    both = await fetched(issuer)
    assert former < both
    assert len(both) == 2
    issuer.rotate(keep=False)
    assert len(await fetched(issuer)) == 1
    assert not await fetched(issuer) & both


async def test_outage_and_return(issuer: DevIssuer) -> None:
    """Stopped it cannot be reached, not even over an open connection; started again it is the same issuer."""
    address = issuer.url
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{address}.well-known/jwks.json")).status_code == 200
        issuer.stop()
        with pytest.raises(httpx.TransportError):
            await client.get(f"{address}.well-known/jwks.json")
    with pytest.raises(FetchFailed):
        await fetched(issuer)
    issuer.start()
    assert issuer.url == address
    assert await fetched(issuer)


def test_port_in_use(issuer: DevIssuer) -> None:
    """A second issuer does not share a port."""
    with pytest.raises(OSError, match="in use"):
        DevIssuer(SigningKey.generate(), port=issuer.port).start()


def test_no_address_before_the_start() -> None:
    """With any free port to take, the address is not known before one was taken."""
    with pytest.raises(RuntimeError):
        DevIssuer().url  # noqa: B018


def test_ipv6_address() -> None:
    """An IPv6 host stands in brackets, as URLs have it."""
    assert DevIssuer(host="::1", port=8081).url == "http://[::1]:8081/"


def test_key_set_is_public_only() -> None:
    """Nothing of the private key is published."""
    keys = DevIssuer().jwks()
    assert set(keys["keys"][0]) == {"kty", "n", "e", "kid", "use", "alg"}
    assert read_key_set(json.dumps(keys).encode())
