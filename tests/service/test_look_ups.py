"""The look-ups of keys that are not cached: shared queries, fairness, and the races with changes."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from keywright.keys.cache import BOUND_SECONDS, KeyCache
from keywright.keys.verdict import KeyFacts
from keywright.service.checking import look_ups
from keywright.service.checking.look_ups import LookUps, Waiter
from keywright.service.checking.ports import PartlyFound
from keywright.service.faults import Overloaded, StorageUnavailable
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime

ACTIVE = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")
REVOKED = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live", revoked=True)


class SteppedStore(FakeCheckingStore):
    """Answers a query when the test says so, with what it read at the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Future[None]] = []

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        found = await super().find_keys(digests)
        await answer
        return found


class Desk:
    """Look-ups before a store whose queries the test answers."""

    def __init__(self) -> None:
        self.store, self.time, self.cache = SteppedStore(), FakeTime(), KeyCache(100_000)
        self.cache.synced(self.time())
        self.waits: list[float] = []
        self.look_ups = LookUps(self.store, self.cache, monotonic=self.time, turns=None, on_wait=self.waits.append)

    def find(self, *numbers: int, share: str = "one", shared: bool = True) -> list[Waiter]:
        """Look up the keys of these numbers."""
        return [self.look_ups.find(digest(number), share, shared=shared) for number in numbers]

    async def answer(self, query: int, error: Exception | None = None) -> None:
        """Answer the query of this number, and wait until everything that follows from it is done."""
        if error is None:
            self.store.waiting[query].set_result(None)
        else:
            self.store.waiting[query].set_exception(error)
        await settled()

    @property
    def sizes(self) -> list[int]:
        """How many keys each query looked up."""
        return [len(query) for query in self.store.queries]


def digest(number: int) -> bytes:
    """Give the digest of the key of a number."""
    return number.to_bytes(32, "big")


