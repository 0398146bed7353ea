"""`PATCH /api/v2/api-keys/{key_id}`: changed and unchanged fields, and the condition `If-Match`."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.caller import KEYS, Caller
from tests.conftest import on_any_store

LIMIT = {"name": "minute", "limit": 100, "window_seconds": 60}
METADATA = {"plan": "team", "seats": [5, 0.1, 1e300, 10**40], "none": None, "text": "\0\n🔑", "": {"deep": True}}
CHANGES: list[tuple[str, Any, Any]] = [
    ("name", "another name", "another name"),
    ("description", "another description", "another description"),
    ("expires_at", "2100-01-01T02:00:00+02:00", "2100-01-01T00:00:00Z"),
    ("scopes", ["invoices:read", "*:*"], ["invoices:read", "*:*"]),
    ("allowed_ips", ["192.0.2.7", "2001:DB8::/32"], ["192.0.2.7/32", "2001:db8::/32"]),
    ("rate_limits", [LIMIT], [LIMIT]),
    ("external_id", "customer-1742", "customer-1742"),
    ("metadata", METADATA, METADATA),
]


def patch(caller: Caller, key_id: str, /, *, if_match: str | None = None, **changes: Any) -> httpx.Response:
    headers = {} if if_match is None else {"If-Match": if_match}
    return caller.http.patch(f"{KEYS}/{key_id}", json=changes, headers=headers)


def event_types(caller: Caller, key_id: str) -> list[str]:
    return [event["type"] for event in caller.http.get(f"{KEYS}/{key_id}/events").json()]


@pytest.mark.parametrize(("field", "value", "stored"), CHANGES, ids=[field for field, _, _ in CHANGES])
def test_each_field(caller: Caller, field: str, value: Any, stored: Any) -> None:
    """A given field replaces the old value, all others stay, and a read gives the same answer."""
    created = caller.create()
    response = patch(caller, created["id"], **{field: value})
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "private, no-cache"
    changed = response.json()
    assert changed == {**{name: created[name] for name in changed}, field: stored}
    read = caller.http.get(f"{KEYS}/{created['id']}/")
    assert (read.json(), read.headers["etag"]) == (changed, response.headers["etag"])


def test_several_fields_at_once(caller: Caller) -> None:
    """All that is given changes together, in one version and one event."""
    created = caller.create()
    response = patch(caller, created["id"], **{field: value for field, value, _ in CHANGES})
    assert {field: response.json()[field] for field, _, _ in CHANGES} == {field: stored for field, _, stored in CHANGES}
    assert response.headers["etag"] == '"2"'
    assert event_types(caller, created["id"]) == ["api_key.updated", "api_key.created"]


def test_what_can_be_cleared(caller: Caller) -> None:
    """Null, an empty list and an empty object remove the old value."""
    created = caller.create(**{field: value for field, value, _ in CHANGES})
    empty: dict[str, Any] = {"description": None, "expires_at": None, "external_id": None}
    empty |= {"scopes": [], "allowed_ips": [], "rate_limits": [], "metadata": {}}
    changed = patch(caller, created["id"], **empty).json()
    assert {field: changed[field] for field in empty} == empty
    assert caller.http.get(f"{KEYS}/{created['id']}").json() == changed


@pytest.mark.parametrize("what", ["nothing", "the same"])
def test_nothing_different(caller: Caller, what: str) -> None:
    """An update without a difference succeeds, and makes neither a new version nor an event."""
    created = caller.create(**{field: value for field, value, _ in CHANGES})
    fields = [] if what == "nothing" else [*(field for field, _, _ in CHANGES), "environment"]
    response = patch(caller, created["id"], **{field: created[field] for field in fields})
    assert (response.status_code, response.headers["etag"]) == (200, '"1"')
    assert event_types(caller, created["id"]) == ["api_key.created"]


@on_any_store
@pytest.mark.parametrize(
    ("changes", "where", "kind"),
    [
        ({"name": None}, ["body", "name"], "string_type"),
        ({"name": " "}, ["body", "name"], "characters_not_allowed"),
        ({"scopes": None}, ["body", "scopes"], "list_type"),
        ({"metadata": None}, ["body", "metadata"], "dict_type"),
        ({"scopes": ["a:b", "xyzzy"]}, ["body", "scopes", 1], "scope_malformed"),
        ({"allowed_ips": ["192.0.2.1/24"]}, ["body", "allowed_ips", 0], "network_malformed"),
        ({"rate_limits": [{**LIMIT, "limit": 0}]}, ["body", "rate_limits", 0, "limit"], "greater_than_equal"),
        ({"expires_at": "tomorrow"}, ["body", "expires_at"], "date_time_malformed"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, ["body", "expires_at"], "expiry_in_the_past"),
        ({"environment": "sandbox"}, ["body", "environment"], "environment_fixed"),
        ({"id": "x"}, ["body", "id"], "extra_forbidden"),
        ({"is_revoked": True}, ["body", "is_revoked"], "extra_forbidden"),
        ({"private_key": "xyzzy"}, ["body", "private_key"], "extra_forbidden"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_refused(caller: Caller, changes: dict[str, Any], where: list[Any], kind: str) -> None:
    """A flaw answers 422 with location and type, quotes nothing, and does not change the key."""
    created = caller.create()
    response = patch(caller, created["id"], description="fine", **changes)
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert [(flaw["loc"], flaw["type"]) for flaw in response.json()["detail"]] == [(where, kind)]
    assert "xyzzy" not in response.text
    assert caller.http.get(f"{KEYS}/{created['id']}").headers["etag"] == '"1"'


def test_a_revoked_key(caller: Caller) -> None:
    """A revoked key does not change any more."""
    created = caller.create()
    caller.http.put(f"{KEYS}/{created['id']}/revoke")
    response = patch(caller, created["id"], name="another")
    assert (response.status_code, response.json()["code"]) == (409, "key_revoked")


def test_every_change_is_another_version(caller: Caller) -> None:
    """The entity tag changes with every change of management, whichever it is, and is the same for every reader."""
    created = caller.http.post(KEYS, json={"name": "a key"})
    url = f"{KEYS}/{created.json()['id']}"
    answers = [
        created,
        caller.http.patch(url, json={"name": "another"}),
        caller.http.post(f"{url}/rotate"),
        caller.http.put(f"{url}/rotation", json={"overlap_seconds": 0}),
        caller.http.put(f"{url}/revoke"),
    ]
    tags = [answer.headers["etag"] for answer in answers]
    assert len(set(tags)) == len(tags)
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags)
    assert caller.http.get(url).headers["etag"] == tags[-1]


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ("*", 200),
        ('"0", "1"', 200),
        ('"0"', 412),
        ('W/"1"', 412),
        ("1", 400),
        ('"1', 400),
        ('*, "1"', 400),
    ],
)
def test_if_match(caller: Caller, if_match: str, status: int) -> None:
    """A change with `If-Match` succeeds for a strong match, and is refused without one or for a malformed header."""
    created = caller.create()
    response = patch(caller, created["id"], if_match=if_match, name="another")
    assert response.status_code == status
    code = {412: "precondition_failed", 400: "invalid_request"}.get(status)
    assert response.json().get("code") == code
    assert (caller.http.get(f"{KEYS}/{created['id']}").json()["name"] == "another") is (status == 200)


def test_one_of_many_wins(caller: Caller) -> None:
    """Of changes on the condition of the same version, one succeeds and the others answer 412."""
    created = caller.create()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: patch(caller, created["id"], if_match='"1"', name=f"name {n}"), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert caller.http.get(f"{KEYS}/{created['id']}").json() == won


def test_changes_side_by_side_lose_nothing(caller: Caller) -> None:
    """Changes without a condition to different fields at the same time all stay, or are refused whole."""
    created = caller.create()
    fields = {"name": "n", "description": "d", "external_id": "e", "metadata": {"m": 1}}
    with ThreadPoolExecutor(4) as threads:
        changes = [{name: value} for name, value in fields.items()]
        answers = list(threads.map(lambda change: patch(caller, created["id"], **change), changes))
    assert {answer.status_code for answer in answers} <= {200, 409}
    accepted = [change for change, answer in zip(changes, answers, strict=True) if answer.status_code == 200]
    read = caller.http.get(f"{KEYS}/{created['id']}").json()
    assert accepted
    assert {name: read[name] for change in accepted for name in change} == {
        name: value for change in accepted for name, value in change.items()
    }


def test_the_event_tells_the_difference(caller: Caller) -> None:
    """The audit log has the changed fields alone, before and after."""
    created = caller.create(scopes=["a:b"])
    patch(caller, created["id"], scopes=["a:b", "c:d"], name="a key")
    event = caller.http.get(f"{KEYS}/{created['id']}/events").json()[0]
    assert event["data"] == {"before": {"scopes": ["a:b"]}, "after": {"scopes": ["a:b", "c:d"]}}


@on_any_store
def test_a_body_is_required(caller: Caller) -> None:
    """Without a body there is nothing to change, and it has to say that it is JSON."""
    url = f"{KEYS}/{caller.create()['id']}"
    assert caller.http.patch(url).status_code == 415
    for content, content_type, status in ((b"", "application/json", 400), (b"{}", "application/merge-patch+json", 415)):
        response = caller.http.patch(url, content=content, headers={"Content-Type": content_type})
        assert response.status_code == status
