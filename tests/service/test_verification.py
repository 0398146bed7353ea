"""Checking presented keys: memory, database, outages, and the races between them."""

import asyncio
from dataclasses import replace

import pytest

from keywright.keys.cache import KeyCache
from keywright.keys.pair import mint
from keywright.keys.rate_limiter import LimitState, RateLimitDecision
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, Requirements
from keywright.service.checking.verdicts import KeyVerdict, limited
from keywright.service.checking.verification import Verification
from keywright.service.faults import Overloaded, StorageUnavailable
from keywright.service.turns import Turns
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime
from tests.service.making_checkers import CALLER, a_checker

PAIR = mint(bytes(range(32)), brand="kw", environment="live")
TEXT, DIGEST = PAIR.private.reveal(), PAIR.private.digest
FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")
REVOKED = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live", revoked=True)
OUTAGE_SECONDS = 60.0


class Plane:
    """A verification with everything it stands on."""

    def __init__(self) -> None:
        self.store, self.time, self.cache = FakeCheckingStore(), FakeTime(), KeyCache(100)
        self.store.facts[DIGEST] = FACTS
        self.cache.synced(self.time())
        self.verification = Verification(
            self.store,
            self.cache,
            brand="kw",
            now=lambda: 1_000_000.0,
            monotonic=self.time,
            outage_seconds=OUTAGE_SECONDS,
        )
        self.checker = a_checker(self.verification, self.time)

    async def code(
        self, text: str = TEXT, requirements: Requirements = NO_REQUIREMENTS, *, from_memory: bool = True
    ) -> Code:
        check = self.checker.check if from_memory else self.checker.facts_for
        return (await check(CALLER, text, requirements)).code


@pytest.fixture
def plane() -> Plane:
    return Plane()


async def test_asked_once_then_known(plane: Plane) -> None:
    """The first verification of a key reads the database, the next ones only the cache."""
    assert [await plane.code() for _ in range(3)] == [Code.VALID] * 3
    assert plane.store.look_ups == 1
    assert plane.verification.verify_now(TEXT, Requirements(environment="sandbox")).code is Code.WRONG_ENVIRONMENT  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    ["", "junk", TEXT[:-1], TEXT + "\n", "é" + TEXT, PAIR.public.text, "x" * 10_000, TEXT.replace("kw", "ab", 1)],
)
async def test_what_is_no_key_costs_nothing(plane: Plane, text: str) -> None:
    """A text that is no private key of ours is not found, without a look-up, from memory or not."""
    assert await plane.code(text) is Code.NOT_FOUND
    assert await plane.code(text, from_memory=False) is Code.NOT_FOUND
    assert plane.store.look_ups == 0


async def test_unknown(plane: Plane) -> None:
    """A well-formed unknown key is not found, and is looked up again the next time."""
    other = mint(bytes(32), brand="kw", environment="live").private.reveal()
    assert [await plane.code(other), await plane.code(other)] == [Code.NOT_FOUND] * 2
    assert plane.store.look_ups == 2


async def test_what_is_held_counts_only_while_changes_are_followed(plane: Plane) -> None:
    """A process that has not followed the changes for longer than the bound asks for every key."""
    await plane.code()
    plane.store.facts[DIGEST] = REVOKED
    plane.time.seconds += 1.0
    assert await plane.code() is Code.VALID
    plane.time.seconds += 0.001
    assert plane.verification.verify_now(TEXT, NO_REQUIREMENTS) is None
    assert await plane.code() is Code.REVOKED


async def test_asking_past_memory(plane: Plane) -> None:
    """A caller that needs the database's answer gets it, also for a cached key."""
    await plane.code()
    plane.store.facts[DIGEST] = REVOKED
    assert await plane.code(from_memory=False) is Code.REVOKED


async def test_outage(plane: Plane) -> None:
    """While the database is unavailable a cached key is accepted, marked stale, for the outage time only."""
    await plane.code()
    plane.store.away = True
    plane.time.seconds += 1.0 + OUTAGE_SECONDS
    verdict = await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS)
    assert (verdict.code, verdict.stale) == (Code.VALID, True)
    plane.time.seconds += 0.001
    with pytest.raises(StorageUnavailable):
        await plane.code()


async def test_outage_of_an_unknown_key(plane: Plane) -> None:
    """A key that is not cached raises `StorageUnavailable` while the database is unavailable."""
    plane.store.away = True
    with pytest.raises(StorageUnavailable):
        await plane.code()


async def test_first_sights_share_a_look_up(plane: Plane) -> None:
    """A hundred requests for a key that is not cached share one look-up."""
    plane.store.hold = asyncio.Event()
    asking = [asyncio.create_task(plane.code()) for _ in range(100)]
    await asyncio.sleep(0)
    plane.store.hold.set()
    assert set(await asyncio.gather(*asking)) == {Code.VALID}
    assert plane.store.look_ups == 1


class Several:
    """Look-ups of metadata by two callers that have three turns in all and two each."""

    def __init__(self) -> None:
        self.plane = Plane()
        turns = Turns(self.plane.time, most=3, alone=2, together=2, longest=8, longest_of_share=4)
        self.plane.verification = Verification(
            self.plane.store,
            self.plane.cache,
            brand="kw",
            now=lambda: 1_000_000.0,
            monotonic=self.plane.time,
            outage_seconds=0,
            turns=turns,
        )
        self.plane.checker = a_checker(self.plane.verification, self.plane.time)
        self.plane.store.hold = asyncio.Event()

    async def ask_metadata(self, name: str, times: int) -> list["asyncio.Task[KeyVerdict]"]:
        """Have a caller check a cached key with long metadata, which is not cached, and wait until it waits."""
        check, caller = self.plane.checker.check, CALLER._replace(name=name)
        tasks = [asyncio.create_task(check(caller, TEXT, NO_REQUIREMENTS, metadata=True)) for _ in range(times)]
        for _ in range(4):
            await asyncio.sleep(0)
        return tasks


