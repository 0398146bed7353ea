"""The shared part of the integrations: the key, the caller's address, and the answers to refusals."""

import json
import logging
from typing import Any

import pytest

from keywright.client.errors import CredentialRefused, KeywrightError, ServiceUnavailable
from keywright.client.integrations._guard import Guard, KeyRefused, RequestHeaders, presented_key, refused_for_trouble
from keywright.client.verifier import Verdict
from keywright.keys.verdict import Code


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (["Bearer k"], []),
        (["bearer k"], []),
        (["Bearer  k "], []),
        ([], ["k"]),
        (["Bearer k"], ["k"]),
        (["Bearer k", "Bearer k"], ["k", " k"]),
        (["Basic dXNlcg==", "Bearer k"], []),
        (["Basic dXNlcg=="], ["k"]),
    ],
)
def test_one_key(authorization: list[str], api_key: list[str]) -> None:
    """A key is found wherever it may stand, as often as it likes."""
    assert presented_key(authorization, api_key) == "k"


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [([], []), (["Bearer"], [""]), (["Bearer "], []), (["Basic dXNlcg=="], []), (["k"], []), (["Bearerk"], [])],
)
def test_no_key(authorization: list[str], api_key: list[str]) -> None:
    """Without a key the answer is 401 with a challenge."""
    with pytest.raises(KeyRefused) as caught:
        presented_key(authorization, api_key)
    refusal = caught.value
    assert (refusal.status, refusal.code) == (401, "missing_key")
    assert refusal.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [(["Bearer k"], ["l"]), (["Bearer k", "Bearer l"], []), ([], ["k", "l"]), (["Bearer k"], ["K"])],
)
def test_two_keys(authorization: list[str], api_key: list[str]) -> None:
    """Two different keys are refused: two programs might not agree on which of them counts."""
    with pytest.raises(KeyRefused) as caught:
        presented_key(authorization, api_key)
    assert (caught.value.status, caught.value.code) == (400, "several_keys")


def test_nobody_is_trusted_by_default() -> None:
    """Without trusted proxies the address is the peer's, whatever stands in the headers."""
    headers = RequestHeaders(["Bearer k"], [], ["1.1.1.1"], "curl/8", "10.0.0.1")
    guard = Guard(scopes=["a:read"], environment="live")
    assert guard.call(lambda key, **asked: {"key": key, **asked}, headers) == {
        "key": "k",
        "scopes": ("a:read",),
        "environment": "live",
        "client_ip": "10.0.0.1",
        "user_agent": "curl/8",
        "cost": 1,
    }


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"scopes": "reports:read"}, TypeError),
        ({"trusted_proxies": "10.0.0.0/8"}, TypeError),
        ({"exempt": "/healthz"}, TypeError),
        ({"trusted_proxies": ["10.0.0.1/8"]}, ValueError),
        ({"trusted_proxies": ["proxy"]}, ValueError),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], error: type[Exception]) -> None:
    """A mistake in an argument fails when the middleware is made."""
    with pytest.raises(error):
        Guard(**options)


@pytest.mark.parametrize(
    ("code", "status", "challenge"),
    [
        (Code.NOT_FOUND, 401, 'error="invalid_token"'),
        (Code.REVOKED, 401, 'error="invalid_token"'),
        (Code.EXPIRED, 401, 'error="invalid_token"'),
        (Code.WRONG_ENVIRONMENT, 403, None),
        (Code.INSUFFICIENT_SCOPE, 403, 'error="insufficient_scope", scope="a:read b:read"'),
        (Code.IP_NOT_ALLOWED, 403, None),
        (Code.RATE_LIMITED, 429, None),
    ],
)
def test_refusals(code: Code, status: int, challenge: str | None) -> None:
    """Each code has its status, its word and, where it helps, its challenge."""
    with pytest.raises(KeyRefused) as caught:
        Guard(scopes=["a:read", "b:read"]).pass_or_refuse(Verdict(code))
    refusal = caught.value
    assert (refusal.status, refusal.code) == (status, code.value)
    assert (challenge or "") in refusal.headers.get("WWW-Authenticate", "")
    assert ("WWW-Authenticate" in refusal.headers) is (challenge is not None)
    assert ("Retry-After" in refusal.headers) is (status == 429)
    assert json.loads(refusal.body) == {"detail": refusal.detail, "code": code.value}
    assert refusal.answer_headers["Content-Length"] == str(len(refusal.body))


def test_every_code_has_an_answer() -> None:
    """Every code has an answer: a verdict that is not valid is refused."""
    for code in Code:
        verdict = Verdict(code)
        if verdict:
            assert Guard().pass_or_refuse(verdict) is verdict
        else:
            with pytest.raises(KeyRefused):
                Guard().pass_or_refuse(verdict)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ServiceUnavailable("No."), "1"),
        (ServiceUnavailable("No.", retry_after=7), "7"),
        (ServiceUnavailable("No.", retry_after=99_999), "60"),
        (CredentialRefused("invalid_token", 401, "The credential was revoked."), "1"),
    ],
)
def test_trouble(error: KeywrightError, seconds: str, caplog: pytest.LogCaptureFixture) -> None:
    """A failed check is a 503 with Retry-After and without the reason; a refused credential is a log error."""
    refusal = refused_for_trouble(error)
    assert (refusal.status, refusal.code, refusal.headers) == (503, "service_unavailable", {"Retry-After": seconds})
    assert "credential" not in refusal.detail
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == isinstance(error, CredentialRefused)
