"""Requests that may be repeated."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import digest as hmac_digest
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keywright.service.management.commands import Created, NewKey
from keywright.service.management.idempotency import KEPT, Answered, IdempotentRequest, Sealing
from keywright.service.management.management import Management
from keywright.service.management.ports import SealedAnswer
from keywright.service.management.refusals import Refused
from keywright.service.principal import Principal
from tests.service.management.fragile_store import FragileStore, Point
from tests.service.managing import ALICE, BOB, HEADER, NOW, ORIGIN, SECOND, Scenario, idempotent_request

REUSED = Refused("idempotency_key_reused")
IN_USE = Refused("idempotency_key_in_use")
CAROL = replace(ALICE, subject="auth0|carol")
"""Another subject of Alice's organization."""


@pytest.fixture
def store() -> FragileStore:
    return FragileStore()


@pytest.fixture
def scenario(store: FragileStore) -> Scenario:
    return Scenario(store)


async def create(service: Management, what: IdempotentRequest | None = None, name: str = "name") -> object:
    return await service.create(ALICE, ORIGIN, NewKey(name=name), what or idempotent_request())


def answered(result: object) -> Answered:
    assert isinstance(result, Answered), result
    return result


# Sealing


def derived(use: bytes, salt: bytes | None) -> bytes:
    info = b"keywright.idempotency." + use
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(HEADER.encode())


async def test_as_it_is_written_down(scenario: Scenario, store: FragileStore) -> None:
    """Digest, fingerprint and sealed answer are stored as the module's docstring defines them, to the byte."""
    answer = answered(await create(scenario.management))
    (stored,) = store.sealed_answers.values()
    header, content, org = HEADER.encode(), b"POST /api-keys {}", ALICE.organization.id.bytes
    bound = b"https://issuer.example/\0auth0|alice\0" + content
    assert stored.request_digest == sha256(b"keywright.idempotency.v1\0" + header).digest()
    assert stored.fingerprint == hmac_digest(derived(b"v2 fingerprint", None), bound, "sha256")
    salt, nonce, sealed = stored.sealed[:16], stored.sealed[16:28], stored.sealed[28:]
    associated = org + stored.request_digest + stored.fingerprint
    assert AESGCM(derived(b"v1 answer", salt)).decrypt(nonce, sealed, associated) == answer.body
    assert (stored.created_at, stored.expires_at) == (NOW, NOW + timedelta(hours=24))


async def test_nothing_stored_tells_the_answer(scenario: Scenario, store: FragileStore) -> None:
    """Neither the answer nor the idempotency key is in what is stored, and two answers are sealed differently."""
    answer = answered(await create(scenario.management))
    await create(scenario.management, idempotent_request(key=HEADER[::-1]))
    first, second = store.sealed_answers.values()
    for sealed_answer in (first, second):
        told = repr(sealed_answer).encode() + sealed_answer.sealed
        assert answer.body not in told
        assert HEADER.encode() not in told
    assert first.sealed[:28] != second.sealed[:28]
    assert first.fingerprint != second.fingerprint


def sealing(who: Principal = ALICE, key: str = HEADER, content: bytes = b"said") -> Sealing:
    return Sealing(who, IdempotentRequest(key, content, lambda created: b"answer"), lambda count: b"e" * count)


def sealed(created: Created) -> SealedAnswer:
    return sealing().seal(created, NOW)


async def test_only_the_same_request_opens_it(scenario: Scenario) -> None:
    """Another organisation, subject, issuer, idempotency key or request: none of them opens an answer."""
    sealed_answer = sealed(await scenario.create())
    assert sealing().open(sealed_answer) == b"answer"
    others = [BOB, CAROL, replace(ALICE, issuer="https://other.example/")]
    for other in (*map(sealing, others), sealing(key=HEADER[::-1]), sealing(content=b"says")):
        assert other.open(sealed_answer) is None
        # Not even where somebody has put it in the place of the other's.
        moved = replace(sealed_answer, request_digest=other.request_digest, fingerprint=other.fingerprint)
        assert other.open(moved) is None


async def test_what_was_altered_does_not_open(scenario: Scenario) -> None:
    """An answer of which any byte was altered, or any end cut off, is not opened."""
    sealed_answer = sealed(await scenario.create())
    for place in range(len(sealed_answer.sealed)):
        altered = bytearray(sealed_answer.sealed)
        altered[place] ^= 1
        assert sealing().open(replace(sealed_answer, sealed=bytes(altered))) is None
        assert sealing().open(replace(sealed_answer, sealed=sealed_answer.sealed[:place])) is None


# Repeating


async def test_the_second_gets_the_answer_of_the_first(scenario: Scenario, store: FragileStore) -> None:
    """A repeated request gets the same bytes, marked as replayed; there is one key and one event."""
    first = answered(await create(scenario.management))
    assert not first.replayed
    for service in (scenario.management, scenario.process()):
        assert await create(service) == Answered(first.body, replayed=True)
    assert len(store.keys) == len(store.trail) == 1


