"""An organization whose keys have as much in them as is allowed: events and cache stay bounded."""

import json
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest

from keywright.api.keys.requests import MOST_METADATA_BYTES
from keywright.keys.cache import WEIGHT_BYTES, KeyCache
from keywright.keys.record import ApiKey
from keywright.keys.scopes import MOST_SCOPES
from keywright.service.management.audit_log import EventType
from keywright.service.management.commands import update_event_data
from keywright.service.management.ports import EventFilter, Outcome
from keywright.storage.migrate import migrate
from tests.conftest import database_url
from tests.storage.life_contract import running
from tests.storage.making import an_event, an_organization, new_key

LARGEST_EVENT_BYTES = 4096
UPDATES = 50


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a fresh database of each kind, migrated."""
    url = database_url(request.param, tmp_path, request)
    migrate(url)
    return url


def full_of(letter: str, members: int) -> dict[str, str]:
    """Give as much metadata as is allowed, in so many members."""
    room = MOST_METADATA_BYTES // members - 16
    return {f"{number:04}": letter * room for number in range(members)}


@pytest.mark.parametrize("members", [1, 20, 400])
async def test_updates_of_all_metadata(url: str, members: int) -> None:
    """Updates that change 8 KiB of metadata again and again leave events of at most 4 KiB each."""
    made = new_key(an_organization(), metadata=full_of("a", members))
    async with running(url) as store:
        await store.create(made)
        key: ApiKey = made.api_key
        for number in range(UPDATES):
            new = replace(key, metadata=full_of("ab"[number % 2 == 0], members), name=str(number) * 20)
            event = an_event(EventType.UPDATED, key, data=update_event_data(key, new))
            assert await store.update(new, event) is Outcome.DONE
            key = replace(new, version=new.version + 1)
        page = await store.events(key.org_id, limit=UPDATES, before=None, which=EventFilter(key_id=key.id))
    sizes = [len(json.dumps(event.data)) for event, _ in page.items]
    assert len(sizes) == UPDATES
    assert max(sizes) <= LARGEST_EVENT_BYTES
    assert all(set(event.data) == {"before", "after", "metadata_omitted"} for event, _ in page.items)


async def test_the_cache_of_large_keys(url: str) -> None:
    """Keys with the longest scopes, networks, names and metadata fill no more of the cache than its budget."""
    most_bytes = 2**20
    cache: KeyCache = KeyCache(most_bytes // WEIGHT_BYTES, size_of=attrgetter("weight"))
    organization, held = an_organization(), []
    async with running(url) as store:
        for number in range(200):
            key = new_key(
                organization,
                name="\N{PILE OF POO}" * 100,
                scopes=tuple(f"r{number:03}{each:03}{'x' * 50}:{'y' * 60}" for each in range(MOST_SCOPES)),
                allowed_ips=tuple(f"10.{number}.{each}.0/24" for each in range(100)),
                external_id="e" * 255,
                metadata={"text": "m" * 490},
            )
            await store.create(key)
            facts = await store.find_key(key.secret_digest)
            cache.end(cache.begin(key.secret_digest), facts)
            held.append(key.secret_digest)
    weights = [facts.weight * WEIGHT_BYTES for facts in map(cache.get, held) if facts is not None]
    assert 10 < len(cache) < 100
    assert sum(weights) <= most_bytes
    assert min(weights) > 15_000
