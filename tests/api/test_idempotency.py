"""Requests that are sent again: nothing is done twice, and the answer is the same."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from keywright.api.http.idempotency import canonical_request
from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS, Caller
from tests.conftest import database_url, on_any_store
from tests.live import environment, start_service

BODY = b'{"name": "a key", "scopes": ["a:b"], "metadata": {"x": 1, "y": [2]}}'
SIMULTANEOUS = 100


def fresh() -> str:
    return f"request-{uuid4()}"


def send(caller: Caller, key: str, body: bytes = BODY, url: str = KEYS) -> httpx.Response:
    return caller.post(body, url, **{"Idempotency-Key": key})


def keys_of(caller: Caller) -> list[dict[str, Any]]:
    return caller.http.get(f"{KEYS}?limit=1000").json()


def test_the_same_again(caller: Caller) -> None:
    """A creation that is sent again gets the same answer, byte for byte, and makes no second key."""
    key = fresh()
    first, again = send(caller, key), send(caller, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    for name in ("location", "etag", "cache-control", "content-type"):
        assert first.headers[name] == again.headers[name]
    assert again.headers["cache-control"] == "no-store"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert [found["id"] for found in keys_of(caller)] == [first.json()["id"]]


@on_any_store
@pytest.mark.parametrize(
    "body",
    [
        b'{"scopes":["a:b"],"name":"a key","metadata":{"y":[2],"x":1}}',
        b' {"name": "a\\u0020key", "scopes": [ "a:b" ], "metadata": {"x": 1, "y": [2]}} ',
    ],
)
def test_the_same_in_another_writing(caller: Caller, body: bytes) -> None:
    """The order of names, white space and escapes make no other request; nor does a slash at the path's end."""
    key = fresh()
    first = send(caller, key)
    assert send(caller, key, body, f"{KEYS}/").content == first.content


@pytest.mark.parametrize("body", [b'{"name": "another"}', BODY.replace(b"[2]", b"[2, 3]"), BODY.replace(b"1", b"true")])
def test_another_body(caller: Caller, body: bytes) -> None:
    """The key of one request with the body of another is refused, and the first answer stays."""
    key = fresh()
    first = send(caller, key)
    response = send(caller, key, body)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert isinstance(response.json()["detail"], str)
    assert send(caller, key).content == first.content
    assert len(keys_of(caller)) == 1


def test_another_operation(caller: Caller) -> None:
    """The key of a creation is none for a rotation, nor that of one key's rotation for another's."""
    key = fresh()
    ids = [caller.create()["id"] for _ in range(2)]
    send(caller, key, b"{}", f"{KEYS}/{ids[0]}/rotate")
    for url in (f"{KEYS}/{ids[1]}/rotate", KEYS):
        body = b"{}" if url != KEYS else BODY
        assert send(caller, key, body, url).json()["code"] == "idempotency_key_reused"


def test_rotation(caller: Caller) -> None:
    """A rotation that is sent again gets the same answer and makes no third secret, under any writing of its path."""
    created, key = caller.create(), fresh()
    first = send(caller, key, b"{}", f"{KEYS}/{created['id']}/rotate")
    again = send(caller, key, b"", f"{KEYS}/{created['id'].upper()}/rotate/")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert first.headers["etag"] == again.headers["etag"]
    assert (again.headers["idempotency-replayed"], again.headers["cache-control"]) == ("true", "no-store")
    assert len(caller.http.get(f"{KEYS}/{created['id']}").json()["secrets"]) == 2


def test_a_refusal_is_not_kept(caller: Caller) -> None:
    """A refused request was not done: the same request succeeds once the reason is gone."""
    created, key = caller.create(), fresh()
    url = f"{KEYS}/{created['id']}"
    caller.http.post(f"{url}/rotate")
    assert send(caller, key, b"{}", f"{url}/rotate").json()["code"] == "rotation_under_way"
    caller.http.put(f"{url}/rotation", json={"overlap_seconds": 0})
    response = send(caller, key, b"{}", f"{url}/rotate")
    assert response.status_code == 200
    assert "idempotency-replayed" not in response.headers


