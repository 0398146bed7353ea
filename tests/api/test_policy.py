"""The operator's policy for keys, as it is published and as it is enforced."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keywright.dev.issuer import DevIssuer
from keywright.service.principal import Permission
from tests.api.caller import KEYS, Caller
from tests.conftest import on_any_store
from tests.live import LiveService, environment, start_service

OPTIONS = "/api/v2/api-key-options"
# Without RBAC a token may do all but verify.
ALL_PERMISSIONS = [each.value for each in Permission if each not in (Permission.VERIFY, Permission.OPERATE)]
CATALOGUE = "reports:read=Read reports; reports:write=Change reports; invoices:read=Read invoices"


@pytest.fixture(scope="module")
def strict(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service whose operator made every rule there is."""
    rotations = {"rotations_per_hour": "3", "max_pairs": "3"}
    rules = {"max_life_days": "30", "max_active_keys": "2", "scopes": CATALOGUE, "environments": "test,live"}
    with start_service(environment(issuer, **rules, **rotations)) as live:
        yield live


@pytest.fixture
def bound(strict: LiveService, issuer: DevIssuer) -> Iterator[Caller]:
    with Caller(strict, issuer) as caller:
        yield caller


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def test_options(bound: Caller) -> None:
    """A form learns the environments, the scopes and the rules that there are."""
    response = bound.http.get(f"{OPTIONS}/")
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.json() == {
        "environments": ["test", "live"],
        "scopes": [
            {"scope": "reports:read", "description": "Read reports"},
            {"scope": "reports:write", "description": "Change reports"},
            {"scope": "invoices:read", "description": "Read invoices"},
        ],
        "policy": {"max_life_seconds": 30 * 86_400, "expiry_required": False, "max_active_keys": 2},
        "permissions": ALL_PERMISSIONS,
        "grantable_scopes": None,
        "client_ip": "127.0.0.1",
    }


@on_any_store
def test_options_without_rules(caller: Caller) -> None:
    """Without rules of an operator, each limit but the number of active keys is null."""
    assert caller.http.get(OPTIONS).json() == {
        "environments": ["live", "sandbox"],
        "scopes": None,
        "policy": {"max_life_seconds": None, "expiry_required": False, "max_active_keys": 100_000},
        "permissions": ALL_PERMISSIONS,
        "grantable_scopes": None,
        "client_ip": "127.0.0.1",
    }


@on_any_store
def test_options_name_the_permissions_of_the_token(caller: Caller) -> None:
    """A form learns what its token may do, and nothing that it may not."""
    claimed = ["read:api_keys", "revoke:api_keys", "operate:api_keys", "something:else"]
    with caller.another(permissions=claimed) as reader:
        assert reader.http.get(OPTIONS).json()["permissions"] == ["read:api_keys", "revoke:api_keys"]


def test_options_name_the_address_of_the_caller(issuer: DevIssuer) -> None:
    """A form can offer the address that it was asked from: that behind a trusted proxy, else that of the connection."""
    with start_service(environment(issuer, trusted_proxies="127.0.0.0/8")) as live, Caller(live, issuer) as caller:
        found = [
            caller.http.get(OPTIONS, headers={"X-Forwarded-For": value}).json()["client_ip"]
            for value in ("203.0.113.7", "198.51.100.1, 203.0.113.7, 127.0.0.9", "nonsense")
        ]
    assert found == ["203.0.113.7", "203.0.113.7", None]


def test_options_believe_no_other_proxy(caller: Caller) -> None:
    """What an untrusted caller says of its address counts for nothing."""
    answer = caller.http.get(OPTIONS, headers={"X-Forwarded-For": "203.0.113.7"})
    assert answer.json()["client_ip"] == "127.0.0.1"


def test_a_key_without_an_expiry_gets_the_longest(bound: Caller) -> None:
    """Where keys live for a time at most, one that does not say when it expires gets that time."""
    created = bound.create()
    life = datetime.fromisoformat(created["expires_at"]) - datetime.fromisoformat(created["created_at"])
    assert life == timedelta(days=30)
    assert created["environment"] == "test"


