"""Sign-in at the issuer of `keywright dev`: what it gives, and what it refuses as a real issuer would."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from keywright.compact_jws import decode_base64url
from keywright.dev.issuer import DevIssuer
from keywright.dev.sign_in import CLIENT_ID, PEOPLE

SECRET, VERIFIER = "s" * 32, "v" * 43
CALLBACK = "http://127.0.0.1:8080/console/auth/callback"
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REQUEST = {
    "client_id": CLIENT_ID, "redirect_uri": CALLBACK, "response_type": "code", "state": "state", "nonce": "nonce",
    "code_challenge": CHALLENGE, "code_challenge_method": "S256",
}  # fmt: skip


@pytest.fixture
def issuer() -> Iterator[DevIssuer]:
    with DevIssuer() as issuer:
        issuer.offer_sign_in(SECRET)
        yield issuer


def authorize(issuer: DevIssuer, **changes: str) -> httpx.Response:
    return httpx.get(f"{issuer.url}authorize", params={**REQUEST, **changes}, trust_env=False)


def exchange(issuer: DevIssuer, code: str, *, secret: str = SECRET, **changes: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "redirect_uri": CALLBACK}
    url = f"{issuer.url}oauth/token"
    return httpx.post(url, data={**form, **changes}, auth=(CLIENT_ID, secret), trust_env=False)


def code_for(issuer: DevIssuer, person: str = "anna") -> str:
    return parse_qs(urlsplit(authorize(issuer, person=person).headers["Location"]).query)["code"][0]


def test_everybody_can_be_chosen(issuer: DevIssuer) -> None:
    """The page offers everybody of the demo by a link."""
    page = authorize(issuer)
    assert page.status_code == 200
    assert all(f"person={person}" in page.text for person in PEOPLE)


@pytest.mark.parametrize("person", PEOPLE)
def test_tokens(issuer: DevIssuer, person: str) -> None:
    """A code gives an ID token with the nonce, and an access token of the same subject."""
    answer = exchange(issuer, code_for(issuer, person)).json()
    id_token, access_token = (
        decode_base64url(answer[name].split(".")[1].encode()) for name in ("id_token", "access_token")
    )
    assert id_token is not None
    assert access_token is not None
    assert b'"nonce":"nonce"' in id_token
    assert f'"sub":"auth0|{person}"'.encode() in id_token
    assert f'"sub":"auth0|{person}"'.encode() in access_token


def test_a_code_works_once(issuer: DevIssuer) -> None:
    """A code is exchanged once."""
    code = code_for(issuer)
    assert [exchange(issuer, code).status_code for _ in range(2)] == [200, 400]


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"code_verifier": "w" * 43}, 400), ({"redirect_uri": "http://127.0.0.1:1/console/"}, 400), ({"code": "x"}, 400),
     ({"grant_type": "password"}, 400), ({"secret": "t" * 32}, 401)],
)  # fmt: skip
def test_refused_exchange(issuer: DevIssuer, changes: dict[str, str], status: int) -> None:
    """Another verifier, address, code, grant or secret gets no token."""
    assert exchange(issuer, **{"code": code_for(issuer), **changes}).status_code == status  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "other"},
        {"redirect_uri": "https://evil.example/console/"},
        {"redirect_uri": "http://10.0.0.1/console/"},
    ],
)
def test_refused_request(issuer: DevIssuer, changes: dict[str, str]) -> None:
    """Another client, or an address off this host, gets no code and no redirect."""
    assert authorize(issuer, person="anna", **changes).status_code == 400


def test_without_a_console() -> None:
    """An issuer that was not told to offer sign-ins has none."""
    with DevIssuer() as issuer:
        assert authorize(issuer).status_code == 404
        assert "authorization_endpoint" not in issuer.discovery()