async def test_another_request_under_the_same_key(scenario: Scenario, store: FragileStore) -> None:
    """An idempotency key stands for one request: with another one it is refused, and nothing is done."""
    await create(scenario.management)
    assert await create(scenario.management, idempotent_request(content=b"POST /api-keys {other}")) == REUSED
    assert len(store.keys) == 1


async def test_another_subject_under_the_same_key(scenario: Scenario, store: FragileStore) -> None:
    """Another subject of the organization gets no private key, and does nothing a second time."""
    first = answered(await create(scenario.management))
    for service in (scenario.management, scenario.process()):
        assert await service.create(CAROL, ORIGIN, NewKey(name="name"), idempotent_request()) == REUSED
    assert len(store.keys) == len(store.trail) == 1
    assert await create(scenario.management) == Answered(first.body, replayed=True)


async def test_subject_and_content_do_not_run_together(scenario: Scenario) -> None:
    """A subject whose text ends as another request begins has another fingerprint."""
    longer = replace(ALICE, subject=ALICE.subject + "x")
    assert sealing(longer, content=b"y").fingerprint != sealing(ALICE, content=b"xy").fingerprint


async def test_an_answer_of_the_version_before(scenario: Scenario, store: FragileStore) -> None:
    """An answer whose fingerprint is of the content alone is replayed, and refuses another request."""
    content, associated_with = b"POST /api-keys {}", ALICE.organization.id.bytes
    digest = sha256(b"keywright.idempotency.v1\0" + HEADER.encode()).digest()
    fingerprint = hmac_digest(derived(b"v1 fingerprint", None), content, "sha256")
    salt, nonce = b"s" * 16, b"n" * 12
    sealed = AESGCM(derived(b"v1 answer", salt)).encrypt(nonce, b"before", associated_with + digest + fingerprint)
    store.sealed_answers[ALICE.organization.id, digest] = SealedAnswer(
        request_digest=digest,
        fingerprint=fingerprint,
        sealed=salt + nonce + sealed,
        created_at=NOW,
        expires_at=NOW + KEPT,
    )
    assert await create(scenario.management) == Answered(b"before", replayed=True)
    assert await create(scenario.management, idempotent_request(content=b"POST /api-keys {other}")) == REUSED
    assert not store.keys


async def test_an_altered_replay(scenario: Scenario, store: FragileStore) -> None:
    """Where the stored answer does not open nothing is done a second time."""
    await create(scenario.management)
    ((place, sealed_answer),) = store.sealed_answers.items()
    store.sealed_answers[place] = replace(sealed_answer, sealed=sealed_answer.sealed[::-1])
    assert await create(scenario.management) == REUSED
    assert len(store.keys) == 1


async def test_organizations_do_not_share_keys(scenario: Scenario, store: FragileStore) -> None:
    """The same idempotency key of two organisations stands for two requests."""
    mine = answered(await create(scenario.management))
    theirs = answered(await scenario.management.create(BOB, ORIGIN, NewKey(name="name"), idempotent_request()))
    assert not theirs.replayed
    assert mine.body != theirs.body


async def test_after_a_day(scenario: Scenario, store: FragileStore) -> None:
    """An answer can be had for 24 hours; after that the same request is a new one."""
    first = answered(await create(scenario.management))
    scenario.now += KEPT - SECOND
    assert answered(await create(scenario.management)).body == first.body
    scenario.now += SECOND
    again = answered(await create(scenario.management))
    assert not again.replayed
    assert again.body != first.body


async def test_replays_come_before_the_policy() -> None:
    """What was done is answered, even where it would not be done any more."""
    scenario = Scenario(max_active=1)
    first = answered(await create(scenario.management))
    assert await create(scenario.management, idempotent_request(key=HEADER[::-1])) == Refused("too_many_keys")
    assert await create(scenario.management) == Answered(first.body, replayed=True)
    scenario.policy = replace(scenario.policy, expiry_required=True)
    assert await create(scenario.process()) == Answered(first.body, replayed=True)


async def test_a_refusal_is_not_kept(scenario: Scenario, store: FragileStore) -> None:
    """What was refused did nothing: the same request is tried anew when it is repeated."""
    key_id = (await scenario.create()).api_key.id
    await scenario.management.rotate(ALICE, ORIGIN, key_id, overlap_seconds=60, idle_seconds=None)

    async def rotate() -> object:
        return await scenario.management.rotate(
            ALICE, ORIGIN, key_id, overlap_seconds=None, idle_seconds=None, idempotent=idempotent_request()
        )

    assert await rotate() == Refused("rotation_under_way")
    assert store.sealed_answers == {}
    scenario.now += 60 * SECOND
    first = answered(await rotate())
    # A rotation is under way again, and this is the request that began it.
    assert await rotate() == Answered(first.body, replayed=True)


# At the same time


async def test_a_hundred_at_once(scenario: Scenario, store: FragileStore) -> None:
    """A hundred equal requests at the same time make one key, and all of them are answered the same."""
    answers = [answered(each) for each in await asyncio.gather(*(create(scenario.management) for _ in range(100)))]
    assert len({answer.body for answer in answers}) == 1
    assert [answer.replayed for answer in answers].count(False) == 1
    assert len(store.keys) == len(store.trail) == 1
    # One asked the store for all.
    assert store.calls == ["sealed_answer", "create"]