def test_another_organization(caller: Caller) -> None:
    """The same key of another organisation is another request."""
    key = fresh()
    with caller.another() as other:
        first, second = send(caller, key), send(other, key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert "idempotency-replayed" not in second.headers


def test_the_permission_is_asked_again(caller: Caller) -> None:
    """Without the permission to create keys no idempotency key opens the answer to a creation."""
    key = fresh()
    send(caller, key)
    with Caller(caller.service, caller.issuer, caller.organization, permissions=["read:api_keys"]) as reader:
        assert send(reader, key).status_code == 403


@on_any_store
@pytest.mark.parametrize(
    "key", ["", "short", "x" * 21, "x" * 256, "x" * 30 + " " + "x" * 30, "x" * 30 + "\xe9", "x" * 30 + "\t" + "x"]
)
def test_malformed(caller: Caller, key: str) -> None:
    """A guessable idempotency key, or one beyond visible ASCII, is refused with the reason and not echoed."""
    headers = [(b"Content-Type", b"application/json"), (b"Idempotency-Key", key.encode("latin-1"))]
    response = caller.http.post(KEYS, content=BODY, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert "Idempotency-Key" in response.json()["detail"]
    assert not key or key not in response.text
    assert keys_of(caller) == []


@pytest.mark.parametrize("key", ["x" * 22, "x" * 255, '"!~{}%,;:\\"-0123456789'])
def test_up_to_the_limit(caller: Caller, key: str) -> None:
    """22 to 255 visible characters of any kind are a key."""
    assert send(caller, key).status_code == 201
    assert send(caller, key).headers["idempotency-replayed"] == "true"


@on_any_store
def test_given_twice(caller: Caller) -> None:
    """Two keys are none."""
    headers = [("Content-Type", "application/json"), ("Idempotency-Key", fresh()), ("Idempotency-Key", fresh())]
    response = caller.http.post(KEYS, content=BODY, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


def test_the_answer_outlives_the_key(caller: Caller) -> None:
    """The replayed answer stays the same when the key was changed since, and even when it was deleted."""
    key = fresh()
    first = send(caller, key)
    url = f"{KEYS}/{first.json()['id']}"
    caller.http.patch(url, json={"name": "another"})
    assert send(caller, key).content == first.content
    caller.http.delete(url)
    assert send(caller, key).content == first.content


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_simultaneous(store: str, issuer: DevIssuer, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A hundred equal creations at once, at several processes, make one key and get one answer."""
    url = database_url(store, tmp_path, request)
    with (
        start_service(environment(issuer, database_url=url), workers=2) as live,
        Caller(live, issuer) as caller,
    ):
        answers = asyncio.run(all_at_once(caller, fresh()))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert [answer.headers.get("idempotency-replayed") for answer in answers].count(None) == 1
        assert [found["id"] for found in keys_of(caller)] == [answers[0].json()["id"]]


async def all_at_once(caller: Caller, key: str) -> list[httpx.Response]:
    """Send one creation a hundred times, each on a connection of its own."""
    headers = {"Authorization": caller.http.headers["Authorization"], "Idempotency-Key": key}
    async with httpx.AsyncClient(
        base_url=caller.service.base_url,
        headers={**headers, "Content-Type": "application/json"},
        trust_env=False,
        timeout=60,
        limits=httpx.Limits(max_connections=SIMULTANEOUS),
    ) as http:
        return await asyncio.gather(*(http.post(KEYS, content=BODY) for _ in range(SIMULTANEOUS)))


def test_what_a_request_says() -> None:
    """Requests have one canonical form, in which methods, paths, types and positions differ."""
    same = [{"b": 1, "a": {"d": [], "c": None}}, {"a": {"c": None, "d": []}, "b": 1}]
    assert len({canonical_request("POST", KEYS, body) for body in same}) == 1
    different = [
        canonical_request("POST", KEYS, {}),
        canonical_request("PUT", KEYS, {}),
        canonical_request("POST", f"{KEYS}/x", {}),
        canonical_request("POST", KEYS, {"a": 1}),
        canonical_request("POST", KEYS, {"a": 1.0}),
        canonical_request("POST", KEYS, {"a": True}),
        canonical_request("POST", KEYS, {"a": "1"}),
        canonical_request("POST", KEYS, {"a": [1]}),
        canonical_request("POST", KEYS, {"a": "\ud800"}),
        canonical_request("POST", KEYS, {"a": "\ud801"}),
    ]
    assert len(set(different)) == len(different)
