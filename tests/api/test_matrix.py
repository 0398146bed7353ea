"""
Who may do what to which key: every operation of the OpenAPI document, every kind of token, every kind of key.

The operations come from the document, so a new route without a row here fails.
"""

from dataclasses import dataclass, field
from itertools import product
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.caller import KEYS, Caller
from tests.api.verifier import BATCH, VERIFY
from tests.conftest import on_any_store

EVENTS = "/api/v2/api-key-events"
OPTIONS = "/api/v2/api-key-options"
OPERATOR = "/api/v2/operator"
ONE = f"{KEYS}/{{key_id}}"
ALL_PERMISSIONS = [
    *("create:api_keys", "read:api_keys", "update:api_keys", "revoke:api_keys", "delete:api_keys"),
    *("verify:api_keys", "read:api_key_events", "operate:api_keys"),
]


@dataclass(frozen=True)
class Operation:
    """
    What a good call of an operation is, and what it answers.

    `answers` holds what it answers otherwise than the others, by kind of key. `granted` tells whether a token without
    permissions, which may do all that its organisation may, may do this.
    """

    permission: str
    success: int
    body: dict[str, Any] | None = None
    answers: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    granted: bool = True


OPERATIONS = {
    ("POST", KEYS): Operation("create:api_keys", 201, {"name": "a key"}),
    ("GET", KEYS): Operation("read:api_keys", 200),
    ("GET", ONE): Operation("read:api_keys", 200),
    ("PATCH", ONE): Operation("update:api_keys", 200, {"name": "another"}),
    ("POST", f"{ONE}/rotate"): Operation("update:api_keys", 200),
    # No rotation of a key that was just created is under way.
    ("PUT", f"{ONE}/rotation"): Operation(
        "update:api_keys", 200, {"overlap_seconds": 0}, answers={"own": (409, "no_rotation_under_way")}
    ),
    ("PUT", f"{ONE}/revoke"): Operation("revoke:api_keys", 200),
    ("DELETE", ONE): Operation("delete:api_keys", 204),
    # A receipt is of a key that is revoked or gone.
    ("GET", f"{ONE}/revocation"): Operation(
        "read:api_keys", 200, answers={"own": (409, "not_revoked"), "deleted": (200, None)}
    ),
    ("GET", f"{ONE}/usage"): Operation("read:api_keys", 200),
    # What was done to a key stays readable when it is gone.
    ("GET", f"{ONE}/events"): Operation("read:api_key_events", 200, answers={"deleted": (200, None)}),
    ("GET", EVENTS): Operation("read:api_key_events", 200),
    ("GET", OPTIONS): Operation("read:api_keys", 200),
    ("POST", VERIFY): Operation("verify:api_keys", 200, {"key": "a key"}, granted=False),
    ("POST", BATCH): Operation("verify:api_keys", 200, {"keys": [{"key": "a key"}]}, granted=False),
    # No token of a tenant opens the operator's door, with the permission, too.
    **{
        (method, f"{OPERATOR}/{path}"): Operation("operate:api_keys", 403, {"text": "a key"}, granted=False)
        for method, path in (
            ("GET", "api-keys"),
            ("POST", "api-keys/find"),
            ("GET", "api-keys/{key_id}"),
            ("PUT", "api-keys/{key_id}/revoke"),
            ("GET", "api-keys/{key_id}/revocation"),
            ("GET", "api-keys/{key_id}/usage"),
            ("GET", "api-key-events"),
            ("GET", "organizations"),
            ("GET", "organizations/{org_id}"),
            ("POST", "bulk-revocations"),
            ("GET", "bulk-revocations"),
            ("GET", "bulk-revocations/{revocation_id}"),
            ("PUT", "bulk-revocations/{revocation_id}/start"),
            ("GET", "verifiers"),
            ("POST", "verifiers"),
            ("PUT", "verifiers/{name}/revoke"),
            ("GET", "figures/verdicts"),
            ("GET", "figures/top"),
            ("GET", "figures/keys"),
            ("GET", "figures/revocations"),
            ("GET", "figures/verifiers"),
        )
    },
}
TOKENS = ["none", "expired", "wrong audience", "no organization", "missing permission", "just the permission", "full"]
TARGETS = ["own", "foreign", "absent", "malformed", "deleted"]
TOKEN_ANSWERS = {
    "none": (401, "missing_token"),
    "expired": (401, "invalid_token"),
    "wrong audience": (401, "invalid_token"),
    "no organization": (403, "organization_required"),
    "missing permission": (403, "insufficient_permission"),
}
TARGET_ANSWERS: dict[str, tuple[int, str | None]] = {
    "foreign": (404, "not_found"),
    "absent": (404, "not_found"),
    "deleted": (404, "not_found"),
    "malformed": (422, "validation_failed"),
}


