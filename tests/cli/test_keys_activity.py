"""`keywright keys events`, `usage`, `receipt` and `options`: for people and for programs."""

import json
from typing import Any

from tests.cli.fake_service import Answer, fake_service
from tests.cli.key_answers import PATH, invoke, problem
from tests.client.key_answers import EVENT, KEY_ID, OPTIONS, PAIR, RECEIPT, USAGE

EVENTS = "/api/v2/api-key-events"
OPTIONS_PATH = "/api/v2/api-key-options"
ONE = f"{PATH}/{KEY_ID}"
REVOKED: dict[str, Any] = {
    **EVENT,
    "type": "api_key.revoked",
    "address": None,
    "data": {"reason": "key_compromise", "n": 1, "long": "x" * 100},
    "position": None,
    "hash": None,
}


def test_events() -> None:
    """Events are a line each: when, what, which key, who, from where and what of it; that there are more is printed."""
    link = {"Link": f'<{EVENTS}?limit=2&cursor=x>; rel="next"'}
    with fake_service({("GET", f"{EVENTS}?limit=2"): Answer(200, [EVENT, REVOKED], link)}) as service:
        done = invoke(service, "events", "--limit", "2")
        as_json = invoke(service, "events", "--limit", "2", "--json")
    heading, updated, revoked = done.stdout.splitlines()
    assert heading.split() == ["When", "What", "Key", "Who", "From", "Details"]
    assert updated.split("  ") == [
        "2026-11-23 21:50:11 UTC",
        "updated",
        KEY_ID,
        "auth0|6543210fedcba",
        "192.0.2.7",
        "changed scopes",
    ]
    assert revoked.endswith(f"reason: key_compromise, n: 1, long: {'x' * 43}…")
    assert "--all" in done.stderr
    assert json.loads(as_json.stdout) == [EVENT, REVOKED]


def test_events_are_narrowed() -> None:
    """Every filter is sent; --all reads to the last page."""
    times = "since=2026-11-23T00%3A00%3A00Z&until=2026-11-24T00%3A00%3A00Z"
    query = f"key_id={KEY_ID}&type=api_key.revoked&actor=auth0%7Cx&{times}"
    link = {"Link": f'<{EVENTS}?cursor=x&limit=1>; rel="next"'}
    answers = {
        ("GET", f"{EVENTS}?limit=1&{query}"): Answer(200, [EVENT], link),
        ("GET", f"{EVENTS}?limit=1&cursor=x&{query}"): Answer(200, [REVOKED]),
    }
    with fake_service(answers) as service:
        done = invoke(
            service,
            *("events", KEY_ID, "--type", "api_key.revoked", "--actor", "auth0|x", "--limit", "1", "--all", "--json"),
            *("--since", "2026-11-23T00:00:00Z", "--until", "2026-11-24T00:00:00Z"),
        )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == [EVENT, REVOKED]


def test_hostile_events() -> None:
    """What other people wrote into an event cannot act on the terminal."""
    hostile = {**EVENT, "actor": {**EVENT["actor"], "subject": "\x1b[2J"}, "data": {"x": "\x1b]0;owned\x07"}}
    with fake_service({("GET", f"{EVENTS}?limit=100"): Answer(200, [hostile])}) as service:
        done = invoke(service, "events")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout


def test_usage() -> None:
    """Uses and refusals are shown by period, by source with its secret, refusals with their code, and by secret."""
    with fake_service({("GET", f"{ONE}/usage?limit=20&period=hour"): Answer(200, USAGE)}) as service:
        shown = invoke(service, "usage", KEY_ID, "--period", "hour").stdout
        as_json = invoke(service, "usage", KEY_ID, "--period", "hour", "--json").stdout
    counts, sources, refusals, secrets = (block.splitlines() for block in shown.split("\n\n"))
    assert counts[1].split() == ["2026-11-23", "21:00:00", "UTC", "3", "5", "revoked"]
    assert refusals[0].split() == ["Refused", "From", "Agent", "Through", "Key", "Times", "First", "Last"]
    assert refusals[1].split()[:6] == ["revoked", "198.51.100.0/24", "curl", "billing-api", PAIR.private.display, "5"]
    assert refusals[1].endswith("2026-11-23 21:02:00 UTC  2026-11-23 21:03:00 UTC")
    assert sources[1].split()[:4] == ["192.0.2.0/24", "–", "billing-api", PAIR.private.display]
    assert secrets[1].endswith("2026-11-23 21:01:00 UTC  current")
    assert json.loads(as_json) == USAGE


