"""`POST /api/v2/api-keys`: the operation whose contract is fixed to the letter."""

import re
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keywright.keys import format as text_format
from tests.api.caller import KEYS, Caller
from tests.conftest import on_any_store

SEED_FIELDS = {
    "id",
    "org_id",
    "name",
    "public_key",
    "private_key_display",
    "created_at",
    "private_key",
    "description",
    "is_revoked",
    "revoked_at",
    "last_used_at",
    "environment",
}


def test_answer(caller: Caller) -> None:
    """A creation answers 201 with every field of the contract, of the contract's type."""
    response = caller.http.post(KEYS, json={"name": "Billing export", "description": "Nightly job"})
    created = response.json()
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert created.keys() >= SEED_FIELDS
    assert created["name"] == "Billing export"
    assert created["description"] == "Nightly job"
    assert created["environment"] == "live"
    assert created["is_revoked"] is False
    assert created["revoked_at"] is None
    assert created["last_used_at"] is None
    assert str(UUID(created["id"])) == created["id"]
    assert UUID(created["id"]).version == 7
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", created["created_at"])
    age = datetime.now(UTC) - datetime.fromisoformat(created["created_at"])
    assert abs(age) < timedelta(minutes=5)


def test_every_field(caller: Caller) -> None:
    """Everything that may be wished of a key is answered, in its canonical form, and read again as it was answered."""
    limit = {"name": "minute", "limit": 100, "window_seconds": 60}
    wish = {
        "name": "Billing export",
        "description": "Nightly job",
        "environment": "sandbox",
        "expires_at": "2100-01-01T01:00:00.5+01:00",
        "scopes": ["invoices:read", "reports:*"],
        "allowed_ips": ["192.0.2.7", "2001:DB8::/32"],
        "rate_limits": [limit, {**limit, "name": "burst", "window_seconds": 1}],
        "external_id": "customer-1742",
        "metadata": {"plan": "team", "seats": [1, 2.5, None, {"deep": "\u0000"}]},
    }
    created = caller.create(**wish)
    canonical = {"expires_at": "2100-01-01T00:00:00.500000Z", "allowed_ips": ["192.0.2.7/32", "2001:db8::/32"]}
    assert {name: created[name] for name in wish} == {**wish, **canonical}
    assert created["private_key"].startswith("kw_sk_sandbox_")
    assert created["status"] == "active"
    del created["private_key"]
    assert caller.http.get(f"{KEYS}/{created['id']}").json() == created


def test_a_name_alone(caller: Caller) -> None:
    """A field that is not given is empty, and the only secret is the current one."""
    created = caller.create()
    empty = {"scopes": [], "allowed_ips": [], "rate_limits": [], "external_id": None, "metadata": {}}
    assert {name: created[name] for name in empty} == empty
    assert (created["expires_at"], created["status"], created["revocation_reason"]) == (None, "active", None)
    assert created["secrets"] == [
        {
            "public_key": created["public_key"],
            "private_key_display": created["private_key_display"],
            "created_at": created["created_at"],
            "first_used_at": None,
            "last_used_at": None,
            "retires_at": None,
            "retire_when_idle_seconds": None,
        }
    ]


@on_any_store
def test_the_organization_comes_from_the_token(caller: Caller) -> None:
    """The key belongs to the organisation that the token names, by the documented derivation."""
    issuer = caller.issuer.url
    assert caller.create()["org_id"] == str(uuid5(uuid5(NAMESPACE_URL, issuer), caller.organization))


@on_any_store
def test_an_organization_that_is_a_uuid_is_used_as_it_is(caller: Caller) -> None:
    """A UUID in the token is the organisation's id."""
    organization = "6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21"
    with Caller(caller.service, caller.issuer, organization) as other:
        assert other.create()["org_id"] == organization


@on_any_store
def test_the_pair_is_real(caller: Caller) -> None:
    """The private key's bytes sign what the public key's bytes verify."""
    created = caller.create()
    private = text_format.decode(created["private_key"])
    public = text_format.decode(created["public_key"])
    assert private is not None
    assert public is not None
    assert (private.kind, private.brand, private.environment) == ("sk", "kw", "live")
    assert (public.kind, public.brand, public.environment) == ("pk", "kw", "live")
    signature = Ed25519PrivateKey.from_private_bytes(private.payload).sign(b"request")
    Ed25519PublicKey.from_public_bytes(public.payload).verify(signature, b"request")
    assert created["private_key_display"] == text_format.display(created["private_key"])


@on_any_store
def test_headers(caller: Caller) -> None:
    """The answer has the path of the key, and forbids caches to store it."""
    response = caller.http.post(KEYS, json={"name": "a key"})
    assert response.headers["location"] == f"{KEYS}/{response.json()['id']}"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["etag"] == '"1"'
    assert caller.http.get(response.headers["location"]).status_code == 200


@on_any_store
def test_both_urls_answer_directly(caller: Caller) -> None:
    """With a trailing slash or without, the operation answers itself; nothing redirects."""
    for url in (KEYS, f"{KEYS}/"):
        assert caller.http.post(url, json={"name": "a key"}, follow_redirects=False).status_code == 201


