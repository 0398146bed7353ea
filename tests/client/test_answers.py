"""How the answers to a verification are read."""

from math import inf
from typing import Any
from uuid import UUID

import httpx
import pytest

from keywright.client.errors import CredentialRefused, ServiceUnavailable
from keywright.client.verifier._answers import read_answer
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import Code, KeyFacts
from tests.client.fake_service import problem

SHOWN = {
    "id": "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55",
    "org_id": "6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21",
    "name": "Billing export",
    "environment": "live",
    "scopes": ["a:read", "b:read"],
    "expires_at": "2027-01-15T08:00:00Z",
}
VALID: dict[str, Any] = {
    "valid": True,
    "code": "valid",
    "api_key": SHOWN,
    "facts": {"revoked": False, "expires_at": 1_800_000_000.5},
}
REQUEST = httpx.Request("POST", "https://keys.acme.example/api/v2/api-keys/verify")


def response(status: int = 200, body: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers, request=REQUEST)


def test_a_find() -> None:
    """Facts are read as they are cached: ids as 16 bytes, times as seconds of the epoch."""
    answer = read_answer(response(body=VALID))
    assert answer.facts == KeyFacts(
        id=UUID(str(SHOWN["id"])).bytes,
        org_id=UUID(str(SHOWN["org_id"])).bytes,
        name="Billing export",
        environment="live",
        expires_at=1_800_000_000.5,
        scopes=("a:read", "b:read"),
        metadata=None,
    )
    assert answer.cacheable


def test_what_a_verdict_tells() -> None:
    """External ids, the creator and short metadata are read as they are cached; a disabled key says so."""
    told = {"external_id": "c", "org_external_id": "org_acme", "created_by": "auth0|alice", "metadata": {"ä": [1.5]}}
    body = {**VALID, "valid": False, "code": "disabled", "api_key": {**SHOWN, **told}}
    answer = read_answer(response(body={**body, "facts": {"revoked": False, "expires_at": None, "disabled": True}}))
    assert answer.cacheable
    assert answer.facts is not None
    assert answer.facts.disabled
    assert answer.facts.metadata == '{"ä":[1.5]}'
    key = answer.verdict.key
    assert key is not None
    assert (key.external_id, key.org_external_id, key.created_by) == ("c", "org_acme", "auth0|alice")
    assert key.metadata == {"ä": [1.5]}


def test_a_service_of_a_version_before() -> None:
    """What an older service does not tell is None."""
    key = read_answer(response(body=VALID)).verdict.key
    assert key is not None
    assert (key.external_id, key.org_external_id, key.created_by, key.metadata) == (None, None, None, None)


def test_everything_that_can_be_weighed() -> None:
    """A retirement, networks and rate limits are read as they are judged, and an answer with all of them is held."""
    facts = {
        "revoked": False,
        "expires_at": None,
        "retires_at": 1_800_000_000,
        "allowed_ips": ["192.0.2.0/24", "2001:db8::/32"],
        "rate_limits": [["minute", 100, 60], ["day", 5000, 86_400]],
    }
    answer = read_answer(response(body={**VALID, "facts": facts}))
    assert answer.cacheable
    assert answer.facts is not None
    assert (answer.facts.expires_at, answer.facts.retires_at) == (inf, 1_800_000_000.0)
    assert answer.facts.allowed_ips == ("192.0.2.0/24", "2001:db8::/32")
    assert answer.facts.rate_limits == (RateLimit("minute", 100, 60), RateLimit("day", 5000, 86_400))


def test_limits_that_the_service_counted() -> None:
    """A verdict of the service has the states of the limits and the time to retry."""
    state = {"name": "minute", "limit": 100, "window_seconds": 60, "remaining": 0, "reset_seconds": 59.5}
    body = {"valid": False, "code": "rate_limited", "api_key": SHOWN, "rate_limits": [state], "retry_after_seconds": 3}
    verdict = read_answer(response(body=body)).verdict
    assert (verdict.code, verdict.retry_after_seconds) == (Code.RATE_LIMITED, 3)
    assert verdict.limits == ((RateLimit("minute", 100, 60), 0, 59.5),)
    never = read_answer(response(body={**body, "retry_after_seconds": None})).verdict
    assert never.retry_after_seconds is None


