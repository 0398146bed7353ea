"""Verifiers and their credentials."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from keywright.keys.cache import DigestCache
from keywright.keys.pair import mint_credential
from keywright.service.faults import Overloaded, StorageUnavailable
from keywright.service.turns import Turns
from keywright.service.verifiers import Verifier, VerifierCache, Verifiers, flaw_in_verifier_name
from tests.service.fake_checking_store import NOW, FakeCheckingStore, FakeTime


@pytest.fixture
def store() -> FakeCheckingStore:
    return FakeCheckingStore()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def verifiers(store: FakeCheckingStore, time: FakeTime) -> Verifiers:
    cache: VerifierCache = DigestCache(10)
    cache.synced(time())
    numbers = iter(range(1, 100))
    return Verifiers(
        store=store,
        cache=cache,
        clock=lambda: NOW,
        monotonic=time,
        entropy=lambda count: next(numbers).to_bytes(count, "big"),
        new_id=lambda: UUID(int=next(numbers)),
        brand="kw",
        outage_seconds=60,
    )


async def test_a_credential_is_recognized(verifiers: Verifiers, store: FakeCheckingStore) -> None:
    """A credential identifies its verifier with one look-up; its text is not stored."""
    verifier, credential = await verifiers.create("billing-api")
    assert await verifiers.recognize(credential.reveal()) == verifier
    assert await verifiers.recognize(credential.reveal()) == verifier
    assert store.look_ups == 1
    assert credential.reveal() not in repr(store.verifier_by_digest)
    assert verifier.display == credential.display


@pytest.mark.parametrize("text", ["", "kw_vk_", "kw_sk_live_x", "é"])
async def test_what_is_no_credential(verifiers: Verifiers, store: FakeCheckingStore, text: str) -> None:
    """A text that is no credential of the brand is recognized as none, without a look-up."""
    assert await verifiers.recognize(text) is None
    assert store.look_ups == 0


class SlowStore(FakeCheckingStore):
    """Answers look-ups of verifiers once it `may_answer`, and counts those under way."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.under_way = 0

    async def find_verifier(self, credential_digest: bytes) -> Verifier | None:
        self.under_way += 1
        await self.may_answer.wait()
        self.under_way -= 1
        return await super().find_verifier(credential_digest)


async def test_unknown_credentials(verifiers: Verifiers, time: FakeTime) -> None:
    """Of credentials that do not exist, few are looked up at once; a cached verifier does not wait for the others."""
    slow = SlowStore()
    turns = Turns(time, most=4, alone=2, together=2, longest=40, longest_of_share=20)
    verifiers = replace(verifiers, store=slow, turns=turns)
    verifier, credential = await verifiers.create("billing-api")
    verifiers.cache.end(verifiers.cache.begin(credential.digest), verifier)
    junk = [mint_credential(number.to_bytes(32), brand="kw").reveal() for number in range(100, 130)]
    refused = [asyncio.create_task(verifiers.recognize(text)) for text in junk]
    await asyncio.sleep(0)
    # The cache is no longer fresh.
    time.seconds += 10
    known = asyncio.create_task(verifiers.recognize(credential.reveal()))
    await asyncio.sleep(0)
    assert (slow.under_way, turns.taken, turns.waiting) == (3, 3, 20)
    slow.may_answer.set()
    assert await known == verifier
    found = await asyncio.gather(*refused, return_exceptions=True)
    assert found[:22] == [None] * 22
    assert all(isinstance(answer, Overloaded) for answer in found[22:])
    assert (turns.taken, turns.waiting) == (0, 0)


async def test_revoked(verifiers: Verifiers, store: FakeCheckingStore) -> None:
    """A revoked verifier is refused once the change is read, and from the database at once."""
    _, credential = await verifiers.create("billing-api")
    await verifiers.recognize(credential.reveal())
    assert await verifiers.revoke("billing-api") is not None
    verifiers.cache.drop(store.changes[-1].digests)
    assert await verifiers.recognize(credential.reveal()) is None
    assert await verifiers.recognize(credential.reveal()) is None
    assert await verifiers.revoke("nobody") is None


async def test_a_name_is_taken_once(verifiers: Verifiers) -> None:
    """A second verifier of the same name is refused."""
    await verifiers.create("billing-api")
    with pytest.raises(ValueError, match="taken"):
        await verifiers.create("billing-api")


async def test_outage(verifiers: Verifiers, store: FakeCheckingStore, time: FakeTime) -> None:
    """While the database is unavailable a cached verifier is recognised for the outage time, no other."""
    _, credential = await verifiers.create("billing-api")
    await verifiers.recognize(credential.reveal())
    store.away = True
    time.seconds += 61
    assert await verifiers.recognize(credential.reveal()) is not None
    time.seconds += 1
    with pytest.raises(StorageUnavailable):
        await verifiers.recognize(credential.reveal())


@pytest.mark.parametrize(
    ("name", "good"),
    [("billing-api", True), ("a" * 64, True), ("", False), ("a" * 65, False), ("two words", False), ("é", False)],
)
def test_names(name: str, good: bool) -> None:
    """A name is a plain word, since it goes into logs and command lines."""
    assert (flaw_in_verifier_name(name) is None) is good


async def test_held(verifiers: Verifiers, store: FakeCheckingStore, time: FakeTime) -> None:
    """A verifier is in the cache after its look-up, while the cache is fresh and until it is revoked."""
    verifier, credential = await verifiers.create("billing-api")
    assert verifiers.cached(credential.digest, time()) is None
    await verifiers.recognize(credential.reveal())
    look_ups = store.look_ups
    assert verifiers.cached(credential.digest, time()) == verifier
    assert verifiers.cached(credential.digest, time() + 1.001) is None
    await verifiers.revoke("billing-api")
    verifiers.cache.drop([credential.digest])
    assert verifiers.cached(credential.digest, time()) is None
    assert await verifiers.recognize(credential.reveal()) is None
    assert verifiers.cached(credential.digest, time()) is None
    assert store.look_ups == look_ups + 1
