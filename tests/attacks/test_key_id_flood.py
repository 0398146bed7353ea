"""Anonymous callers send tokens with unknown signing keys, to have the issuer asked, or a good token refused."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from keywright.auth.jwks import UNKNOWN_KEY_PAUSE_SECONDS
from keywright.dev.issuer import DevIssuer, SigningKey
from tests.api.caller import KEYS
from tests.live import LiveService, bearer, environment, start_service

FORGER = SigningKey.generate()


@pytest.fixture
def own_issuer() -> Iterator[DevIssuer]:
    """An issuer that no other test asks for keys."""
    with DevIssuer() as issuer:
        yield issuer


@pytest.fixture
def own_service(own_issuer: DevIssuer) -> Iterator[LiveService]:
    """A service that has fetched the keys of this issuer."""
    with start_service(environment(own_issuer)) as service:
        assert ask(service, own_issuer.token("acme")).status_code == 200
        yield service


def ask(service: LiveService, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{service.base_url}{KEYS}", headers=headers, trust_env=False, timeout=20)


def forged(issuer: DevIssuer, number: int, **changes: Any) -> str:
    """A token of the issuer's form, with an unknown key; None takes a claim out."""
    now = int(time.time())
    claims = {"iss": issuer.url, "sub": "s", "aud": issuer.audience, "iat": now, "exp": now + 60, "org_id": "acme"}
    found = {name: value for name, value in (claims | changes).items() if value is not None}
    return FORGER.sign(found, {"kid": f"unknown-{number}"})


def test_tokens_that_are_refused_anyway(own_issuer: DevIssuer, own_service: LiveService) -> None:
    """Tokens that fail any check before the signature cause no fetch, whatever signing key they name."""
    before = own_issuer.fetches
    flaws: list[dict[str, Any]] = [
        *({"iss": "https://other.example/"}, {"aud": "x"}, {"exp": 1}, {"iat": None}, {"nbf": 2**40}, {"sub": ""}),
        *({"cnf": {}}, {"nonce": "n"}, {"at_hash": "x"}, {"token_use": "id"}, {"events": {}}, {"scope": 7}),
    ]
    with httpx.Client(base_url=own_service.base_url, trust_env=False, timeout=20) as http:
        for number in range(240):
            token = forged(own_issuer, number, **flaws[number % len(flaws)])
            answer = http.get(KEYS, headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        without = http.get(KEYS, headers={"Authorization": f"Bearer {forged(own_issuer, 1, org_id=None)}"})
        assert without.json()["code"] == "organization_required"
    assert own_issuer.fetches == before


def test_flood_of_unknown_keys(own_issuer: DevIssuer, own_service: LiveService) -> None:
    """A flood of unknown keys causes ten fetches a minute at most; the others are 503, and no known key waits."""
    before, since = own_issuer.fetches, time.monotonic()
    answers = []
    with httpx.Client(base_url=own_service.base_url, trust_env=False, timeout=20) as http:
        for number in range(300):
            answers.append(http.get(KEYS, headers={"Authorization": f"Bearer {forged(own_issuer, number)}"}))
            assert http.get(KEYS, headers=bearer(own_issuer)).status_code == 200
    allowed = 1 + (time.monotonic() - since) // UNKNOWN_KEY_PAUSE_SECONDS + 1
    fetches = own_issuer.fetches - before
    assert 1 <= fetches <= allowed
    refused = [answer for answer in answers if answer.status_code == 401]
    paused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) + len(paused) == len(answers)
    # One that waited for a fetch that began after it came is refused; they are sent one by one.
    assert len(refused) <= fetches
    assert all(1 <= int(answer.headers["Retry-After"]) <= UNKNOWN_KEY_PAUSE_SECONDS for answer in paused)
    assert {answer.json()["code"] for answer in paused} == {"auth_unavailable"}


def test_rotation_during_a_flood(own_issuer: DevIssuer, own_service: LiveService) -> None:
    """A token that a new signing key signed is never refused while anonymous tokens cause the fetches."""
    statuses, deadline, number = [], time.monotonic() + 120, 0
    ask(own_service, forged(own_issuer, number))
    own_issuer.rotate()
    token = own_issuer.token("acme")
    while time.monotonic() < deadline:
        for _ in range(10):
            number += 1
            ask(own_service, forged(own_issuer, number))
        statuses.append(ask(own_service, token).status_code)
        if statuses[-1] == 200:
            break
    assert statuses[-1] == 200
    assert set(statuses[:-1]) <= {503}
