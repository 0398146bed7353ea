"""The table of errors: statuses, challenges, codes, both forms."""

import time
from typing import Any

import httpx
import pytest

from tests.api.caller import KEYS, Caller
from tests.conftest import on_any_store

pytestmark = on_any_store

REALM = 'Bearer realm="keywright"'


def get(caller: Caller, authorization: list[str], **headers: str) -> httpx.Response:
    fields = [("Authorization", value) for value in authorization] + list(headers.items())
    return httpx.get(f"{caller.service.base_url}{KEYS}", headers=fields, trust_env=False, timeout=20)


def assert_answer(response: httpx.Response, status: int, code: str) -> None:
    """Every error has a status, a code, a sentence and the request's id."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer.keys() == {"detail", "code", "request_id"}
    assert answer["code"] == code
    assert answer["detail"].endswith(".")
    assert answer["request_id"] == response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("authorization", [[], ["Basic YTpi"], ["Negotiate x"], ["Token x"]])
def test_missing_token(caller: Caller, authorization: list[str]) -> None:
    """A request without a bearer token is challenged, without an error word."""
    response = get(caller, authorization)
    assert_answer(response, 401, "missing_token")
    assert response.headers["www-authenticate"] == REALM


@pytest.mark.parametrize(
    "authorization",
    [
        ["Bearer a.b.c", "Bearer a.b.c"],
        ["Bearer"],
        ["Bearer  a.b.c"],
        ["Bearer a b"],
        ["Bearer\ta.b.c"],
        ["Bearer a,b"],
        ["Bearer:a"],
        ["Basic x", "Bearer y"],
    ],
)
def test_malformed_header(caller: Caller, authorization: list[str]) -> None:
    """Two headers or a malformed one are a bad request, and say so in the challenge."""
    response = get(caller, authorization)
    assert_answer(response, 400, "invalid_request")
    assert response.headers["www-authenticate"] == f'{REALM}, error="invalid_request"'


def bad_tokens(caller: Caller) -> dict[str, str]:
    issuer, organization = caller.issuer, caller.organization
    good = issuer.token(organization)
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer.url,
        "aud": issuer.audience,
        "sub": "s",
        "iat": now,
        "exp": now + 60,
        "org_id": organization,
    }
    return {
        "not a token": "secret-word",
        "expired": issuer.token(organization, expires_in=-60),
        "another audience": issuer.token(organization, audience="https://other.example"),
        "another issuer": issuer.sign({**claims, "iss": "https://evil.example/"}),
        "unknown key": issuer.sign(claims, {"kid": "unknown"}),
        "no algorithm": issuer.sign(claims, {"alg": "none"}),
        "signature cut": good[:-8],
        "payload swapped": ".".join([good.split(".")[0], issuer.token("org_other").split(".")[1], good.split(".")[2]]),
        "not valid yet": issuer.sign({**claims, "nbf": now + 600}),
        "large": "a." + "b" * 17_000 + ".c",
    }


@pytest.mark.parametrize(
    "kind",
    [
        "not a token",
        "expired",
        "another audience",
        "another issuer",
        "unknown key",
        "no algorithm",
        "signature cut",
        "payload swapped",
        "not valid yet",
        "large",
    ],
)
def test_invalid_token(caller: Caller, kind: str) -> None:
    """A token that cannot be trusted answers 401 with the reason, and without a word of the token."""
    response = get(caller, [f"Bearer {bad_tokens(caller)[kind]}"])
    assert_answer(response, 401, "invalid_token")
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith(f'{REALM}, error="invalid_token", error_description="')
    assert "secret-word" not in response.text + challenge


def test_organization_required(caller: Caller) -> None:
    """A valid token without an organization is refused with its own code."""
    response = get(caller, [f"Bearer {caller.issuer.token(None)}"])
    assert_answer(response, 403, "organization_required")
    assert "www-authenticate" not in response.headers


def test_insufficient_scope(caller: Caller) -> None:
    """A token with permissions is limited to them, and the answer names the missing one."""
    token = caller.issuer.token(caller.organization, permissions=["create:api_keys"])
    response = get(caller, [f"Bearer {token}"])
    assert_answer(response, 403, "insufficient_permission")
    assert response.headers["www-authenticate"] == f'{REALM}, error="insufficient_scope", scope="read:api_keys"'


@pytest.mark.parametrize("path", ["/", "/api/v2", "/api/v1/api-keys", f"{KEYS}/a/b/c", "/openapi.json/x", "//"])
def test_unknown_path(caller: Caller, path: str) -> None:
    """An unknown path answers like an unknown key."""
    assert_answer(caller.http.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", KEYS, "GET, HEAD, POST"),
        ("DELETE", f"{KEYS}/", "GET, HEAD, POST"),
        ("POST", f"{KEYS}/00000000-0000-0000-0000-000000000000", "DELETE, GET, HEAD, PATCH"),
        ("POST", f"{KEYS}/00000000-0000-0000-0000-000000000000/revoke", "PUT"),
        ("GET", f"{KEYS}/00000000-0000-0000-0000-000000000000/rotate", "POST"),
        ("POST", f"{KEYS}/00000000-0000-0000-0000-000000000000/rotation", "PUT"),
        ("DELETE", f"{KEYS}/00000000-0000-0000-0000-000000000000/events", "GET, HEAD"),
        ("POST", "/api/v2/api-key-events", "GET, HEAD"),
        ("POST", "/api/v2/api-key-options/", "GET, HEAD"),
        ("TRACE", KEYS, "GET, HEAD, POST"),
    ],
)
def test_method_not_allowed(caller: Caller, method: str, path: str, allowed: str) -> None:
    """A method that a resource does not know answers 405 with all of those that it does."""
    response = caller.http.request(method, path)
    assert_answer(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


def test_problem_documents(caller: Caller) -> None:
    """With `Accept: application/problem+json` the same answer has the form of RFC 9457."""
    response = caller.http.get(f"{KEYS}?limit=0", headers={"Accept": "application/problem+json"})
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"], problem["title"]) == (422, "validation_failed", "Validation failed")
    assert problem["type"] == "urn:keywright:problem:validation_failed"
    assert isinstance(problem["detail"], str)
    assert problem["errors"][0]["loc"] == ["query", "limit"]


@pytest.mark.parametrize(
    ("offered", "kept"),
    [("request-17.a_b", True), ("short", False), ("x" * 65, False), ("has space", False), ('quo"te-quote', False)],
)
def test_request_id(caller: Caller, offered: str, kept: bool) -> None:
    """A caller's request id is kept when it is a plain word; anything else is replaced."""
    response = caller.http.get(KEYS, headers={"X-Request-Id": offered})
    assert (response.headers["x-request-id"] == offered) is kept


def test_the_token_is_checked_before_the_body(caller: Caller) -> None:
    """Without a valid token the answer reveals nothing of the body's rules."""
    response = httpx.post(f"{caller.service.base_url}{KEYS}", content=b"nonsense", trust_env=False)
    assert_answer(response, 401, "missing_token")
