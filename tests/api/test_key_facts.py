"""The facts of keys by the digests of their secrets, for agents."""

from typing import Any

import pytest

from keywright.keys.format import digest
from keywright.keys.pair import mint
from tests.api.caller import KEYS, Caller
from tests.api.verifier import Verifier

FACTS = "/api/v2/verifier/facts"
UNKNOWN = digest(mint(bytes(range(32)), brand="kw", environment="live").private.reveal()).hex()


def facts_of(verifier: Verifier, *digests: str, **more: Any) -> list[dict[str, Any]]:
    """Ask for the facts of keys."""
    response = verifier.http.post(FACTS, json={"digests": list(digests), **more})
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def test_facts(verifier: Verifier, caller: Caller) -> None:
    """Facts are those of a verification with `Keywright-Facts`, in the order of the digests; unknown ones have none."""
    keys = [caller.create(name=f"key {number}", scopes=["a:read"], metadata={"n": number}) for number in range(3)]
    texts = [key["private_key"] for key in keys]
    digests = [digest(text).hex() for text in texts]
    found = facts_of(verifier, digests[2], UNKNOWN, digests[0], digests[2])
    expected = [verifier.ask(text, facts=True).json() for text in (texts[2], texts[0])]
    assert found == [expected[0], {"valid": False, "code": "not_found", "api_key": None}, expected[1], expected[0]]


def test_a_revoked_key(verifier: Verifier, caller: Caller) -> None:
    """What was revoked is read as revoked, at once: nothing comes from a cache."""
    key = caller.create(name="short-lived")
    text = digest(key["private_key"]).hex()
    assert facts_of(verifier, text)[0]["facts"]["revoked"] is False
    caller.http.put(f"{KEYS}/{key['id']}/revoke").raise_for_status()
    assert facts_of(verifier, text)[0]["facts"]["revoked"] is True


def test_long_metadata(verifier: Verifier, caller: Caller) -> None:
    """Metadata that is too long for a cache is left out unless it is asked for."""
    metadata = {"text": "x" * 900}
    text = digest(caller.create(name="long", metadata=metadata)["private_key"]).hex()
    assert "metadata" not in facts_of(verifier, text)[0]["api_key"]
    assert facts_of(verifier, text, include=["metadata"])[0]["api_key"]["metadata"] == metadata


def test_only_for_verifiers(service_caller: Verifier, caller: Caller) -> None:
    """A token that may check keys gets no facts by digest, and neither does anybody without a credential."""
    body = {"digests": [UNKNOWN]}
    assert service_caller.http.post(FACTS, json=body).json()["code"] == "verifier_required"
    assert caller.http.post(FACTS, json=body).status_code == 403
    caller.http.headers.pop("Authorization")
    assert caller.http.post(FACTS, json=body).status_code == 401


@pytest.mark.parametrize(
    "body",
    [{}, {"digests": []}, {"digests": ["x"]}, {"digests": [UNKNOWN] * 129}, {"digests": [UNKNOWN], "key": "x"}],
)
def test_bodies(verifier: Verifier, body: dict[str, Any]) -> None:
    """1 to 128 digests of 64 hexadecimal digits, and nothing else."""
    assert verifier.http.post(FACTS, json=body).status_code == 422