async def test_look_ups_of_metadata_take_turns() -> None:
    """Look-ups of long metadata take the turns of their caller: a flood of them leaves turns to another caller."""
    several = Several()
    store, cache = several.plane.store, several.plane.cache
    cache.end(cache.begin(DIGEST), replace(FACTS, metadata=None))
    store.metadata[DIGEST] = text = '{"a":"long"}'
    flood = await several.ask_metadata("flood", 7)
    assert store.metadata_look_ups == 2
    with pytest.raises(Overloaded):
        await flood[-1]
    (other,) = await several.ask_metadata("other", 1)
    assert store.metadata_look_ups == 3
    assert store.hold is not None
    store.hold.set()
    found = [(await task).facts for task in [*flood[:-1], other]]
    assert found == [replace(FACTS, metadata=text)] * 7
    assert (store.metadata_look_ups, store.look_ups) == (7, 0)


async def test_a_look_up_is_not_shared_beyond_the_bound(plane: Plane) -> None:
    """A request does not join a look-up that began before a revocation it must know of."""
    plane.store.hold = asyncio.Event()
    early = asyncio.create_task(plane.code())
    await asyncio.sleep(0)
    plane.store.facts[DIGEST] = REVOKED
    plane.time.seconds += 1.001
    plane.cache.synced(plane.time())
    late = asyncio.create_task(plane.code())
    await asyncio.sleep(0)
    plane.store.hold.set()
    assert await late is Code.REVOKED
    await early


async def test_nobody_joins_a_look_up_before_the_changes_are_followed() -> None:
    """A process that receipts may not know of yet gives no request the answer of a look-up that began before it."""
    plane = Plane()
    plane.cache = KeyCache(100)
    plane.verification = Verification(
        plane.store, plane.cache, brand="kw", now=lambda: 1_000_000.0, monotonic=plane.time, outage_seconds=0
    )
    plane.checker = a_checker(plane.verification, plane.time)
    plane.store.hold = asyncio.Event()
    early = asyncio.create_task(plane.code())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert plane.store.look_ups == 1
    plane.store.facts[DIGEST] = REVOKED
    late = asyncio.create_task(plane.code())
    await asyncio.sleep(0)
    plane.store.hold.set()
    assert (await early, await late) == (Code.VALID, Code.REVOKED)


async def test_a_look_up_that_a_change_overtook_is_not_held(plane: Plane) -> None:
    """A revocation announced while a look-up is under way is not undone by what the look-up read."""
    plane.store.hold = asyncio.Event()
    slow = asyncio.create_task(plane.code())
    await asyncio.sleep(0)
    plane.store.facts[DIGEST] = REVOKED
    plane.cache.drop([DIGEST])
    plane.store.hold.set()
    await slow
    assert await plane.code() is Code.REVOKED


async def test_a_caller_that_goes_away_takes_nobodys_answer_along(plane: Plane) -> None:
    """Cancelling one of those who wait leaves the others their answer."""
    plane.store.hold = asyncio.Event()
    leaving, staying = asyncio.create_task(plane.code()), asyncio.create_task(plane.code())
    await asyncio.sleep(0)
    leaving.cancel()
    plane.store.hold.set()
    assert await staying is Code.VALID


async def test_a_failure_that_nobody_waits_for_is_not_reported_as_lost(plane: Plane) -> None:
    """When every caller was cancelled, a failing look-up logs nothing."""
    plane.store.hold = asyncio.Event()
    leaving = asyncio.create_task(plane.code())
    await asyncio.sleep(0)
    leaving.cancel()
    plane.store.away = True
    plane.store.hold.set()
    for _ in range(5):
        await asyncio.sleep(0)
    plane.store.away = False
    assert await plane.code() is Code.VALID


@pytest.mark.parametrize("turns", [1, 2])
async def test_a_look_up_that_is_ended_is_forgotten(plane: Plane, turns: int) -> None:
    """A look-up that was cancelled with its loop's work leaves no trace behind, whether it had begun or not."""
    plane.store.hold = asyncio.Event()
    asking = asyncio.create_task(plane.code())
    for _ in range(turns):
        await asyncio.sleep(0)
    assert plane.store.look_ups == turns - 1
    (look_up,) = [task for task in asyncio.all_tasks() if task not in (asking, asyncio.current_task())]
    look_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    plane.store.hold.set()
    assert await plane.code() is Code.VALID


async def test_held(plane: Plane) -> None:
    """The facts of a key are in the cache after its look-up, while the cache is fresh."""
    assert plane.verification.get_fresh(DIGEST, plane.time()) is None
    await plane.code()
    assert plane.verification.get_fresh(DIGEST, plane.time()) is FACTS
    assert plane.verification.get_fresh(DIGEST, plane.time() + 1.001) is None
    plane.cache.drop([DIGEST])
    assert plane.verification.get_fresh(DIGEST, plane.time()) is None
    assert plane.store.look_ups == 1


@pytest.mark.parametrize("allowed", [True, False])
def test_limited(allowed: bool) -> None:
    """A used-up limit changes only the code of a valid verdict."""
    decision = RateLimitDecision(allowed, (LimitState(RateLimit("minute", 1, 60), 0, 60.0),), 0.0 if allowed else 60.0)
    verdict = limited(KeyVerdict(Code.VALID, FACTS, DIGEST, True), decision)
    code = Code.VALID if allowed else Code.RATE_LIMITED
    assert verdict == KeyVerdict(code, FACTS, DIGEST, True, decision)
