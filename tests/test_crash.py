"""What is acknowledged survives: the service is killed in the middle of creations, over and over, on both stores."""

import asyncio
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS
from tests.conftest import database_url
from tests.forked import fork
from tests.live import LiveService, bearer, environment, start_service

pytestmark = pytest.mark.early

KILLS = 50
CREATORS = 6

# Whatever a torn write could have left: a key without its one secret or its one event, or either of them without a key.
TORN = {
    "keys without one current secret": """
        SELECT count(*) FROM api_keys k WHERE 1 <> (
            SELECT count(*) FROM api_key_secrets s WHERE s.key_id = k.id AND s.retires_at IS NULL)""",
    "keys without one event of their creation": """
        SELECT count(*) FROM api_keys k WHERE 1 <> (
            SELECT count(*) FROM events e WHERE e.key_id = k.id AND e.type = 'api_key.created')""",
    "secrets without a key": """
        SELECT count(*) FROM api_key_secrets s WHERE NOT EXISTS (SELECT 1 FROM api_keys k WHERE k.id = s.key_id)""",
    "events without a key": """
        SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT 1 FROM api_keys k WHERE k.id = e.key_id)""",
}


def torn(url: str) -> dict[str, int]:
    """Count what should not exist, by reading the database itself."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return {name: connection.execute(query).fetchone()[0] for name, query in TORN.items()}

    async def count() -> dict[str, int]:
        connection = await asyncpg.connect(url)
        try:
            return {name: await connection.fetchval(query) for name, query in TORN.items()}
        finally:
            await connection.close()

    return asyncio.run(count())


def create_until_killed(service: LiveService, headers: dict[str, str], enough: int) -> list[dict[str, Any]]:
    """Create keys from several clients at once, kill the service after *enough*, and give all that was acknowledged."""
    acknowledged: list[dict[str, Any]] = []
    reached = threading.Event()

    def create() -> None:
        with httpx.Client(base_url=service.base_url, headers=headers, trust_env=False, timeout=20) as http:
            while True:
                try:
                    response = http.post(KEYS, json={"name": "a key"})
                except httpx.TransportError:
                    return
                if response.status_code == 201:
                    acknowledged.append(response.json())
                    if len(acknowledged) >= enough:
                        reached.set()

    creators = [threading.Thread(target=create) for _ in range(CREATORS)]
    for creator in creators:
        creator.start()
    reached.wait(30)
    service.kill()
    for creator in creators:
        creator.join()
    return acknowledged


def listed(service: LiveService, headers: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Read every key of the organisation, page by page."""
    found: dict[str, dict[str, Any]] = {}
    with httpx.Client(base_url=service.base_url, headers=headers, trust_env=False, timeout=20) as http:
        url: str | None = f"{KEYS}?limit=1000"
        while url is not None:
            page = http.get(url)
            found |= {key["id"]: key for key in page.json()}
            url = page.links.get("next", {}).get("url")
    return found


@pytest.mark.timeout(500)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_kill_in_a_stream_of_creations(
    store: str, issuer: DevIssuer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """After fifty kills every acknowledged key is there as it was answered, and nothing is torn."""
    url = database_url(store, tmp_path, request)
    settings = environment(issuer, database_url=url, metrics="off", log_level="warning")
    headers = bearer(issuer, "org_crash")
    moments = random.Random(20261123)
    acknowledged: list[dict[str, Any]] = []
    for _ in range(KILLS):
        acknowledged += create_until_killed(start_service(settings, launch=fork), headers, moments.randint(1, 60))
    with start_service(settings) as service:
        found = listed(service, headers)
    lost = [key["id"] for key in acknowledged if key["id"] not in found]
    altered = [
        key["id"] for key in acknowledged if key["id"] not in lost and found[key["id"]] != _without_private_key(key)
    ]
    assert len(acknowledged) >= KILLS
    assert (lost, altered) == ([], [])
    assert set(torn(url).values()) == {0}, torn(url)


def _without_private_key(key: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name != "private_key"}
