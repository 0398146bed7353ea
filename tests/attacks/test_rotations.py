"""An organization that rotates its keys as often as it can, with the limits of rotations lifted."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from keywright.api.feed_stream import MOST_EVENT_BYTES
from keywright.dev.issuer import DevIssuer
from keywright.storage.shared.statements import MOST_ANNOUNCED
from tests.api.caller import KEYS, Caller
from tests.api.verifier import create_verifier
from tests.live import PATIENCE_SECONDS, LiveService, environment, start_service
from tests.storage.making import Database

ATTACKED_KEYS = 6
ROTATIONS = 30
LIFTED = {"rotations_per_hour": "", "max_pairs": ""}
VERIFY = "/api/v2/api-keys/verify"


@pytest.fixture
def unlimited(issuer: DevIssuer, fresh_url: str) -> Iterator[LiveService]:
    """A service of its own without limits of rotations, on each store."""
    with start_service(environment(issuer, database_url=fresh_url, **LIFTED)) as live:
        yield live


class Feed:
    """A verifier's feed: the events since it began, each as it came."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.arrived = asyncio.Event()

    @property
    def names(self) -> set[str]:
        """The kinds of the events."""
        return {text.split("\n")[0].removeprefix("event: ") for text in self.events}

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The data of the events with changes."""
        return [json.loads(text.split("data: ")[1]) for text in self.events if text.startswith("event: drop")]

    async def beaten(self) -> None:
        """Wait for an event that tells that nothing is missing."""
        self.arrived.clear()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.events or not self.events[-1].startswith("event: beat"):
                await self.arrived.wait()
                self.arrived.clear()

    async def read(self, response: httpx.Response) -> None:
        rest = ""
        async for text in response.aiter_text():
            *whole, rest = (rest + text).split("\n\n")
            self.events += whole
            self.arrived.set()
        self.events.append("event: end")


@asynccontextmanager
async def following(http: httpx.AsyncClient, credential: str, **parameters: str) -> AsyncIterator[Feed]:
    """Follow the feed of a new session."""
    feed = Feed()
    query = {"session": str(uuid4()), "name": "api-1", **parameters}
    headers = {"Authorization": f"Bearer {credential}"}
    async with http.stream("GET", "/api/v2/verifier/feed", params=query, headers=headers) as response:
        assert response.status_code == 200
        reading = asyncio.get_running_loop().create_task(feed.read(response))
        try:
            await feed.beaten()
            yield feed
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def rotate_often(http: httpx.AsyncClient, caller: Caller, key_id: str) -> None:
    """Rotate a key again and again, each time without an overlap."""
    for _ in range(ROTATIONS):
        response = await http.post(
            f"{KEYS}/{key_id}/rotate", json={"overlap_seconds": 0}, headers=dict(caller.http.headers)
        )
        assert response.status_code == 200, response.text


async def work(http: httpx.AsyncClient, victim: Caller, credential: str, attack: asyncio.Event) -> list[int]:
    """Do what another organization does meanwhile, and give the statuses."""
    statuses = []
    while not attack.is_set():
        key = (await http.post(KEYS, json={"name": "k"}, headers=dict(victim.http.headers))).json()
        got = await http.get(f"{KEYS}/{key['id']}", headers=dict(victim.http.headers))
        checked = await http.post(
            VERIFY, json={"key": key["private_key"]}, headers={"Authorization": f"Bearer {credential}"}
        )
        statuses += [got.status_code, checked.status_code]
    return statuses


async def test_rotations(unlimited: LiveService, issuer: DevIssuer) -> None:
    """
    Rotations cost a bounded number of bytes each, however many there were before.

    No event of the feed is above 4 KiB, neither as it happens nor when a verifier goes on later; no verifier loses the
    feed, and another organization is served.
    """
    credential = create_verifier(unlimited, "api-1")
    timeout = httpx.Timeout(PATIENCE_SECONDS)
    with Caller(unlimited, issuer) as attacker, Caller(unlimited, issuer) as victim:
        attacked = [attacker.create()["id"] for _ in range(ATTACKED_KEYS)]
        attacker.http.patch(f"{KEYS}/{attacked[0]}", json={"name": "n"})
        async with (
            httpx.AsyncClient(base_url=unlimited.base_url, trust_env=False, timeout=timeout) as http,
            following(http, credential) as live,
        ):
            cursor = json.loads(live.events[-1].split("data: ")[1])["cursor"]
            over = asyncio.Event()
            working = asyncio.get_running_loop().create_task(work(http, victim, credential, over))
            await asyncio.gather(*[rotate_often(http, attacker, key_id) for key_id in attacked])
            over.set()
            assert set(await working) == {200}
            await live.beaten()
            async with following(http, credential, cursor=cursor) as resumed:
                pass
        usage = attacker.http.get(f"{KEYS}/{attacked[0]}/usage")
    # A feed that began anew is reset once.
    assert [text for text in live.events if text.startswith("event: reset")] == live.events[:1]
    assert "end" not in live.names | resumed.names
    assert "reset" not in resumed.names
    for feed in (live, resumed):
        assert max(len(text) + 2 for text in feed.events) <= MOST_EVENT_BYTES
        assert len({digest for event in feed.changes for digest in event["digests"]}) >= ATTACKED_KEYS * ROTATIONS
    assert len(resumed.changes) > 1
    rows = Database(unlimited.database_url).table("changes")
    # As bytes on PostgreSQL, in hexadecimal on SQLite.
    per_digest = 64 if unlimited.database_url.startswith("sqlite") else 32
    assert max(len(row["digests"]) for row in rows) == per_digest * (1 + MOST_ANNOUNCED)
    assert len(usage.json()["secrets"]) == 20
    assert usage.links["next"]["url"].startswith(f"{KEYS}/{attacked[0]}/usage?")
