"""The refusals of a key in its usage: who still presents it, by code, hour and source."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from keywright.keys.format import digest
from keywright.keys.verdict import Code
from tests.api.caller import KEYS, Caller
from tests.api.verifier import Verifier
from tests.conftest import on_any_store
from tests.waiting import eventually

REPORT = "/api/v2/verifier/usage"
BY_VERIFIERS = [code.value for code in Code if code is not Code.NOT_FOUND]


def report(verifier: Verifier, private_key: str, **more: Any) -> int:
    """Report 3 uses or refusals as an in-process verifier does, and give the status."""
    seen = datetime.now(UTC).isoformat()
    use = {
        "digest": digest(private_key).hex(),
        "hour": seen,
        "network": "192.0.2.0/24",
        "agent": "curl",
        "first_seen": seen,
        "last_seen": seen,
        "count": 3,
        **more,
    }
    return verifier.http.post(REPORT, json={"session": str(uuid4()), "batch": 1, "usage": [use]}).status_code


def usage_of(caller: Caller, key: dict[str, Any]) -> dict[str, Any]:
    """Give the usage of a key by hour."""
    usage: dict[str, Any] = caller.http.get(f"{KEYS}/{key['id']}/usage", params={"period": "hour"}).json()
    return usage


def refused(usage: dict[str, Any]) -> dict[str, int]:
    """Add the refusals of all periods up by code."""
    total: dict[str, int] = {}
    for period in usage["counts"]:
        for code, count in period["refused"].items():
            total[code] = total.get(code, 0) + count
    return total


@on_any_store
@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("code", ["valid", "revoked"])
def test_times_that_nobody_can_have_seen(caller: Caller, verifier: Verifier, when: str, code: str) -> None:
    """A report on another century counts in an hour of the last week: it writes no rows that nobody would remove."""
    key = caller.create()
    times = {"hour": when, "first_seen": when, "last_seen": when}
    assert report(verifier, key["private_key"], code=code, **times) == 204
    read = caller.http.get(f"{KEYS}/{key['id']}/usage", params={"limit": 1}).json()
    assert len(read["sources"] if code == "valid" else read["refusals"]) == 1
    moments = [each[end] for each in (*read["sources"], *read["refusals"]) for end in ("first_seen", "last_seen")]
    now = datetime.now(UTC)
    assert all(now - timedelta(days=7, minutes=5) <= datetime.fromisoformat(each) <= now for each in moments)


def test_who_still_tries_a_revoked_key(caller: Caller, verifier: Verifier, service_caller: Verifier) -> None:
    """
    Checks of a revoked key are in its usage with their source, through every door, and are no uses.

    Those that cost 0 are not, nor those by a token of another organization, which learns nothing of the key.
    """
    key = caller.create()
    assert caller.http.put(f"{KEYS}/{key['id']}/revoke").status_code == 200
    text, asked = key["private_key"], {"key": key["private_key"], "client_ip": "192.0.2.7"}
    eventually(lambda: verifier.code(text, cost=0) == "revoked")
    assert verifier.code(text, client_ip="192.0.2.7") == "revoked"
    verifier.batch(asked, {**asked, "client_ip": "198.51.100.7"}, {**asked, "cost": 0})
    token = caller.issuer.token(f"org_{uuid4().hex}", permissions=["verify:api_keys"])
    with Verifier(caller.service, f"Bearer {token}") as stranger:
        assert stranger.code(text) == "not_found"
    assert service_caller.code(text, client_ip="192.0.2.7") == "revoked"
    eventually(lambda: sum(refused(usage_of(caller, key)).values()) == 4)
    usage = usage_of(caller, key)
    assert refused(usage) == {"revoked": 4}
    assert (usage["last_used_at"], usage["sources"], sum(period["count"] for period in usage["counts"])) == (
        None,
        [],
        0,
    )
    seen = {(one["code"], one["public_key"], one["network"], one["count"]) for one in usage["refusals"]}
    public_key = key["public_key"]
    assert seen == {
        ("revoked", public_key, "192.0.2.0/24", 2),
        ("revoked", public_key, "198.51.100.0/24", 1),
        ("revoked", public_key, "192.0.2.0/24", 1),
    }
    listed = caller.http.get(KEYS, params={"include": "usage"}).json()
    assert [one["usage"]["days"][-1]["refused"] for one in listed if one["id"] == key["id"]] == [{"revoked": 4}]
    assert (listed[0]["last_used_at"], caller.http.get(f"{KEYS}/{key['id']}").headers["etag"]) == (None, '"2"')


@on_any_store
@pytest.mark.parametrize("code", BY_VERIFIERS)
def test_what_a_verifier_reports(caller: Caller, verifier: Verifier, code: str) -> None:
    """A verifier reports refusals with their code; a report with `valid`, or without a code, is of uses."""
    key = caller.create()
    assert report(verifier, key["private_key"]) == 204
    assert report(verifier, key["private_key"], code=code) == 204
    usage = usage_of(caller, key)
    if code == "valid":
        assert (usage["counts"][-1]["count"], refused(usage), usage["refusals"]) == (6, {}, [])
        return
    assert (usage["counts"][-1]["count"], refused(usage)) == (3, {code: 3})
    assert [(one["code"], one["agent"], one["count"]) for one in usage["refusals"]] == [(code, "curl", 3)]


@on_any_store
@pytest.mark.parametrize("code", ["not_found", "no_such_code", "", None, 3], ids=repr)
def test_codes_that_nobody_reports(caller: Caller, verifier: Verifier, code: object) -> None:
    """A report with another code is refused, and nothing of it is written."""
    key = caller.create()
    assert report(verifier, key["private_key"], code=code) == 422
    usage = usage_of(caller, key)
    assert (usage["counts"][-1]["count"], refused(usage)) == (0, {})
