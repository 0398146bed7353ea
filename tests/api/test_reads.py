"""Listing and reading keys."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from tests.api.caller import KEYS, Caller
from tests.conftest import on_any_store


def test_list_is_a_bare_array_newest_first(caller: Caller) -> None:
    """The list is an array of keys, newest first, without private halves."""
    made = [caller.create(name=f"key {number}") for number in range(3)]
    response = caller.http.get(KEYS)
    expected = [{name: value for name, value in key.items() if name != "private_key"} for key in made[::-1]]
    assert response.json() == expected
    assert "link" not in response.headers
    assert response.headers["cache-control"] == "private, no-cache"


def test_an_organization_without_keys(caller: Caller) -> None:
    """An organization without keys gets an empty array."""
    response = caller.http.get(f"{KEYS}/")
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages(caller: Caller, limit: int) -> None:
    """Following the links gives every key once, in order, whatever the page's size."""
    made = [caller.create(name=f"key {number}")["id"] for number in range(7)]
    pages = list(caller.pages(limit))
    assert [key["id"] for page in pages for key in page] == made[::-1]
    assert all(len(page) == limit for page in pages[:-1])


def test_a_page_stays_where_it_was(caller: Caller) -> None:
    """Keys created or deleted between two pages neither repeat nor hide others."""
    made = [caller.create(name=f"key {number}")["id"] for number in range(6)]
    first = caller.http.get(f"{KEYS}?limit=3")
    caller.create(name="later")
    caller.http.delete(f"{KEYS}/{made[3]}")
    second = caller.http.get(first.links["next"]["url"])
    assert [key["id"] for key in second.json()] == made[2::-1]


@on_any_store
@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("cursor=", "cursor"),
        ("cursor=secret-word", "cursor"),
        ("cursor=" + "A" * 21 + "B", "cursor"),
        ("cursor=" + "A" * 23, "cursor"),
        ("cursor=%00", "cursor"),
        ("limt=5", "limt"),
        ("status=secret-word", "status"),
        ("status=ACTIVE", "status"),
        ("q=", "q"),
        ("q=" + "x" * 101, "q"),
        ("q=secret-word%00", "q"),
        ("environment=Secret-word", "environment"),
        ("external_id=", "external_id"),
        ("external_id=" + "x" * 256, "external_id"),
        ("unused_since=secret-word", "unused_since"),
        ("unused_since=2026-11-23T00:00:00", "unused_since"),
        ("include=secret-word", "include"),
    ],
    ids=lambda text: text[:24],
)
def test_parameters_that_are_refused(caller: Caller, query: str, where: str) -> None:
    """A parameter out of range, malformed or unknown answers 422, names it and does not echo its value."""
    response = caller.http.get(f"{KEYS}?{query}")
    assert response.status_code == 422
    assert [flaw["loc"] for flaw in response.json()["detail"]] == [["query", where]]
    assert "secret-word" not in response.text


@pytest.fixture
def several(caller: Caller) -> dict[str, str]:
    """Keys of every kind, by what they are."""
    later = "2100-01-01T00:00:00Z"
    soon = (datetime.now(UTC) + timedelta(days=13)).isoformat()
    made = {
        "plain": caller.create(name="Billing export", description="Nightly JOB"),
        "later": caller.create(name="later", expires_at=later, external_id="customer-1"),
        "soon": caller.create(name="soon", expires_at=soon, environment="sandbox"),
        "revoked": caller.create(name="revoked export", external_id="customer-1"),
        "revoked soon": caller.create(name="revoked soon", expires_at=soon),
    }
    for name in ("revoked", "revoked soon"):
        caller.http.put(f"{KEYS}/{made[name]['id']}/revoke")
    return {key["id"]: name for name, key in made.items()}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "active"}, ["soon", "later", "plain"]),
        ({"status": "revoked"}, ["revoked soon", "revoked"]),
        ({"status": "expired"}, []),
        ({"status": "expiring"}, ["soon"]),
        ({"q": "EXPORT"}, ["revoked", "plain"]),
        ({"q": "nightly job"}, ["plain"]),
        ({"q": "100%"}, []),
        ({"q": "_"}, []),
        ({"environment": "sandbox"}, ["soon"]),
        ({"environment": "elsewhere"}, []),
        ({"external_id": "customer-1"}, ["revoked", "later"]),
        ({"external_id": "customer"}, []),
        ({"external_id": "customer-1", "status": "active", "q": "late"}, ["later"]),
        ({"unused_since": "2000-01-01T00:00:00Z"}, []),
        ({"unused_since": "2100-01-01T00:00:00+01:00"}, ["revoked soon", "revoked", "soon", "later", "plain"]),
    ],
    ids=str,
)
def test_filters(caller: Caller, several: dict[str, str], query: dict[str, str], found: list[str]) -> None:
    """A filter leaves out all other keys; several filters must all match."""
    response = caller.http.get(KEYS, params=query)
    assert response.status_code == 200, response.text
    assert [several[key["id"]] for key in response.json()] == found


def test_what_is_shown_of_a_pair_is_found(caller: Caller) -> None:
    """A key is found by the beginning of its public key and by the end of its private one, as they are shown."""
    created, _other = caller.create(), caller.create()
    for text in (created["public_key"], created["public_key"][:20], created["private_key"][-4:]):
        assert created["id"] in [key["id"] for key in caller.http.get(KEYS, params={"q": text}).json()]
    assert len(caller.http.get(KEYS, params={"q": created["public_key"]}).json()) == 1


def test_filters_go_along(caller: Caller) -> None:
    """The link to the next page has the same filters, and following it gives no other key and none twice."""
    mark = "a&b=c #é+%"
    wanted = [caller.create(name=f"{mark} {number}", external_id=mark)["id"] for number in range(5)]
    for _ in range(3):
        caller.create(external_id="another")
    query = {"external_id": mark, "q": mark, "status": "active", "environment": "live", "include": "usage"}
    following: str | None = f"{KEYS}?" + urlencode({**query, "unused_since": "2100-01-01T00:00:00+01:00", "limit": 2})
    found = []
    while following is not None:
        response = caller.http.get(following)
        found += [key["id"] for key in response.json()]
        assert all("usage" in key for key in response.json())
        following = response.links.get("next", {}).get("url")
        assert following is None or following.startswith(f"{KEYS}?limit=2&")
    assert found == wanted[::-1]


def test_get(caller: Caller) -> None:
    """One key reads like its entry in the list, under both forms of its URL."""
    created = caller.create()
    for url in (f"{KEYS}/{created['id']}", f"{KEYS}/{created['id']}/", f"{KEYS}/{created['id'].upper()}"):
        response = caller.http.get(url)
        assert response.status_code == 200
        assert [response.json()] == caller.http.get(KEYS).json()
        assert response.headers["etag"] == '"1"'


@on_any_store
@pytest.mark.parametrize(
    "key_id",
    ["1", "not-a-uuid", "{00000000-0000-0000-0000-000000000000}", "0" * 32, "urn:uuid:" + "0" * 36, "%00", "é"],
)
def test_malformed_id(caller: Caller, key_id: str) -> None:
    """An id that is no UUID in its usual form answers 422 and is not echoed."""
    response = caller.http.get(f"{KEYS}/{key_id}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["path", "key_id"]


@on_any_store
def test_head(caller: Caller) -> None:
    """HEAD answers like GET, without a body."""
    created = caller.create()
    response = caller.http.head(f"{KEYS}/{created['id']}")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["cache-control"] == "private, no-cache"
