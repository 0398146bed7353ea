"""The trail, as the people of an organisation read it."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.api.caller import KEYS, Caller
from tests.conftest import on_any_store

EVENTS = "/api/v2/api-key-events"


def told(caller: Caller, url: str = EVENTS, **query: Any) -> list[dict[str, Any]]:
    response = caller.http.get(url, params=query)
    assert response.status_code == 200, response.text
    events: list[dict[str, Any]] = response.json()
    return events


def followed(caller: Caller, url: str) -> list[dict[str, Any]]:
    """Follow a list from page to page by its links."""
    events: list[dict[str, Any]] = []
    following: str | None = url
    while following is not None:
        response = caller.http.get(following)
        events += response.json()
        following = response.links.get("next", {}).get("url")
    return events


@pytest.fixture
def life(caller: Caller) -> dict[str, Any]:
    """A key that everything was done to, and another one."""
    created = caller.create(name="first")
    url = f"{KEYS}/{created['id']}"
    caller.http.patch(url, json={"name": "renamed"})
    caller.http.post(f"{url}/rotate")
    caller.http.put(f"{url}/rotation", json={"overlap_seconds": 0})
    caller.create(name="second")
    caller.http.put(f"{url}/revoke", json={"reason": "superseded"})
    caller.http.delete(url)
    return created


def test_everything_leaves_an_event(caller: Caller, life: dict[str, Any]) -> None:
    """Every change has one event, newest first, in a chain without gaps; events of deleted keys stay."""
    response = caller.http.get(f"{EVENTS}/")
    events = response.json()
    assert response.headers["cache-control"] == "private, no-cache"
    assert [event["type"].removeprefix("api_key.") for event in events] == [
        *("deleted", "revoked", "created", "rotation_changed", "rotated", "updated", "created")
    ]
    assert [event["position"] for event in events] == [7, 6, 5, 4, 3, 2, 1]
    assert len({event["hash"] for event in events}) == 7
    assert all(len(bytes.fromhex(event["hash"])) == 32 for event in events)
    assert {event["key_id"] for event in events if event["position"] != 5} == {life["id"]}


def test_one_event(caller: Caller) -> None:
    """An event has its actor, type, key, time, address and request."""
    created = caller.http.post(KEYS, json={"name": "a key"}, headers={"X-Request-Id": "the-request-17"}).json()
    (event,) = told(caller)
    assert UUID(event.pop("id")).version == 7
    assert event.pop("hash")
    assert event == {
        "type": "api_key.created",
        "key_id": created["id"],
        "occurred_at": created["created_at"],
        "actor": {"issuer": caller.issuer.url, "subject": "auth0|demo", "client_id": "keywright-dev"},
        "request_id": "the-request-17",
        "address": "127.0.0.1",
        "data": {"name": "a key", "environment": "live", "public_key": created["public_key"]},
        "position": 1,
        "erased": False,
    }


def test_no_secret_is_told(caller: Caller, life: dict[str, Any]) -> None:
    """No event holds a private key."""
    assert life["private_key"].rsplit("_", 1)[1] not in caller.http.get(EVENTS).text


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
def test_pages(caller: Caller, life: dict[str, Any], limit: int) -> None:
    """Following the links gives every event once, in order, with the given filters."""
    everything = told(caller)
    assert followed(caller, f"{EVENTS}?limit={limit}") == everything
    of_one = [event for event in everything if event["key_id"] == life["id"]]
    assert followed(caller, f"{EVENTS}?limit={limit}&key_id={life['id']}") == of_one
    assert followed(caller, f"{KEYS}/{life['id']}/events?limit={limit}") == of_one


def test_filters(caller: Caller, life: dict[str, Any]) -> None:
    """A filter leaves out all other events; `since` is included and `until` is not."""
    everything = told(caller)
    assert told(caller, type="api_key.created") == [e for e in everything if e["type"] == "api_key.created"]
    assert told(caller, key_id=life["id"], type="api_key.created") == [everything[-1]]
    assert told(caller, actor="auth0|demo") == everything
    assert told(caller, actor="auth0|nobody") == []
    moment = everything[3]["occurred_at"]
    assert told(caller, since=moment) == [e for e in everything if e["occurred_at"] >= moment]
    assert told(caller, until=moment) == [e for e in everything if e["occurred_at"] < moment]
    assert told(caller, f"{KEYS}/{life['id']}/events", since=moment, until=moment) == []
    assert told(caller, key_id=str(uuid4())) == []


def test_the_actor_is_who_did_it(caller: Caller) -> None:
    """A filter by actor separates two people of one organization."""
    created = caller.create()
    with Caller(caller.service, caller.issuer, caller.organization, subject="auth0|bob") as bob:
        bob.http.put(f"{KEYS}/{created['id']}/revoke")
    (event,) = told(caller, actor="auth0|bob")
    assert (event["type"], event["actor"]["subject"]) == ("api_key.revoked", "auth0|bob")


def test_other_organizations(caller: Caller, life: dict[str, Any]) -> None:
    """Another organisation sees none of it; a key of others, one that never was, and one without events are one 404."""
    with caller.another() as other:
        assert told(other) == []
        assert told(other, key_id=life["id"]) == []
        answers = {
            other.http.get(f"{KEYS}/{key_id}/events", headers={"X-Request-Id": "request-0"}).content
            for key_id in (life["id"], str(uuid4()))
        }
        assert len(answers) == 1
        assert b'"code":"not_found"' in answers.pop()


@on_any_store
@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=xyzzy", "cursor"),
        ("type=xyzzy", "type"),
        ("type=api_key.created&type=xyzzy", "type"),
        ("key_id=xyzzy", "key_id"),
        ("actor=", "actor"),
        ("actor=xyzzy%00", "actor"),
        ("since=xyzzy", "since"),
        ("since=2026-11-23", "since"),
        ("until=2026-11-23T00:00:00", "until"),
        ("subject=xyzzy", "subject"),
    ],
)
def test_parameters_that_are_refused(caller: Caller, query: str, where: str) -> None:
    """A parameter out of range, malformed or unknown answers 422, names it and does not echo its value."""
    response = caller.http.get(f"{EVENTS}?{query}")
    assert response.status_code == 422
    assert [flaw["loc"] for flaw in response.json()["detail"]] == [["query", where]]
    assert "xyzzy" not in response.text


@on_any_store
def test_the_key_of_a_path_is_no_parameter(caller: Caller) -> None:
    """The events of one key take no other key's id."""
    created = caller.create()
    assert caller.http.get(f"{KEYS}/{created['id']}/events?key_id={created['id']}").status_code == 422


@on_any_store
def test_the_permission_of_its_own(caller: Caller) -> None:
    """The permission to read keys does not include the audit log."""
    token = caller.issuer.token(caller.organization, permissions=["read:api_keys"])
    response = httpx.get(
        f"{caller.service.base_url}{EVENTS}", headers={"Authorization": f"Bearer {token}"}, trust_env=False
    )
    assert response.status_code == 403
    assert 'scope="read:api_key_events"' in response.headers["www-authenticate"]