async def settled() -> None:
    """Let the event loop do what there is to do."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_waits_shares_a_query(desk: Desk) -> None:
    """The keys of one turn of the event loop are one query, and each request gets the facts of its key."""
    desk.store.facts = {digest(3): ACTIVE, digest(7): REVOKED}
    waiters = desk.find(*range(100))
    await settled()
    assert desk.sizes == [100]
    await desk.answer(0)
    assert [waiters[number].result() for number in (3, 7, 8)] == [ACTIVE, REVOKED, None]
    assert (desk.cache.get(digest(3)), desk.cache.get(digest(8)), len(desk.cache)) == (ACTIVE, None, 2)


async def test_a_cold_start_is_no_storm(desk: Desk) -> None:
    """However many keys are looked up at once, two queries are under way, and all others join the next ones."""
    for start in range(0, 4096, 64):
        desk.find(*range(start, start + 64), share=f"verifier {start % 1024}")
        await settled()
    assert desk.sizes == [64, 64]
    for query in range(33):
        assert len(desk.store.waiting) <= query + 2
        await desk.answer(query)
    assert desk.sizes == [64, 64, *[look_ups.MOST_TOGETHER] * 31]


async def test_a_query_is_shared_fairly(desk: Desk) -> None:
    """A caller with many keys that wait takes no place of a caller with few: theirs are in the next query."""
    desk.find(0)
    await settled()
    desk.find(1)
    await settled()
    desk.find(*range(1000, 2000), share="flood")
    desk.find(*range(2000, 2010), share="other")
    await desk.answer(0)
    places = [int.from_bytes(each) // 1000 for each in desk.store.queries[2]]
    assert (places.count(2), len(places)) == (10, look_ups.MOST_TOGETHER)
    assert places[:20] == [1, 2] * 10


async def test_a_full_queue(desk: Desk) -> None:
    """A caller with too many waiting keys is refused one more; another caller is not."""
    desk.find(*range(look_ups.LONGEST_QUEUE_OF_SHARE), share="flood")
    with pytest.raises(Overloaded):
        desk.find(5000, share="flood")
    desk.find(5000, share="other")
    # A key that waits already takes no other place.
    desk.find(0, share="flood")


async def test_a_request_joins_a_query_under_way(desk: Desk) -> None:
    """A request for a key whose query is under way shares its answer, whoever began it."""
    first = desk.find(1, share="one")
    await settled()
    second = desk.find(1, share="other")
    await settled()
    await desk.answer(0)
    assert desk.sizes == [1]
    assert first[0].done()
    assert second[0].done()


async def test_a_query_that_a_change_overtook_is_not_joined(desk: Desk) -> None:
    """A request after a change that this process has read gets no answer from before it."""
    desk.store.facts[digest(1)] = ACTIVE
    (early,) = desk.find(1)
    await settled()
    desk.store.facts[digest(1)] = REVOKED
    desk.cache.drop([digest(1)])
    (late,) = desk.find(1)
    await settled()
    await desk.answer(0)
    await desk.answer(1)
    assert [early.result(), late.result()] == [ACTIVE, REVOKED]


@pytest.mark.parametrize(("seconds", "joined"), [(BOUND_SECONDS, True), (BOUND_SECONDS + 0.001, False)])
async def test_a_query_is_joined_within_the_bound(desk: Desk, seconds: float, joined: bool) -> None:
    """A request gets no answer of a query that began longer ago than the bound, even where no change was read."""
    desk.store.facts[digest(1)] = ACTIVE
    desk.find(1)
    await settled()
    desk.store.facts[digest(1)] = REVOKED
    desk.time.seconds += seconds
    (late,) = desk.find(1)
    await settled()
    for query in range(len(desk.store.waiting)):
        await desk.answer(query)
    assert late.result() is (ACTIVE if joined else REVOKED)


async def test_nothing_is_joined_before_the_changes_are_followed(desk: Desk) -> None:
    """Before its first reading of the changes a process may be missing in receipts, so it joins no query."""
    desk.cache = KeyCache(100)
    desk.look_ups = LookUps(desk.store, desk.cache, monotonic=desk.time, turns=None)
    desk.find(1)
    await settled()
    desk.find(1)
    await settled()
    assert desk.sizes == [1, 1]


async def test_a_reader_that_caches_joins_no_query_under_way(desk: Desk) -> None:
    """A verifier that will cache the answer gets that of a query which began after its request; such requests share."""
    desk.store.facts[digest(1)] = ACTIVE
    early = desk.find(1)
    await settled()
    desk.store.facts[digest(1)] = REVOKED
    late = [*desk.find(1, shared=False), *desk.find(1, shared=False)]
    await settled()
    await desk.answer(0)
    await desk.answer(1)
    assert desk.sizes == [1, 1]
    assert [waiter.result() for waiter in early + late] == [ACTIVE, REVOKED, REVOKED]


async def test_a_request_waits_in_the_queue_of_its_own_share(desk: Desk) -> None:
    """A key that waits at the end of another caller's queue takes a place in one's own."""
    desk.find(1)
    await settled()
    desk.find(2)
    await settled()
    desk.find(*range(1000, 2000), share="flood")
    (other,) = desk.find(1999, share="other")
    await desk.answer(0)
    await desk.answer(2)
    assert other.done()
    for query in (1, *range(3, 10)):
        await desk.answer(query)
    assert sum(desk.sizes) == 1003


async def test_an_older_answer_never_overwrites_a_newer_change(desk: Desk) -> None:
    """What two queries for a key read before a change is not cached, whichever ends last; the next one is."""
    desk.store.facts[digest(1)] = ACTIVE
    desk.find(1)
    await settled()
    desk.find(1, shared=False)
    await settled()
    desk.store.facts[digest(1)] = REVOKED
    desk.cache.drop([digest(1)])
    await desk.answer(1)
    await desk.answer(0)
    assert desk.cache.get(digest(1)) is None
    desk.find(1)
    await settled()
    await desk.answer(2)
    assert desk.cache.get(digest(1)) is REVOKED


async def test_a_change_while_a_key_waits_is_in_its_answer(desk: Desk) -> None:
    """A key that waits for a query when it changes is read after the change, and cached."""
    desk.store.facts[digest(3)] = ACTIVE
    for number in (1, 2, 3):
        waiters = desk.find(number)
        await settled()
    desk.store.facts[digest(3)] = REVOKED
    desk.cache.drop([digest(3)])
    await desk.answer(0)
    await desk.answer(2)
    assert waiters[0].result() is REVOKED
    assert desk.cache.get(digest(3)) is REVOKED


async def test_keys_that_nobody_waits_for(desk: Desk) -> None:
    """A key whose requests were all cancelled while it waited is not looked up; one with a request left is."""
    for number in (1, 2):
        desk.find(number)
        await settled()
    gone, half = [*desk.find(3), *desk.find(3)], [*desk.find(4), *desk.find(4)]
    for waiter in (*gone, half[0]):
        waiter.cancel()
    await desk.answer(0)
    assert desk.store.queries[2:] == [[digest(4)]]
    await desk.answer(2)
    assert half[1].result() is None


async def test_a_query_that_finds_keys_and_faults(desk: Desk) -> None:
    """Each request of a query has its own key's answer: facts, which are cached, no key, or a fault."""
    waiters = desk.find(1, 2, 3, 3)
    await settled()
    await desk.answer(0, PartlyFound({digest(1): ACTIVE}, {digest(3): StorageUnavailable("strange", retry_after=7)}))
    assert [waiter.result() for waiter in waiters[:2]] == [ACTIVE, None]
    faults = [waiter.exception() for waiter in waiters[2:]]
    assert [getattr(fault, "retry_after", None) for fault in faults] == [7, 7]
    assert faults[0] is not faults[1]
    assert [desk.cache.get(digest(number)) for number in (1, 2, 3)] == [ACTIVE, None, None]


