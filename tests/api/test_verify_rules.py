"""The rules of a verification that need a key of a certain kind, a count of limits or a clock of the test's."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from keywright.api.verify.routes import ServiceApp
from keywright.keys.addresses import read_networks
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import NO_REQUIREMENTS, Code
from keywright.service.checking.verdicts import Caller
from tests.api.checking_plane import (
    CREDENTIAL,
    FACTS,
    FOREIGN_TOKEN,
    KEY,
    NOW_SECONDS,
    OTHER_KEY,
    OUTAGE_SECONDS,
    PAIR,
    TOKEN,
    CheckingPlane,
)
from tests.api.verifier import BATCH, NOT_FOUND, VERIFY

LIMITS = (RateLimit("minute", 2, 60), RateLimit("day", 100, 86_400))


class Counter(CheckingPlane):
    """The route of verifications in front of nothing."""

    def __init__(self) -> None:
        super().__init__()
        app = ServiceApp(PlainTextResponse("behind", 418), self.checker, self.callers)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright")

    def key(self, **change: Any) -> None:
        """Make the key one of another kind."""
        self.store.facts[PAIR.private.digest] = replace(FACTS, **change)
        self.cache.drop([PAIR.private.digest])

    async def ask(self, key: str = KEY, *, facts: bool = False, bearer: str = "", **more: Any) -> dict[str, Any]:
        """Ask for a verdict that is given."""
        response = await self.post({"key": key, **more}, facts=facts, bearer=bearer)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def post(self, body: object, *, path: str = VERIFY, facts: bool = False, bearer: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {bearer or CREDENTIAL.reveal()}"}
        if facts:
            headers["Keywright-Facts"] = "1"
        return await self.http.post(path, json=body, headers=headers)


@pytest.fixture(params=["held", "looked up"])
async def counter(request: pytest.FixtureRequest) -> AsyncIterator[Counter]:
    counter = Counter()
    if request.param == "held":
        counter.follow()
    async with counter.http:
        yield counter


async def test_addresses(counter: Counter) -> None:
    """A key that is bound to networks is valid from them only, and never without an address."""
    counter.key(networks=read_networks(("192.0.2.0/24", "2001:db8::/32")))
    for inside in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1%eth0"):
        assert (await counter.ask(client_ip=inside))["code"] == "valid"
    for outside in ("192.0.3.1", "nonsense", "", None):
        assert (await counter.ask(client_ip=outside))["code"] == "ip_not_allowed"
    answer = await counter.ask(explain=True)
    assert answer["explanation"] == {
        "reason": "The request came from an address that is not known.",
        "would_pass": "One from 192.0.2.0/24, 2001:db8::/32.",
    }


async def test_a_secret_that_was_replaced(counter: Counter) -> None:
    """A replaced secret works until its end, then it is refused as replaced, whatever the state of the key."""
    counter.key(retires_at=NOW_SECONDS + 1)
    assert (await counter.ask())["code"] == "valid"
    counter.key(retires_at=NOW_SECONDS)
    answer = await counter.ask(explain=True)
    assert (answer["code"], answer["explanation"]["would_pass"]) == ("replaced", "The key's new secret.")
    counter.key(retires_at=NOW_SECONDS, expires_at=NOW_SECONDS)
    assert (await counter.ask(explain=True))["explanation"] == answer["explanation"]


async def test_limits(counter: Counter) -> None:
    """A key is valid until a limit is used up; every answer has the states, a refusal the time to retry."""
    counter.key(rate_limits=LIMITS)
    minute = {"name": "minute", "limit": 2, "window_seconds": 60}
    day = {"name": "day", "limit": 100, "window_seconds": 86_400}
    first = await counter.ask()
    assert first["rate_limits"] == [
        {**minute, "remaining": 1, "reset_seconds": 30},
        {**day, "remaining": 99, "reset_seconds": 864},
    ]
    assert "retry_after_seconds" not in first
    assert (await counter.ask())["valid"]
    spent = await counter.ask(explain=True)
    assert (spent["valid"], spent["code"], spent["retry_after_seconds"]) == (False, "rate_limited", 30)
    assert spent["rate_limits"] == [
        {**minute, "remaining": 0, "reset_seconds": 60},
        {**day, "remaining": 98, "reset_seconds": 1728},
    ]
    assert spent["api_key"] == first["api_key"]
    assert spent["explanation"]["reason"] == "A rate limit of the key is spent."
    counter.time.seconds += 29.5
    counter.follow()
    assert (await counter.ask())["retry_after_seconds"] == 1
    counter.time.seconds += 0.5
    assert (await counter.ask())["valid"]
    assert {record.source.code: record.uses for record in counter.uses()} == {"valid": 3, "rate_limited": 2}


async def test_whoever_judges_by_itself_reports_its_uses(counter: Counter) -> None:
    """A question for the facts of a key is no use of it: the verifier that asks counts and reports the use itself."""
    caller = Caller("edge", None, None)
    for _ in range(2):
        verdict = await counter.checker.facts_for(caller, KEY, NO_REQUIREMENTS)
        assert verdict.code is Code.VALID
    assert counter.uses() == []


async def test_cost(counter: Counter) -> None:
    """A request takes its cost of every limit or of none; one beyond a limit can never pass, one of 0 always does."""
    counter.key(rate_limits=LIMITS)
    never = await counter.ask(cost=3)
    assert (never["code"], never["retry_after_seconds"]) == ("rate_limited", None)
    assert [limit["remaining"] for limit in never["rate_limits"]] == [2, 100]
    assert (await counter.ask(cost=2))["rate_limits"][1]["remaining"] == 98
    assert not (await counter.ask(cost=1))["valid"]
    assert (await counter.ask(cost=0))["valid"]


@pytest.mark.parametrize(
    ("change", "asked", "code"),
    [
        ({"revoked": True}, {}, "revoked"),
        ({"expires_at": NOW_SECONDS}, {}, "expired"),
        ({}, {"environment": "sandbox"}, "wrong_environment"),
        ({}, {"scopes": ["no:such"]}, "insufficient_scope"),
        ({"networks": read_networks(["192.0.2.0/24"])}, {"client_ip": "192.0.3.1"}, "ip_not_allowed"),
    ],
    ids=str,
)
async def test_limits_are_for_good_keys(
    counter: Counter, change: dict[str, Any], asked: dict[str, Any], code: str
) -> None:
    """A request that another rule refuses takes nothing of a limit, and its answer has no states."""
    counter.key(rate_limits=LIMITS, **change)
    answer = await counter.ask(**asked)
    assert answer["code"] == code
    assert answer.keys() == {"valid", "code", "api_key"}
    assert counter.limiter.asked == []


async def test_limits_are_the_organizations(counter: Counter) -> None:
    """Who may not learn of a key takes nothing of its limits either."""
    counter.key(rate_limits=LIMITS)
    assert (await counter.post({"key": KEY}, bearer=FOREIGN_TOKEN)).content == NOT_FOUND
    assert counter.limiter.asked == []
    assert (await counter.ask(bearer=TOKEN))["valid"]
    assert counter.limiter.asked == [(FACTS.id, 1)]


async def test_limits_that_are_counted_elsewhere(counter: Counter) -> None:
    """A count that has to be waited for is waited for, once a request; while it cannot be had, the answer is 503."""
    counter.key(rate_limits=LIMITS)
    counter.limiter.far = True
    assert (await counter.ask())["rate_limits"][0]["remaining"] == 1
    assert len(counter.limiter.asked) == 1
    counter.limiter.away = True
    response = await counter.post({"key": KEY})
    assert (response.status_code, response.json()["code"]) == (503, "limits_unavailable")
    assert response.headers["retry-after"] == "1"
    assert (await counter.ask("junk"))["code"] == "not_found"


async def test_limits_of_who_fails_too_often(counter: Counter) -> None:
    """Where unknown keys came from too often, a known key is not refused for it, wherever its limits are counted."""
    counter.key(rate_limits=LIMITS)
    counter.follow()
    counter.limiter.far = True
    assert (await counter.ask(client_ip="192.0.2.7"))["valid"]
    while (refused := await counter.ask(OTHER_KEY, client_ip="192.0.2.7"))["code"] == "not_found":
        pass
    assert refused == {"valid": False, "code": "rate_limited", "api_key": None, "retry_after_seconds": 1}
    assert (await counter.ask(client_ip="192.0.2.7"))["valid"]


async def test_limits_in_a_batch(counter: Counter) -> None:
    """In a batch every verification counts, in the order of the keys."""
    counter.key(rate_limits=LIMITS)
    response = await counter.post({"keys": [{"key": KEY}] * 3}, path=BATCH)
    assert [result["code"] for result in response.json()["results"]] == ["valid", "valid", "rate_limited"]


async def test_limits_during_an_outage(counter: Counter) -> None:
    """A key that goes on working from memory still has its limits."""
    counter.key(rate_limits=LIMITS)
    counter.follow()
    await counter.ask()
    counter.store.away = True
    counter.time.seconds += OUTAGE_SECONDS
    assert [(await counter.ask())["code"] for _ in range(3)] == ["valid", "valid", "rate_limited"]
    stale = await counter.ask()
    assert (stale["stale"], stale["retry_after_seconds"]) == (True, 30)


async def test_facts(counter: Counter) -> None:
    """An in-process verifier gets all facts that a verdict depends on, and counts limits itself."""
    counter.key(
        rate_limits=LIMITS,
        networks=read_networks(["192.0.2.0/24"]),
        retires_at=NOW_SECONDS + 1.5,
        expires_at=NOW_SECONDS + 2,
    )
    for _ in range(3):
        answer = await counter.ask(facts=True, client_ip="192.0.2.7")
        assert answer["code"] == "valid"
        assert "rate_limits" not in answer
        assert answer["facts"] == {
            "revoked": False,
            "expires_at": NOW_SECONDS + 2,
            "retires_at": NOW_SECONDS + 1.5,
            "allowed_ips": ["192.0.2.0/24"],
            "rate_limits": [["minute", 2, 60], ["day", 100, 86_400]],
        }
    assert counter.limiter.asked == []


async def test_answers_are_json_in_every_part(counter: Counter) -> None:
    """An answer with everything in it that there is has one meaning."""
    counter.key(rate_limits=LIMITS, name='Grüße "🔑"\\')
    counter.follow()
    await counter.ask(cost=2)
    counter.store.away = True
    counter.time.seconds += 2
    response = await counter.post({"key": KEY, "explain": True, "cost": 2})
    names = json.loads(response.content, object_pairs_hook=lambda pairs: [name for name, _ in pairs])
    assert names == ["valid", "code", "api_key", "rate_limits", "retry_after_seconds", "stale", "explanation"]
    assert response.headers["keywright-stale"] == "true"