def test_a_key_without_an_end() -> None:
    """A key that does not expire has an infinite time; unknown fields are ignored."""
    facts = {"revoked": True, "expires_at": None}
    answer = read_answer(response(body={**VALID, "valid": False, "code": "revoked", "facts": facts, "added_later": 1}))
    assert answer.facts is not None
    assert (answer.facts.expires_at, answer.facts.revoked, answer.code) == (inf, True, Code.REVOKED)


def test_without_facts() -> None:
    """An answer without facts is the service's verdict and is not cached."""
    body = {name: value for name, value in VALID.items() if name != "facts"}
    explanation = {"reason": "The key lacks: c.", "would_pass": "A key with the scopes c."}
    answer = read_answer(
        response(body={**body, "valid": False, "code": "insufficient_scope", "explanation": explanation})
    )
    assert not answer.cacheable
    verdict = answer.verdict
    assert verdict.code is Code.INSUFFICIENT_SCOPE
    assert verdict.key is not None
    assert str(verdict.key.expires_at) == "2027-01-15 08:00:00+00:00"
    assert verdict.explanation == (explanation["reason"], explanation["would_pass"])


def test_what_is_not_to_be_held() -> None:
    """A stale answer is not cached, nor one with facts that this version cannot judge."""
    assert not read_answer(response(body={**VALID, "stale": True})).cacheable
    more = {**VALID["facts"], "added_later": []}
    assert not read_answer(response(body={**VALID, "facts": more})).cacheable


def test_what_many_keys_share_is_held_once() -> None:
    """Keys of one organisation and kind share what is equal, so that a million of them fit."""
    first, second = (read_answer(response(body=VALID)).facts for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.org_id is second.org_id
    assert first.environment is second.environment
    assert first.scopes is second.scopes


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {**VALID, "valid": "yes"},
        {**VALID, "valid": False},
        {**VALID, "code": "new"},
        {**VALID, "api_key": None},
        {**VALID, "api_key": {**SHOWN, "id": 5}},
        {**VALID, "api_key": {**SHOWN, "scopes": [1]}},
        {**VALID, "facts": {"revoked": 0, "expires_at": None}},
        {**VALID, "facts": {"revoked": False, "expires_at": True}},
        {**VALID, "facts": {"revoked": False}},
        {**VALID, "facts": []},
        {**VALID, "facts": {**VALID["facts"], "retires_at": "soon"}},
        {**VALID, "facts": {**VALID["facts"], "allowed_ips": ["192.0.2.1/24"]}},
        {**VALID, "facts": {**VALID["facts"], "allowed_ips": 7}},
        {**VALID, "facts": {**VALID["facts"], "rate_limits": [["minute", 100]]}},
        {**VALID, "facts": {**VALID["facts"], "rate_limits": [["minute", 0, 60]]}},
        {**VALID, "facts": {**VALID["facts"], "rate_limits": [["minute", 100, -1]]}},
        {**VALID, "rate_limits": [{"name": "minute"}]},
        {**VALID, "retry_after_seconds": 1.5},
        {**VALID, "stale": 1},
        {**VALID, "facts": None, "api_key": {**SHOWN, "expires_at": "2027-01-15T08:00:00"}},
    ],
)
def test_no_answer(body: Any) -> None:
    """What is no verdict is the service's trouble, never a verdict."""
    with pytest.raises(ServiceUnavailable, match="not as a Keywright service does"):
        read_answer(response(body=body))


@pytest.mark.parametrize("status", [401, 403])
def test_the_verifier_is_refused(status: int) -> None:
    """A refused credential is its own error, with code and request id."""
    with pytest.raises(CredentialRefused) as caught:
        read_answer(response(status, problem("invalid_token", "It was revoked.")))
    assert (caught.value.code, caught.value.status, caught.value.request_id) == (
        "invalid_token",
        status,
        "req-12345678",
    )


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 502, 503, 504])
def test_trouble(status: int) -> None:
    """Every other answer means that there is no verdict to be had right now, and perhaps when there will be."""
    with pytest.raises(ServiceUnavailable) as caught:
        read_answer(httpx.Response(status, json=problem("x", "No."), headers={"Retry-After": "3"}, request=REQUEST))
    assert caught.value.retry_after == 3


def test_somebody_elses_401() -> None:
    """A page of a gateway that wants a login is not taken for the service's word on the verifier."""
    with pytest.raises(ServiceUnavailable):
        read_answer(response(401, {"message": "log in"}))