@pytest.mark.parametrize("error", [StorageUnavailable("away", retry_after=7), ZeroDivisionError()])
async def test_a_query_that_fails(desk: Desk, error: Exception) -> None:
    """Every request of a query that fails raises the fault, but for cancelled ones; the next query begins."""
    first, gone, second = [*desk.find(1), *desk.find(1), *desk.find(2)]
    await settled()
    desk.find(3)
    await settled()
    (third,) = desk.find(4)
    gone.cancel()
    await desk.answer(0, error)
    faults = [waiter.exception() for waiter in (first, second)]
    assert [type(fault) for fault in faults] == [type(error)] * 2
    assert [str(fault) for fault in faults] == [str(error)] * 2
    await desk.answer(2)
    assert third.result() is None
    assert len(desk.cache) == 0


async def test_a_key_that_cannot_be_cached(desk: Desk) -> None:
    """A key whose answer cannot be prepared fails its own requests; the others of its query get their answers."""
    desk.cache = KeyCache(100_000, prepare=refuse_revoked)
    desk.look_ups = LookUps(desk.store, desk.cache, monotonic=desk.time, turns=None)
    desk.store.facts = {digest(1): ACTIVE, digest(2): REVOKED, digest(3): ACTIVE}
    waiters = desk.find(1, 2, 3, 4)
    await settled()
    await desk.answer(0)
    assert isinstance(waiters[1].exception(), OverflowError)
    assert [waiters[place].result() for place in (0, 2, 3)] == [ACTIVE, ACTIVE, None]
    assert [desk.cache.get(digest(number)) for number in (1, 2, 3)] == [ACTIVE, None, ACTIVE]
    assert not desk.cache._look_ups


def refuse_revoked(facts: KeyFacts) -> None:
    if facts.revoked:
        raise OverflowError


async def test_a_key_of_two_callers_is_prepared_once(desk: Desk) -> None:
    """A key that two callers wait for in one query is cached once, with the size that it has in the end."""
    prepared: list[KeyFacts] = []
    desk.cache = KeyCache(100_000, prepare=prepared.append)
    desk.look_ups = LookUps(desk.store, desk.cache, monotonic=desk.time, turns=None)
    desk.store.facts[digest(1)] = ACTIVE
    waiters = [*desk.find(1, share="one"), *desk.find(1, share="other")]
    await settled()
    await desk.answer(0)
    assert desk.sizes == [2]
    assert [waiter.result() for waiter in waiters] == [ACTIVE, ACTIVE]
    assert prepared == [ACTIVE]
    assert desk.cache.get(digest(1)) is ACTIVE


async def test_faults_are_not_shared(desk: Desk) -> None:
    """Each request raises a fault of its own, with the time after which to try again."""
    waiters = desk.find(1, 2)
    await settled()
    await desk.answer(0, StorageUnavailable("away", retry_after=7))
    first, second = (waiter.exception() for waiter in waiters)
    assert first is not second
    assert isinstance(first, StorageUnavailable)
    assert first.retry_after == 7


async def test_waits_are_measured(desk: Desk) -> None:
    """The longest wait of a query that had to wait for another one is reported; one that begins at once has none."""
    for number in (1, 2):
        desk.find(number)
        await settled()
    desk.find(3)
    desk.time.seconds += 2
    desk.find(4)
    desk.time.seconds += 1
    assert desk.waits == []
    await desk.answer(0)
    assert desk.waits == [3.0]


async def test_nothing_is_left_behind(desk: Desk) -> None:
    """When all is answered, the next request begins a query at once, and nothing of those before is kept."""
    for round_ in range(3):
        desk.find(1, 2)
        await settled()
        await desk.answer(round_)
    assert desk.sizes == [2, 2, 2]
    assert not desk.look_ups._queued
    assert not desk.look_ups._reading
