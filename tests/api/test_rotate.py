"""Rotation: a key gets a new secret, and the old one works beside it for as long as is wished."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keywright.keys import format as text_format
from tests.api.caller import KEYS, Caller
from tests.api.verifier import Verifier
from tests.conftest import on_any_store
from tests.waiting import eventually

MONTH = timedelta(days=30)


def between(earlier: str, later: str) -> timedelta:
    return datetime.fromisoformat(later) - datetime.fromisoformat(earlier)


def test_answer(caller: Caller) -> None:
    """A rotation answers 200 with the key, a new pair and its private half, which no cache may keep."""
    created = caller.create(name="kept", scopes=["a:b"])
    response = caller.http.post(f"{KEYS}/{created['id']}/rotate/")
    rotated = response.json()
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["etag"] == '"2"'
    assert "location" not in response.headers
    assert rotated.keys() == created.keys()
    changed = {"public_key", "private_key_display", "private_key", "secrets"}
    assert {name: rotated[name] for name in rotated if name not in changed} == {
        name: created[name] for name in created if name not in changed
    }
    assert text_format.display(rotated["private_key"]) == rotated["private_key_display"]
    assert rotated["private_key"] != created["private_key"]
    assert [secret["public_key"] for secret in rotated["secrets"]] == [rotated["public_key"], created["public_key"]]
    assert between(rotated["secrets"][0]["created_at"], rotated["secrets"][1]["retires_at"]) == timedelta(days=1)
    assert rotated["secrets"][0]["retires_at"] is None


def test_the_private_key_is_shown_once(caller: Caller) -> None:
    """After the rotation no answer holds the new private key."""
    created = caller.create()
    url = f"{KEYS}/{created['id']}"
    rotated = caller.http.post(f"{url}/rotate").json()
    later = [
        caller.http.get(url),
        caller.http.get(KEYS),
        caller.http.get(f"{url}/events"),
        caller.http.get(f"{url}/usage"),
        caller.http.post(f"{url}/rotate"),
        caller.http.put(f"{url}/rotation", json={"overlap_seconds": 60}),
        caller.http.put(f"{url}/revoke"),
    ]
    body = rotated["private_key"].rsplit("_", 1)[1]
    assert [answer.url for answer in later if body in answer.text or 'private_key":' in answer.text] == []


@pytest.mark.parametrize(
    ("body", "overlap", "quiet"),
    [
        (None, timedelta(days=1), None),
        ({}, timedelta(days=1), None),
        ({"overlap_seconds": 60}, timedelta(seconds=60), None),
        ({"overlap_seconds": 2_592_000}, MONTH, None),
        ({"retire_when_idle_seconds": 3600}, MONTH, 3600),
        ({"overlap_seconds": 7200, "retire_when_idle_seconds": 3600}, timedelta(hours=2), 3600),
    ],
)
def test_overlap(caller: Caller, body: Any, overlap: timedelta, quiet: int | None) -> None:
    """The old secret works for the given or the default time, and the answer shows its end."""
    created = caller.create()
    response = (
        caller.http.post(f"{KEYS}/{created['id']}/rotate", json=body)
        if body is not None
        else caller.http.post(f"{KEYS}/{created['id']}/rotate")
    )
    new, old = response.json()["secrets"]
    assert between(new["created_at"], old["retires_at"]) == overlap
    assert old["retire_when_idle_seconds"] == quiet
    assert caller.http.get(f"{KEYS}/{created['id']}").json()["secrets"] == [new, old]


def test_both_secrets_work_for_a_while(caller: Caller, verifier: Verifier) -> None:
    """While they overlap both secrets pass; once the old one was ended, it is expired and the new one passes."""
    created = caller.create()
    url = f"{KEYS}/{created['id']}"
    rotated = caller.http.post(f"{url}/rotate").json()
    keys = [created["private_key"], rotated["private_key"]]
    assert [verifier.code(key) for key in keys] == ["valid", "valid"]
    assert caller.http.put(f"{url}/rotation", json={"overlap_seconds": 0}).status_code == 200
    # Whoever asks for facts is answered from the database, and not from memory that may lag within the bound.
    assert [verifier.ask(key, facts=True).json()["code"] for key in keys] == ["replaced", "valid"]


def test_without_overlap(caller: Caller) -> None:
    """A rotation without overlap leaves one secret, and may be followed by another at once."""
    url = f"{KEYS}/{caller.create()['id']}/rotate"
    first = caller.http.post(url, json={"overlap_seconds": 0}).json()
    second = caller.http.post(url, json={"overlap_seconds": 0}).json()
    assert len(first["secrets"]) == len(second["secrets"]) == 1
    assert first["private_key"] != second["private_key"]


def test_rotation_under_way(caller: Caller) -> None:
    """While two secrets work, there is no third."""
    url = f"{KEYS}/{caller.create()['id']}"
    rotated = caller.http.post(f"{url}/rotate").json()
    response = caller.http.post(f"{url}/rotate")
    assert (response.status_code, response.json()["code"]) == (409, "rotation_under_way")
    assert caller.http.get(url).json()["secrets"] == rotated["secrets"]


def test_a_revoked_key(caller: Caller) -> None:
    """A revoked key gets no new secret, and no rotation of it changes."""
    url = f"{KEYS}/{caller.create()['id']}"
    caller.http.post(f"{url}/rotate")
    caller.http.put(f"{url}/revoke")
    answers = [caller.http.post(f"{url}/rotate"), caller.http.put(f"{url}/rotation", json={"overlap_seconds": 5})]
    for response in answers:
        assert (response.status_code, response.json()["code"]) == (409, "key_revoked")


def test_an_expired_key(caller: Caller) -> None:
    """An expired key gets no new secret until it is given another expiry; the list finds it by what it is worth."""
    soon = datetime.now(UTC) + timedelta(seconds=1)
    url = f"{KEYS}/{caller.create(expires_at=soon.isoformat())['id']}"
    while (read := caller.http.get(url).json())["status"] == "active":
        pass
    assert (read["status"], read["is_revoked"]) == ("expired", False)
    assert caller.http.get(f"{KEYS}?status=expired").json() == [read]
    assert caller.http.get(f"{KEYS}?status=active").json() == []
    response = caller.http.post(f"{url}/rotate")
    assert (response.status_code, response.json()["code"]) == (409, "key_expired")
    assert caller.http.patch(url, json={"expires_at": None}).json()["status"] == "active"
    assert caller.http.post(f"{url}/rotate").status_code == 200


@pytest.mark.parametrize(("if_match", "status"), [('"1"', 200), ('"2"', 412), ("one", 400)])
def test_if_match(caller: Caller, if_match: str, status: int) -> None:
    """A rotation succeeds only while the key has a version of `If-Match`."""
    url = f"{KEYS}/{caller.create()['id']}"
    assert caller.http.post(f"{url}/rotate", headers={"If-Match": if_match}).status_code == status
    assert len(caller.http.get(url).json()["secrets"]) == (2 if status == 200 else 1)


def test_more_time(caller: Caller) -> None:
    """The old secret can get more time, counted from now, and then no longer ends for being idle."""
    url = f"{KEYS}/{caller.create()['id']}"
    caller.http.post(f"{url}/rotate", json={"retire_when_idle_seconds": 60, "overlap_seconds": 120})
    response = caller.http.put(f"{url}/rotation/", json={"overlap_seconds": 2_592_000})
    assert response.status_code == 200
    new, old = response.json()["secrets"]
    assert MONTH <= between(new["created_at"], old["retires_at"]) < MONTH + timedelta(minutes=5)
    assert old["retire_when_idle_seconds"] is None
    assert caller.http.get(url).json() == response.json()


def test_no_rotation_under_way(caller: Caller) -> None:
    """Where one secret works, there is no end to move."""
    url = f"{KEYS}/{caller.create()['id']}"
    for _ in range(2):
        response = caller.http.put(f"{url}/rotation", json={"overlap_seconds": 60})
        assert (response.status_code, response.json()["code"]) == (409, "no_rotation_under_way")
        caller.http.post(f"{url}/rotate", json={"overlap_seconds": 0})


@on_any_store
@pytest.mark.parametrize("path", ["rotate", "rotation"])
@pytest.mark.parametrize(
    "body", [{"overlap_seconds": -1}, {"overlap_seconds": 2_592_001}, {"overlap_seconds": "60"}, {"overlap": 60}]
)
def test_what_is_refused(caller: Caller, path: str, body: dict[str, Any]) -> None:
    """A time out of its bounds or an unknown field answers 422 and changes nothing."""
    url = f"{KEYS}/{caller.create()['id']}"
    response = caller.http.request("POST" if path == "rotate" else "PUT", f"{url}/{path}", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert caller.http.get(url).headers["etag"] == '"1"'


def test_events(caller: Caller) -> None:
    """A rotation and a change of its end leave their events."""
    url = f"{KEYS}/{caller.create()['id']}"
    caller.http.post(f"{url}/rotate")
    caller.http.put(f"{url}/rotation", json={"overlap_seconds": 0})
    types = [event["type"] for event in caller.http.get(f"{url}/events").json()]
    assert types == ["api_key.rotation_changed", "api_key.rotated", "api_key.created"]


def test_a_secret_that_ended_stays_ended(caller: Caller, verifier: Verifier) -> None:
    """Whatever happens to its key, the verdict on a secret that ended before stays: cached and looked up alike."""
    created = caller.create()
    url = f"{KEYS}/{created['id']}"
    current = caller.http.post(f"{url}/rotate", json={"overlap_seconds": 0}).json()["private_key"]
    old = created["private_key"]
    eventually(lambda: verifier.code(old) == "replaced")
    for method, path, verdict in (("PUT", "/revoke", "revoked"), ("DELETE", "", "not_found")):
        caller.http.request(method, f"{url}{path}").raise_for_status()
        eventually(lambda expected=verdict: verifier.code(current) == expected)
        # The second one is always looked up.
        assert verifier.code(old) == verifier.ask(old, facts=True).json()["code"] == "replaced"
