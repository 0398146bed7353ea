"""Revoking and deleting keys."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.caller import KEYS, Caller
from tests.conftest import on_any_store

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
    """A revoked key shows its revocation with the time, in the answer and in every later one."""
    created = caller.create()
    response = caller.http.put(f"{KEYS}/{created['id']}/revoke")
    revoked = response.json()
    assert response.status_code == 200
    assert revoked.keys() >= FAMILY_FIELDS
    assert revoked["is_revoked"] is True
    assert revoked["revoked_at"] >= created["created_at"]
    assert (revoked["status"], revoked["revocation_reason"]) == ("revoked", "unspecified")
    assert response.headers["etag"] == '"2"'
    assert caller.http.get(f"{KEYS}/{created['id']}").json() == revoked


def test_revoking_again_answers_the_same(caller: Caller) -> None:
    """A second revocation changes nothing and gives the answer of the first, byte for byte."""
    url = f"{KEYS}/{caller.create()['id']}/revoke"
    assert caller.http.put(url).content == caller.http.put(f"{url}/").content


@on_any_store
def test_an_empty_body_is_none(caller: Caller) -> None:
    """Clients that send an empty object, nothing of a type, or nothing at all are understood."""
    bodies: list[dict[str, Any]] = [{}, {"json": {}}, {"content": b"", "headers": {"Content-Type": "application/json"}}]
    for body in bodies:
        response = caller.http.put(f"{KEYS}/{caller.create()['id']}/revoke", **body)
        assert (response.status_code, response.json()["revocation_reason"]) == (200, "unspecified")


@pytest.mark.parametrize(
    "reason", ["unspecified", "key_compromise", "superseded", "cessation_of_operation", "privilege_withdrawn"]
)
def test_reasons(caller: Caller, reason: str) -> None:
    """A revocation keeps its reason, and one that comes later brings no other."""
    url = f"{KEYS}/{caller.create()['id']}"
    revoked = caller.http.put(f"{url}/revoke", json={"reason": reason})
    assert (revoked.json()["revocation_reason"], revoked.json()["status"]) == (reason, "revoked")
    assert caller.http.put(f"{url}/revoke", json={"reason": "superseded"}).content == revoked.content
    assert caller.http.get(url).json() == revoked.json()
    assert caller.http.get(f"{url}/events").json()[0]["data"] == {"reason": reason}


@on_any_store
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"reason": "because"}', "application/json", 422),
        (b'{"reason": null}', "application/json", 422),
        (b'{"why": "superseded"}', "application/json", 422),
        (b'"superseded"', "application/json", 400),
        (b'{"reason": "superseded"}', "text/plain", 415),
        (b"{" + b" " * 17_000 + b"}", "application/json", 413),
    ],
)
def test_a_body_that_is_refused(caller: Caller, body: bytes, content_type: str, status: int) -> None:
    """A body that is there is read as strictly as any other, and a key is not revoked for a reason that is none."""
    url = f"{KEYS}/{caller.create()['id']}"
    assert caller.http.put(f"{url}/revoke", content=body, headers={"Content-Type": content_type}).status_code == status
    assert caller.http.get(url).json()["is_revoked"] is False


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


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"name": "another"}),
        ("POST", "/rotate", None),
        ("PUT", "/rotation", {"overlap_seconds": 0}),
        ("PUT", "/revoke", None),
        ("DELETE", "", None),
        ("GET", "/usage", None),
    ],
)
def test_foreign_deleted_and_absent_are_one_answer(
    caller: Caller, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    """A key of another organisation, a deleted one and one that never was answer alike, byte for byte."""
    with caller.another() as other:
        foreign = other.create()["id"]
        deleted = caller.create()["id"]
        caller.http.delete(f"{KEYS}/{deleted}")
        answers = {
            caller.http.request(
                method, f"{KEYS}/{key_id}{suffix}", json=body, headers={"X-Request-Id": "request-0"}
            ).content
            for key_id in (foreign, deleted, str(uuid4()))
        }
        assert len(answers) == 1
        assert b'"code":"not_found"' in answers.pop()
        assert other.http.get(f"{KEYS}/{foreign}").json()["is_revoked"] is False
