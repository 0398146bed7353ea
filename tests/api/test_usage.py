"""The usage of a key, for each of its secrets."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from keywright.keys.format import digest
from tests.api.caller import KEYS, Caller
from tests.api.verifier import Verifier
from tests.conftest import on_any_store

USAGE = "/api/v2/verifier/usage"


def report(verifier: Verifier, private_key: str, seen_at: datetime, *, count: int, network: str) -> None:
    """Report uses as an in-process verifier does."""
    body = {"session": str(uuid4()), "batch": 1, "usage": [an_hourly_usage(private_key, seen_at, count, network)]}
    assert verifier.http.post(USAGE, json=body).status_code == 204


def an_hourly_usage(private_key: str, seen_at: datetime, count: int, network: str) -> dict[str, Any]:
    return {
        "digest": digest(private_key).hex(),
        "hour": seen_at.replace(minute=0, second=0, microsecond=0).isoformat(),
        "network": network,
        "agent": "curl",
        "first_seen": seen_at.isoformat(),
        "last_seen": seen_at.isoformat(),
        "count": count,
    }


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_each_secret(caller: Caller, verifier: Verifier) -> None:
    """Every secret of a key is listed with its own last use, and every source with the secret that it used."""
    created = caller.create()
    url = f"{KEYS}/{created['id']}"
    rotated = caller.http.post(f"{url}/rotate").json()
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    later = earlier + timedelta(minutes=1)
    report(verifier, created["private_key"], later, count=2, network="192.0.2.0/24")
    report(verifier, rotated["private_key"], earlier, count=3, network="198.51.100.0/24")

    usage = caller.http.get(f"{url}/usage").json()
    told = {secret["public_key"]: secret for secret in usage["secrets"]}
    assert list(told) == [rotated["public_key"], created["public_key"]]
    assert [secret["private_key_display"] for secret in usage["secrets"]] == [
        rotated["private_key_display"],
        created["private_key_display"],
    ]
    assert [secret["retires_at"] for secret in usage["secrets"]] == [s["retires_at"] for s in rotated["secrets"]]
    assert moment(told[created["public_key"]]["last_used_at"]) == later
    assert moment(told[rotated["public_key"]]["last_used_at"]) == earlier
    sources = {source["public_key"]: (source["network"], source["count"]) for source in usage["sources"]}
    assert sources == {
        created["public_key"]: ("192.0.2.0/24", 2),
        rotated["public_key"]: ("198.51.100.0/24", 3),
    }
    assert sum(day["count"] for day in usage["counts"]) == 5
    assert_read(caller.http.get(url).json(), rotated, created, earlier, later)


def assert_read(
    key: dict[str, Any], rotated: dict[str, Any], created: dict[str, Any], earlier: datetime, later: datetime
) -> None:
    """The key has the first and last use of both secrets, and the latest of all as its own."""
    new, old = key["secrets"]
    assert (new["public_key"], old["public_key"]) == (rotated["public_key"], created["public_key"])
    assert {moment(new["first_used_at"]), moment(new["last_used_at"])} == {earlier}
    assert {moment(old["first_used_at"]), moment(old["last_used_at"])} == {later}
    assert moment(key["last_used_at"]) == later


def test_a_batch_is_counted_once(caller: Caller, verifier: Verifier) -> None:
    """A session's batch that is reported twice is accepted twice and counted once; an unknown key is skipped."""
    created = caller.create()
    now = datetime.now(UTC)
    uses = [an_hourly_usage(text, now, 3, "192.0.2.0/24") for text in (created["private_key"], "unknown")]
    sessions = [str(uuid4()) for _ in range(2)]
    for session, batch in ((0, 1), (0, 1), (1, 1), (0, 2), (0, 1)):
        body = {"session": sessions[session], "batch": batch, "usage": uses}
        assert verifier.http.post(USAGE, json=body).status_code == 204
    usage = caller.http.get(f"{KEYS}/{created['id']}/usage").json()
    assert sum(day["count"] for day in usage["counts"]) == 9


@on_any_store
def test_an_hour_with_an_offset(caller: Caller, verifier: Verifier) -> None:
    """An hour that is reported with an offset of half an hour is the same hour in UTC."""
    created = caller.create()
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    use = an_hourly_usage(created["private_key"], hour, 3, "192.0.2.0/24")
    use["hour"] = hour.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    assert verifier.http.post(USAGE, json={"session": str(uuid4()), "batch": 1, "usage": [use]}).status_code == 204
    usage = caller.http.get(f"{KEYS}/{created['id']}/usage", params={"period": "hour"}).json()
    assert {moment(each["start"]): each["count"] for each in usage["counts"] if each["count"]} == {hour: 3}


@on_any_store
@pytest.mark.parametrize("batch", [{}, {"batch": 0}, {"batch": -1}, {"batch": 2**63}, {"batch": None}], ids=repr)
def test_a_batch_has_a_number(caller: Caller, verifier: Verifier, batch: dict[str, Any]) -> None:
    """A report without a number from 1 on is refused, because a repeated one could not be recognized."""
    answer = verifier.http.post(USAGE, json={"session": str(uuid4()), **batch, "usage": []})
    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_failed"


def test_a_use_is_no_change(caller: Caller, verifier: Verifier) -> None:
    """A use moves the last use and leaves the version, so that a busy key can be changed."""
    created = caller.create()
    url = f"{KEYS}/{created['id']}"
    report(verifier, created["private_key"], datetime.now(UTC), count=1, network="192.0.2.0/24")
    read = caller.http.get(url)
    assert read.json()["last_used_at"] is not None
    assert read.headers["etag"] == '"1"'
    assert caller.http.patch(url, json={"name": "another"}, headers={"If-Match": '"1"'}).status_code == 200


def test_secrets_that_have_ended_stay(caller: Caller) -> None:
    """A secret that has ended is no longer one of the key's, and stays in its usage."""
    created = caller.create()
    url = f"{KEYS}/{created['id']}"
    pairs = [created, *(caller.http.post(f"{url}/rotate", json={"overlap_seconds": 0}).json() for _ in range(2))]
    public_keys = [pair["public_key"] for pair in reversed(pairs)]
    assert [secret["public_key"] for secret in caller.http.get(f"{url}/usage").json()["secrets"]] == public_keys
    assert [secret["public_key"] for secret in caller.http.get(url).json()["secrets"]] == public_keys[:1]


@on_any_store
def test_pages_of_pairs(caller: Caller) -> None:
    """The pairs of a key come page by page, newest first, each once; the next page is in the `Link` header."""
    created = caller.create()
    pairs = [created["public_key"]]
    for _ in range(4):
        rotated = caller.http.post(f"{KEYS}/{created['id']}/rotate", json={"overlap_seconds": 0})
        pairs.insert(0, rotated.json()["public_key"])
    url: str | None = f"{KEYS}/{created['id']}/usage?limit=2&period=hour"
    pages = []
    while url is not None:
        response = caller.http.get(url)
        assert response.json()["period"] == "hour"
        pages.append([pair["public_key"] for pair in response.json()["secrets"]])
        url = response.links.get("next", {}).get("url")
    assert pages == [pairs[:2], pairs[2:4], pairs[4:]]