async def test_a_hundred_in_many_processes(scenario: Scenario, store: FragileStore) -> None:
    """The same in ten processes that know nothing of each other."""
    processes = [scenario.process() for _ in range(10)]
    answers = [answered(each) for each in await asyncio.gather(*(create(each) for each in processes * 10))]
    assert len({answer.body for answer in answers}) == 1
    assert [answer.replayed for answer in answers].count(False) == 1
    assert len(store.keys) == 1
    # All of them looked before anything was there, so that the store had to tell.
    assert store.calls.count("create") == 10


class OvertakenStore(FragileStore):
    """A store in which another process does something after the next look for an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.after_look: Callable[[], Awaitable[object]] | None = None

    async def sealed_answer(self, org_id: UUID, request_digest: bytes, at: datetime) -> SealedAnswer | None:
        found = await super().sealed_answer(org_id, request_digest, at)
        after, self.after_look = self.after_look, None
        if after is not None:
            await after()
        return found


async def test_a_refusal_by_what_the_same_request_did() -> None:
    """A rotation that another process did for the same request after the look for its answer is answered as that."""
    store = OvertakenStore()
    scenario = Scenario(store)
    key, request = (await scenario.create()).api_key, idempotent_request()

    async def rotate(process: Management) -> Answered:
        return answered(
            await process.rotate(ALICE, ORIGIN, key.id, overlap_seconds=None, idle_seconds=None, idempotent=request)
        )

    first: list[Answered] = []

    async def overtake() -> None:
        first.append(await rotate(scenario.process()))

    store.after_look = overtake
    assert await rotate(scenario.management) == Answered(first[0].body, replayed=True)
    assert len(store.rotations) == 1


async def test_another_request_at_the_same_time(scenario: Scenario, store: FragileStore) -> None:
    """Another request under the same idempotency key is refused while the first is under way."""
    first, other = await asyncio.gather(
        create(scenario.management), create(scenario.management, idempotent_request(content=b"other"))
    )
    assert isinstance(first, Answered)
    assert other == REUSED


async def test_one_that_takes_too_long(scenario: Scenario, store: FragileStore) -> None:
    """A request that waited long enough for the same running one is refused as in use; the running one is completed."""
    service = scenario.process(wait_seconds=0.0)
    first = asyncio.ensure_future(create(service))
    await asyncio.sleep(0)
    assert await create(service) == IN_USE
    answer = answered(await first)
    assert await create(service) == Answered(answer.body, replayed=True)


async def test_refusals_are_each_ones_own(scenario: Scenario, store: FragileStore) -> None:
    """A request that waited for a refused one is decided on its own: its condition may name another version."""
    key_id = (await scenario.create()).api_key.id

    async def rotate(version: int) -> object:
        return await scenario.management.rotate(
            ALICE,
            ORIGIN,
            key_id,
            overlap_seconds=None,
            idle_seconds=None,
            matching=lambda found: found == version,
            idempotent=idempotent_request(),
        )

    refused, done = await asyncio.gather(rotate(7), rotate(1))
    assert refused == Refused("precondition_failed")
    assert isinstance(done, Answered)


async def test_a_replay_that_is_gone_when_it_is_read(scenario: Scenario, store: FragileStore) -> None:
    """A request that the store knows and then does not know any more is done."""
    await create(scenario.management)
    scenario.now += KEPT - SECOND

    def a_second_passes(point: Point) -> None:
        if store.calls[point.call] == "create" and point.side == "after":
            scenario.now += SECOND

    # It looks before the first answer is there, and again after that has been forgotten.
    (first,) = store.sealed_answers.items()
    store.sealed_answers.clear()

    def the_first_comes_in_between(point: Point) -> None:
        if store.calls[point.call] == "create" and point.side == "before":
            store.sealed_answers.update([first])
            store.at_point = a_second_passes

    store.at_point = the_first_comes_in_between
    answer = answered(await create(scenario.process()))
    assert not answer.replayed
    assert len(store.keys) == 2


async def test_a_replay_that_comes_and_goes(scenario: Scenario, store: FragileStore) -> None:
    """A request that the store knows whenever it is to be done, and never when it is looked for, is given up on."""
    await create(scenario.management)
    ((place, sealed_answer),) = store.sealed_answers.items()

    def come_and_go(point: Point) -> None:
        if store.calls[point.call] == "create":
            store.sealed_answers[place] = sealed_answer
        else:
            store.sealed_answers.clear()

    store.at_point = come_and_go
    assert await create(scenario.process()) == IN_USE
    assert len(store.keys) == 1


async def test_what_cannot_be_repeated_is_never_known(scenario: Scenario) -> None:
    """A request without an idempotency key is never replayed, whatever the store returns."""

    async def known_already(_seal: object) -> None:
        return None

    assert await scenario.management.idempotency.once(ALICE.organization.id, None, known_already) == IN_USE
