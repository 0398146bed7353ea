"""An organization whose keys have as much in them as is allowed: events and cache stay bounded."""

import json
import tracemalloc
from dataclasses import replace
from operator import attrgetter

import pytest

from keywright.api.keys.requests import MOST_METADATA_BYTES
from keywright.api.verify.batch import Batches
from keywright.api.verify.fast_path import FastPath
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.routes import ServiceApp
from keywright.keys.addresses import MOST_NETWORKS, proxy_networks, read_networks
from keywright.keys.cache import WEIGHT_BYTES, KeyCache, weight_of
from keywright.keys.pair import mint
from keywright.keys.record import ApiKey
from keywright.keys.scopes import MOST_SCOPES
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.verdicts import Caller
from keywright.service.management.audit_log import EventType
from keywright.service.management.commands import update_event_data
from keywright.service.management.ports import EventFilter, Outcome
from keywright.storage.migrate import migrate
from tests.api.checking_plane import CREDENTIAL, CheckingPlane
from tests.api.protocol import Application, Wire
from tests.storage.life_contract import running
from tests.storage.making import an_event, an_organization, find_key, new_key

LARGEST_EVENT_BYTES = 4096
UPDATES = 50
CHECKED_KEYS = 400
MOST_BYTES_BESIDE_THE_CACHE = 16 * 2**20
"""Of 400 keys with 26 KB each. Bounded by their number alone, their answers, scopes and networks took 40 MiB."""


@pytest.fixture
def url(fresh_url: str) -> str:
    """Give a fresh database of each kind, migrated."""
    migrate(fresh_url)
    return fresh_url


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
            facts = await find_key(store, key.secret_digest)
            cache.end(cache.begin(key.secret_digest), facts)
            held.append(key.secret_digest)
    weights = [facts.weight * WEIGHT_BYTES for facts in map(cache.get, held) if facts is not None]
    assert 10 < len(cache) < 100
    assert sum(weights) <= most_bytes
    assert min(weights) > 15_000


def large_facts(number: int) -> KeyFacts:
    """Make the facts of a key with the longest scopes and networks, all its own."""
    scopes = tuple(f"r{number:06}{each:03}{'x' * 50}:{'y' * 60}" for each in range(MOST_SCOPES))
    networks = read_networks(f"2001:db8:{number:x}:{each:x}::/64" for each in range(MOST_NETWORKS))
    return KeyFacts(
        id=number.to_bytes(16),
        org_id=b"o" * 16,
        name="n",
        environment="live",
        scopes=scopes,
        networks=networks,
        weight=weight_of((scopes, networks, *scopes, *networks)),
    )


class Doors(CheckingPlane):
    """Verify, batch and forward authentication, with the fast path, over one store and one cache."""

    def __init__(self) -> None:
        super().__init__()
        self.cache.synced(self.time())
        forward_auth = ForwardAuth(self.checker, self.verifiers, who="open", trusted=proxy_networks(["10.0.0.1"]))
        fast_path = FastPath(self.checker, self.callers, forward_auth)
        app = ServiceApp(Application(), self.checker, self.callers, forward_auth=forward_auth, fast_path=fast_path)
        self.batches = Batches(self.checker)
        self.wire = Wire(app)
        self.wire.protocol.client = ("10.0.0.1", 5)

    async def check(self, number: int) -> None:
        """Check a large key of its own at every door, twice."""
        pair = mint(number.to_bytes(32), brand="kw", environment="live")
        facts = self.store.facts[pair.private.digest] = large_facts(number)
        key = pair.private.reveal()
        address = f"2001:db8:{number:x}:1::7"
        body = f'{{"key":"{key}","scopes":["{facts.scopes[7]}"],"client_ip":"{address}"}}'
        allowed = f'{{"key":"{key}","client_ip":"{address}"}}'
        for _ in range(2):
            for sent in (body, allowed):
                await self.send("POST /api/v2/api-keys/verify", "Content-Type: application/json", body=sent)
            await self.send("GET /forward-auth", f"X-API-Key: {key}", f"X-Forwarded-For: {address}")
            await self.send("GET /ext-authz/", f"X-API-Key: {key}", f"X-Forwarded-For: {address}")
            await self.batches.answer(Caller("edge", None, None), f'{{"keys":[{body},{allowed}]}}'.encode())
        del self.store.facts[pair.private.digest]

    async def send(self, line: str, *headers: str, body: str = "") -> None:
        """Send a request, and read its answer: that the key is valid."""
        length = f"Content-Length: {len(body)}"
        credential = f"Authorization: Bearer {CREDENTIAL.reveal()}" if body else "Accept: */*"
        lines = [f"{line} HTTP/1.1", "Host: localhost", credential, length, *headers]
        transport = self.wire.transport
        transport.written = b""
        await self.wire.receive("\r\n".join([*lines, "", body]).encode())
        transport.take(len(transport.written))
        answer = transport.written
        assert b'"code":"valid"' in answer or b"x-keywright-key-id" in answer, answer[:500]


async def test_the_memory_beside_the_cache() -> None:
    """What checks of large keys leave beside the cache of keys is bounded by its size, not by the number of keys."""
    doors = Doors()
    await doors.check(0)
    tracemalloc.start()
    for number in range(1, CHECKED_KEYS + 1):
        await doors.check(number)
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert doors.usage._sums
    assert left < MOST_BYTES_BESIDE_THE_CACHE