@pytest.mark.parametrize(
    ("fields", "where", "kind"),
    [
        ({"expires_at": 31}, ["body", "expires_at"], "expiry_too_late"),
        ({"expires_at": -1}, ["body", "expires_at"], "expiry_in_the_past"),
        ({"environment": "sandbox"}, ["body", "environment"], "environment_unknown"),
        ({"scopes": ["reports:read", "xyzzy:read"]}, ["body", "scopes", 1], "scope_unknown"),
        ({"scopes": ["xyzzy:*"]}, ["body", "scopes", 0], "scope_unknown"),
    ],
    ids=str,
)
def test_what_the_policy_refuses(bound: Caller, fields: dict[str, Any], where: list[Any], kind: str) -> None:
    """A value against the policy answers 422 with location and type, in a creation and in an update."""
    created = bound.create()
    # Days from now: a time of its own would give the test another name in every process.
    fields = {name: in_days(value) if name == "expires_at" else value for name, value in fields.items()}
    answers = [bound.http.post(KEYS, json={"name": "a key", **fields})]
    if "environment" not in fields:
        answers.append(bound.http.patch(f"{KEYS}/{created['id']}", json=fields))
    for response in answers:
        assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
        assert [(flaw["loc"], flaw["type"]) for flaw in response.json()["detail"]] == [(where, kind)]
        assert "xyzzy" not in response.text


def test_what_the_policy_allows(bound: Caller) -> None:
    """Scopes of the catalogue, wildcards that grant one of them, and an expiry within the time are taken."""
    fields = {"scopes": ["reports:read", "invoices:*", "*:write", "*:*"], "expires_at": in_days(29)}
    created = bound.create(**fields, environment="live")
    assert (created["scopes"], created["environment"]) == (fields["scopes"], "live")


def test_too_many_keys(bound: Caller) -> None:
    """One key more than there may be is refused; a key that was revoked or deleted makes room."""
    first, second = bound.create(), bound.create()
    for path in ("", "/revoke"):
        response = bound.http.post(KEYS, json={"name": "one more"})
        assert (response.status_code, response.json()["code"]) == (409, "too_many_keys")
        method, key = ("DELETE", first) if path == "" else ("PUT", second)
        bound.http.request(method, f"{KEYS}/{key['id']}{path}")
        bound.create()


def test_too_many_pairs(bound: Caller) -> None:
    """A key that has as many pairs as it may have is not rotated any more, also when none but the current works."""
    url = f"{KEYS}/{bound.create()['id']}/rotate"
    assert [bound.http.post(url, json={"overlap_seconds": 0}).status_code for _ in range(2)] == [200, 200]
    refused = bound.http.post(url)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_pairs")


@on_any_store
def test_rotated_too_often(caller: Caller) -> None:
    """A rotation beyond the default of ten an hour is refused with the time until the next one; another key is not."""
    first, other = caller.create(), caller.create()
    url = f"{KEYS}/{first['id']}/rotate"
    assert {caller.http.post(url, json={"overlap_seconds": 0}).status_code for _ in range(10)} == {200}
    refused = caller.http.post(url)
    assert (refused.status_code, refused.json()["code"]) == (429, "rotated_too_often")
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert caller.http.post(f"{KEYS}/{other['id']}/rotate").status_code == 200


def test_an_expiry_has_to_be_said(issuer: DevIssuer) -> None:
    """Where the operator wants every key to say when it expires, one that does not is refused."""
    with start_service(environment(issuer, require_expiry="true")) as live, Caller(live, issuer) as caller:
        assert caller.http.get(OPTIONS).json()["policy"]["expiry_required"] is True
        for body in ({}, {"expires_at": None}):
            response = caller.http.post(KEYS, json={"name": "a key", **body})
            assert [(flaw["loc"], flaw["type"]) for flaw in response.json()["detail"]] == [
                (["body", "expires_at"], "expiry_required")
            ]
        created = caller.create(expires_at=in_days(1))
        assert caller.http.patch(f"{KEYS}/{created['id']}", json={"expires_at": None}).status_code == 422