def test_usage_of_an_unused_key() -> None:
    """An unused key has counts and no sources, of uses or of refusals."""
    counts = [{**USAGE["counts"][0], "count": 0, "refused": {}}]
    unused = {**USAGE, "counts": counts, "sources": [], "refusals": []}
    with fake_service({("GET", f"{ONE}/usage?limit=20&period=day"): Answer(200, unused)}) as service:
        shown = invoke(service, "usage", KEY_ID).stdout
    assert "Through" not in shown
    assert shown.splitlines()[1].split()[3:] == ["0", "–"]


def test_pages_of_usage() -> None:
    """A page of secrets says that there are more; all pages are shown as one, with the latest sources first."""
    (secret,), (source,), (refusal,) = USAGE["secrets"], USAGE["sources"], USAGE["refusals"]
    replaced = {**secret, "public_key": "other", "retires_at": "2026-11-22T21:01:00Z"}
    earlier, later = ({**source, "last_seen": at} for at in ("2026-11-22T20:00:00Z", "2026-11-22T22:00:00Z"))
    newer = {**refusal, "last_seen": "2026-11-24T00:00:00Z"}
    first = {**USAGE, "sources": [earlier]}
    last = {**USAGE, "sources": [later], "secrets": [replaced], "refusals": [newer]}
    path = f"{ONE}/usage?limit=1"
    link = {"Link": f'<{path}&cursor=x>; rel="next"'}
    answers = {
        ("GET", f"{path}&period=day"): Answer(200, first, link),
        ("GET", f"{path}&cursor=x&period=day"): Answer(200, last),
    }
    with fake_service(answers) as service:
        done = invoke(service, "usage", KEY_ID, "--limit", "1", "--json")
        everything = invoke(service, "usage", KEY_ID, "--limit", "1", "--all", "--json")
    assert json.loads(done.stdout) == first
    assert done.stderr == "These are the first 1 secrets. There are more: use --all.\n"
    assert json.loads(everything.stdout) == {
        **USAGE,
        "sources": [later, earlier],
        "secrets": [secret, replaced],
        "refusals": [newer, refusal],
    }
    assert everything.stderr == ""


def test_receipt() -> None:
    """A receipt shows which processes have acknowledged, and until when others may accept the key."""
    done_receipt = {**RECEIPT, "pending": 0, "may_accept_until": None, "verifiers": []}
    with fake_service({("GET", f"{ONE}/revocation"): Answer(200, RECEIPT)}) as service:
        shown = invoke(service, "receipt", KEY_ID).stdout
        as_json = invoke(service, "receipt", KEY_ID, "--json").stdout
    assert "Confirmed  1 of 2" in shown
    assert "Believed   until 2026-11-23 23:31:11 UTC" in shown
    assert "verifier  2026-11-23 20:00:00 UTC  –" in shown
    assert json.loads(as_json) == RECEIPT
    with fake_service({("GET", f"{ONE}/revocation"): Answer(200, done_receipt)}) as service:
        assert "Believed   by nobody" in invoke(service, "receipt", KEY_ID).stdout


def test_no_receipt() -> None:
    """A key that was not revoked has no receipt."""
    with fake_service({("GET", f"{ONE}/revocation"): problem(409, "not_revoked")}) as service:
        assert invoke(service, "receipt", KEY_ID).exit_code == 1


def test_options() -> None:
    """The options of a new key are shown; without a list of scopes, any scope is allowed."""
    with fake_service({("GET", OPTIONS_PATH): Answer(200, OPTIONS)}) as service:
        shown = invoke(service, "options").stdout
        as_json = invoke(service, "options", "--json").stdout
    assert "Environments  live, sandbox" in shown
    assert "Longest life  1d, an expiry is required" in shown
    assert "Active keys   any number" in shown
    assert "reports:read  Read reports" in shown
    assert json.loads(as_json) == OPTIONS
    policy = {"max_life_seconds": None, "expiry_required": False, "max_active_keys": 20}
    with fake_service({("GET", OPTIONS_PATH): Answer(200, {**OPTIONS, "scopes": None, "policy": policy})}) as service:
        shown = invoke(service, "options").stdout
    assert "Longest life  any\n" in shown
    assert "Active keys   20 at most" in shown
    assert "Scopes        any" in shown