def test_the_private_key_is_shown_once(caller: Caller) -> None:
    """After the creation no answer holds the private key."""
    created = caller.create()
    later = [
        caller.http.get(KEYS),
        caller.http.get(f"{KEYS}/{created['id']}"),
        caller.http.put(f"{KEYS}/{created['id']}/revoke"),
    ]
    body = created["private_key"].rsplit("_", 1)[1]
    assert [response.url for response in later if body in response.text or 'private_key":' in response.text] == []


@pytest.mark.parametrize("description", [{}, {"description": None}], ids=["absent", "null"])
def test_no_description(caller: Caller, description: dict[str, None]) -> None:
    """A description that is absent or null is answered as null."""
    assert caller.create(**description)["description"] is None


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", "x"),
        ("name", "n" * 100),
        ("name", "🔑" * 100),
        ("name", "e\u0301" * 50),
        ("name", " padded "),
        ("description", ""),
        ("description", "d" * 255),
        ("description", "🔑" * 255),
        ("description", "   "),
    ],
    ids=lambda value: ascii(value[:8]),
)
def test_text_up_to_its_limit(caller: Caller, field: str, text: str) -> None:
    """Text counts in code points, is taken up to its limit, and comes back exactly as given."""
    created = caller.create(**{field: text})
    assert created[field] == text
    assert caller.http.get(f"{KEYS}/{created['id']}").json()[field] == text


@on_any_store
@pytest.mark.parametrize(
    ("body", "where", "type_"),
    [
        ({}, ["body", "name"], "missing"),
        ({"name": None}, ["body", "name"], "string_type"),
        ({"name": 1}, ["body", "name"], "string_type"),
        ({"name": True}, ["body", "name"], "string_type"),
        ({"name": ["a"]}, ["body", "name"], "string_type"),
        ({"name": ""}, ["body", "name"], "string_too_short"),
        ({"name": "n" * 101}, ["body", "name"], "string_too_long"),
        ({"name": "🔑" * 101}, ["body", "name"], "string_too_long"),
        ({"name": "e\u0301" * 50 + "e"}, ["body", "name"], "string_too_long"),
        ({"name": " \u3000"}, ["body", "name"], "characters_not_allowed"),
        ({"name": "a\0b"}, ["body", "name"], "characters_not_allowed"),
        ({"name": "a\nb"}, ["body", "name"], "characters_not_allowed"),
        ({"name": "a\u202eb"}, ["body", "name"], "characters_not_allowed"),
        ({"name": "a", "description": "d" * 256}, ["body", "description"], "string_too_long"),
        ({"name": "a", "description": "\x1b[31m"}, ["body", "description"], "characters_not_allowed"),
        ({"name": "a", "description": 5}, ["body", "description"], "string_type"),
        ({"name": "a", "expiresat": "2027-01-01"}, ["body", "expiresat"], "extra_forbidden"),
        ({"name": "a", "org_id": "x"}, ["body", "org_id"], "extra_forbidden"),
        ({"name": "a", "scopes": ["a:b", "a"]}, ["body", "scopes", 1], "scope_malformed"),
        ({"name": "a", "allowed_ips": ["192.0.2.1/24"]}, ["body", "allowed_ips", 0], "network_malformed"),
        (
            {"name": "a", "rate_limits": [{"name": "m", "limit": 1}]},
            ["body", "rate_limits", 0, "window_seconds"],
            "missing",
        ),
        ({"name": "a", "expires_at": "2100-01-01"}, ["body", "expires_at"], "date_time_malformed"),
        ({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}, ["body", "expires_at"], "expiry_in_the_past"),
        ({"name": "a", "environment": "staging"}, ["body", "environment"], "environment_unknown"),
        ({"name": "a", "environment": "Live"}, ["body", "environment"], "string_pattern_mismatch"),
        ({"name": "a", "external_id": ""}, ["body", "external_id"], "string_too_short"),
        ({"name": "a", "metadata": {"a": "x" * 8192}}, ["body", "metadata"], "metadata_too_large"),
        ({"name": "a", "no name\n": 1}, ["body", "?"], "extra_forbidden"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_refused(caller: Caller, body: dict[str, object], where: list[str], type_: str) -> None:
    """A flaw answers 422 with its location and type, and nothing is created."""
    response = caller.http.post(KEYS, json=body)
    assert response.status_code == 422
    answer = response.json()
    assert answer["code"] == "validation_failed"
    assert [(flaw["loc"], flaw["type"]) for flaw in answer["detail"]] == [(where, type_)]
    assert all(flaw.keys() == {"loc", "msg", "type"} for flaw in answer["detail"])
    assert caller.http.get(KEYS).json() == []


@on_any_store
def test_every_flaw_is_told(caller: Caller) -> None:
    """A body with two flaws is answered with both."""
    answer = caller.http.post(KEYS, json={"name": "", "description": 5, "more": 1}).json()
    assert [flaw["loc"][1] for flaw in answer["detail"]] == ["name", "description", "more"]
