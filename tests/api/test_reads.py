"""Listing and reading keys."""

import pytest

from tests.api.caller import KEYS, Caller


def test_list_is_a_bare_array_newest_first(caller: Caller) -> None:
    """The list is an array of keys, newest first, without private halves."""
    made = [caller.create(name=f"key {number}") for number in range(3)]
    response = caller.http.get(KEYS)
    expected = [{name: value for name, value in key.items() if name != "private_key"} for key in made[::-1]]
    assert response.json() == expected
    assert "link" not in response.headers
    assert response.headers["cache-control"] == "private, no-cache"


def test_an_organization_without_keys(caller: Caller) -> None:
    """Nobody's keys are an empty array."""
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
    ],
    ids=lambda text: text[:24],
)
def test_parameters_that_are_refused(caller: Caller, query: str, where: str) -> None:
    """A parameter out of range, malformed or unknown answers 422, names it and does not echo its value."""
    response = caller.http.get(f"{KEYS}?{query}")
    assert response.status_code == 422
    assert [flaw["loc"] for flaw in response.json()["detail"]] == [["query", where]]
    assert "secret-word" not in response.text


def test_get(caller: Caller) -> None:
    """One key reads like its entry in the list, under both forms of its URL."""
    created = caller.create()
    for url in (f"{KEYS}/{created['id']}", f"{KEYS}/{created['id']}/", f"{KEYS}/{created['id'].upper()}"):
        response = caller.http.get(url)
        assert response.status_code == 200
        assert [response.json()] == caller.http.get(KEYS).json()


@pytest.mark.parametrize(
    "key_id",
    ["1", "not-a-uuid", "{00000000-0000-0000-0000-000000000000}", "0" * 32, "urn:uuid:" + "0" * 36, "%00", "é"],
)
def test_malformed_id(caller: Caller, key_id: str) -> None:
    """An id that is no UUID in its usual form answers 422 and is not echoed."""
    response = caller.http.get(f"{KEYS}/{key_id}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["path", "key_id"]


def test_head(caller: Caller) -> None:
    """HEAD answers what GET does, without a body."""
    created = caller.create()
    response = caller.http.head(f"{KEYS}/{created['id']}")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["cache-control"] == "private, no-cache"
