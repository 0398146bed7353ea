"""Revoking and deleting keys."""

from uuid import uuid4

import pytest

from tests.api.caller import KEYS, Caller

FAMILY_FIELDS = {
    "id",
    "org_id",
    "name",
    "is_revoked",
    "created_at",
    "description",
    "expires_at",
    "last_used_at",
}


def test_revoke(caller: Caller) -> None:
    """A revoked key says so with the time, in the answer and ever after."""
    created = caller.create()
    response = caller.http.put(f"{KEYS}/{created['id']}/revoke")
    revoked = response.json()
    assert response.status_code == 200
    assert revoked.keys() >= FAMILY_FIELDS
    assert revoked["is_revoked"] is True
    assert revoked["revoked_at"] >= created["created_at"]
    assert caller.http.get(f"{KEYS}/{created['id']}").json() == revoked


def test_revoking_again_answers_the_same(caller: Caller) -> None:
    """A second revocation changes nothing and answers what the first did, byte for byte."""
    url = f"{KEYS}/{caller.create()['id']}/revoke"
    assert caller.http.put(url).content == caller.http.put(f"{url}/").content


def test_revoke_takes_any_body(caller: Caller) -> None:
    """Clients that send an empty object or nothing are both understood."""
    assert caller.http.put(f"{KEYS}/{caller.create()['id']}/revoke", json={}).status_code == 200


def test_delete(caller: Caller) -> None:
    """A deleted key answers 204 and is gone from every reading; a second deletion finds nothing."""
    created = caller.create()
    url = f"{KEYS}/{created['id']}"
    response = caller.http.delete(url)
    assert (response.status_code, response.content) == (204, b"")
    assert caller.http.get(KEYS).json() == []
    assert {caller.http.get(url).status_code, caller.http.delete(url).status_code} == {404}
    assert caller.http.put(f"{url}/revoke").status_code == 404


def test_a_revoked_key_can_be_deleted(caller: Caller) -> None:
    """Revoking a key does not keep it from being deleted."""
    url = f"{KEYS}/{caller.create()['id']}"
    caller.http.put(f"{url}/revoke")
    assert caller.http.delete(f"{url}/").status_code == 204


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("PUT", "/revoke"), ("DELETE", "")])
def test_foreign_deleted_and_absent_are_one_answer(caller: Caller, method: str, suffix: str) -> None:
    """A key of another organisation, a deleted one and one that never was answer alike, byte for byte."""
    with caller.another() as other:
        foreign = other.create()["id"]
        deleted = caller.create()["id"]
        caller.http.delete(f"{KEYS}/{deleted}")
        answers = {
            caller.http.request(method, f"{KEYS}/{key_id}{suffix}", headers={"X-Request-Id": "request-0"}).content
            for key_id in (foreign, deleted, str(uuid4()))
        }
        assert len(answers) == 1
        assert b'"code":"not_found"' in answers.pop()
        assert other.http.get(f"{KEYS}/{foreign}").json()["is_revoked"] is False