@on_any_store
def test_every_operation_has_a_row(caller: Caller) -> None:
    """No operation of the document is missing from the matrix, and each documents the permission it needs."""
    paths: dict[str, dict[str, Any]] = caller.http.get("/openapi.json").json()["paths"]
    documented = {
        (method.upper(), path): operation["x-permission"]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert documented == {key: operation.permission for key, operation in OPERATIONS.items()}


def headers_for(kind: str, caller: Caller, permission: str) -> dict[str, str]:
    issuer, organization = caller.issuer, caller.organization
    tokens = {
        "expired": lambda: issuer.token(organization, permissions=ALL_PERMISSIONS, expires_in=-60),
        "wrong audience": lambda: issuer.token(organization, permissions=ALL_PERMISSIONS, audience="urn:other"),
        "no organization": lambda: issuer.token(None, permissions=ALL_PERMISSIONS),
        "missing permission": lambda: issuer.token(
            organization, permissions=[other for other in ALL_PERMISSIONS if other != permission]
        ),
        "just the permission": lambda: issuer.token(organization, permissions=[permission]),
        "full": lambda: issuer.token(organization),
    }
    return {} if kind == "none" else {"Authorization": f"Bearer {tokens[kind]()}"}


def target_id(kind: str, caller: Caller, other: Caller) -> str:
    if kind == "malformed":
        return "no-such-form"
    if kind == "absent":
        return str(uuid4())
    created: str = (other if kind == "foreign" else caller).create()["id"]
    if kind == "deleted":
        assert caller.http.delete(f"{KEYS}/{created}").status_code == 204
    return created


def expected(operation: Operation, token: str, target: str | None) -> tuple[int, str | None]:
    # Parameters are read before the token is looked at only where the framework does so; a caller without a good
    # token learns nothing of any key either way.
    if operation.permission == "operate:api_keys" and token not in TOKEN_ANSWERS:
        token = "missing permission"
    if token == "full" and not operation.granted:
        token = "missing permission"
    if token in TOKEN_ANSWERS:
        return TOKEN_ANSWERS[token]
    return {**TARGET_ANSWERS, **operation.answers}.get(target or "", (operation.success, None))


def outcome(response: httpx.Response) -> tuple[int, str | None]:
    return response.status_code, response.json()["code"] if response.status_code >= 400 else None


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=" ".join)
def test_matrix(caller: Caller, method: str, path: str) -> None:
    """Every operation answers each kind of token and key as the contract says, and touches no foreign key."""
    operation = OPERATIONS[method, path]
    targets: list[str | None] = list(TARGETS) if "{key_id}" in path else [None]
    wrong = []
    # Whoever is turned down touches no key, so that one of each kind is enough for all of them.
    kept: dict[str, str] = {}
    with caller.another() as other, httpx.Client(base_url=caller.service.base_url, trust_env=False, timeout=20) as http:
        theirs = {name: value for name, value in other.create().items() if name != "private_key"}
        for token, target in product(TOKENS, targets):
            key_id = ""
            if target is not None:
                key_id = (token in TOKEN_ANSWERS and kept.get(target)) or target_id(target, caller, other)
                kept[target] = key_id
            response = http.request(
                method,
                path.format(key_id=key_id, org_id=theirs["org_id"], revocation_id=theirs["id"], name="x"),
                json=operation.body,
                headers=headers_for(token, caller, operation.permission),
            )
            if outcome(response) != expected(operation, token, target):
                wrong.append((token, target, outcome(response)))
        assert other.http.get(f"{KEYS}/{theirs['id']}").json() == theirs
        # All that ever happened to their keys is that they were created.
        assert {event["type"] for event in other.http.get(EVENTS).json()} == {"api_key.created"}
    assert wrong == []
