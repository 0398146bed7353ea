"""An organization that searches, filters and lists on many connections: what it costs the organization beside it."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from keywright.api.keys.answers import answer_page
from keywright.service.management.ports import MOST_EXAMINED
from tests.attacks.neighbours import CONNECTIONS, KEYS, Neighbourhood, neighbourhood
from tests.service.managing import ALICE, turns_for_many

PARTS = 3
MANY = PARTS * MOST_EXAMINED - 200
LONG_READS: dict[str, list[dict[str, Any]]] = {
    "searches": [{"method": "GET", "path": f"{KEYS}?q=absent{number}&limit=100"} for number in range(500)],
    "filters": [
        {"method": "GET", "path": f"{KEYS}?{query}"}
        for query in ("status=revoked", "unused_since=2020-01-01T00:00:00Z", "environment=sandbox")
    ],
    "lists": [{"method": "GET", "path": f"{KEYS}?limit=300&include=usage"}],
    "events": [{"method": "GET", "path": "/api/v2/api-key-events?actor=nobody"}],
}


@pytest.mark.parametrize("attack", LONG_READS)
async def test_long_reads(fresh_url: str, attack: str) -> None:
    """
    Long reads of one organization take turns with the requests of another one.

    However many requests the attacker sends, few of its steps are under way at once, and each reads a bounded part.
    Nobody is answered 503.
    """
    async with neighbourhood(fresh_url) as both:
        await both.filled(MANY)
        (key,) = await both.made("victim")
        attackers = both.watched.attackers
        attackers.most = 0
        async with both.under_attack(*LONG_READS[attack]) as statuses:
            for request in (
                {"method": "GET", "path": f"{KEYS}/{key['id']}"},
                {"method": "GET", "path": KEYS},
                {"method": "GET", "path": f"{KEYS}?q=absent"},
                {"method": "POST", "path": KEYS, "json": {"name": "created meanwhile"}},
                {"method": "GET", "path": f"{KEYS}/{key['id']}/usage"},
                {"method": "POST", "path": f"{KEYS}/verify", "json": {"key": key["private_key"]}},
            ) * 2:
                answer = await both.ask("victim", **request)
                assert answer.status_code in (200, 201), answer.text
        assert set(statuses) == {200}
        assert attackers.most <= 4
        assert max(both.watched.limits) <= 101


async def test_a_page_is_written_in_slices() -> None:
    """Other tasks of the event loop run between slices of 100 items of a page, also where every turn is free."""
    passes = 0
    written_in: Counter[int] = Counter()

    async def others() -> None:
        nonlocal passes
        while True:
            passes += 1
            await asyncio.sleep(0)

    def response(number: int) -> int:
        written_in[passes] += 1
        return number

    other = asyncio.ensure_future(others())
    try:
        for items in (range(1000), range(100), range(0)):
            answer = await answer_page(turns_for_many(), ALICE, items, response, {})
            assert json.loads(bytes(answer.body)) == list(items)
    finally:
        other.cancel()
    assert sum(written_in.values()) == 1100
    assert max(written_in.values()) <= 100


async def test_a_search_ends(fresh_url: str) -> None:
    """A search examines an organization's keys part by part, and finds the oldest one."""
    async with neighbourhood(fresh_url) as both:
        (wanted,) = await both.made("attacker", name="wanted")
        await both.filled(MANY)
        before = both.watched.attackers.ended
        answer = await both.ask("attacker", "GET", f"{KEYS}?q=wanted")
        assert [key["id"] for key in answer.json()] == [wanted["id"]]
        assert "Link" not in answer.headers
        assert both.watched.attackers.ended - before == PARTS


async def test_reads_of_one_organization_alone(fresh_url: str) -> None:
    """An organization that is alone meets no refusal of a read, whatever it sends."""
    async with neighbourhood(fresh_url) as both:
        await both.made("attacker", 20)
        paths = [KEYS, f"{KEYS}?q=absent", f"{KEYS}?limit=1000", "/api/v2/api-key-events"]
        async with both.under_attack(*({"method": "GET", "path": path} for path in paths)) as statuses:
            await _several(both, statuses)
        assert set(statuses) == {200}


async def _several(both: Neighbourhood, statuses: list[int]) -> None:
    while len(statuses) < 4 * CONNECTIONS:
        assert (await both.ask("attacker", "GET", KEYS)).status_code == 200
