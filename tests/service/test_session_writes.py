"""Renewals and acknowledgements of many sessions, written together."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from keywright.service.faults import Overloaded, StorageUnavailable
from keywright.service.feeds import LONGEST_QUEUE, MOST_TOGETHER, SessionWrites
from keywright.service.verifier_sessions import Acknowledged, Session
from tests.service.fake_checking_store import FakeCheckingStore
from tests.service.test_change_follower import until


def session(number: int) -> Session:
    """Give a session."""
    return Session(id=UUID(int=number), verifier_id=UUID(int=1), name=f"api-{number}", outage_seconds=60)


async def test_a_thousand_sessions_take_one_transaction() -> None:
    """What a thousand sessions acknowledge at once is one transaction, and so are their renewals."""
    store = FakeCheckingStore()
    writes = SessionWrites(store, lambda: 0.01)
    await asyncio.gather(*[writes.acknowledge(UUID(int=n), [7]) for n in range(1000)])
    assert store.confirmed == [(UUID(int=n), (7,)) for n in range(1000)]
    await asyncio.gather(*[writes.renew(session(n)) for n in range(1000)])
    assert store.sessions == {UUID(int=n): session(n) for n in range(1000)}
    assert store.transactions == [1000, 1000]


async def test_a_transaction_is_bounded() -> None:
    """However much is acknowledged, no transaction has more rows than the bound, and each change is stored."""
    store = FakeCheckingStore()
    writes = SessionWrites(store, lambda: 0.0)
    many = range(2 * MOST_TOGETHER + 1)
    await asyncio.gather(writes.acknowledge(UUID(int=1), many), writes.acknowledge(UUID(int=2), [5]))
    assert max(len(seqs) for _, seqs in store.confirmed) == MOST_TOGETHER
    assert sorted(seq for session_id, seqs in store.confirmed if session_id.int == 1 for seq in seqs) == list(many)
    assert (UUID(int=2), (5,)) in store.confirmed


async def test_nothing_to_acknowledge() -> None:
    """An acknowledgement without changes takes no transaction."""
    store = FakeCheckingStore()
    await SessionWrites(store, lambda: 0.01).acknowledge(UUID(int=1), [])
    assert store.transactions == []


async def test_every_caller_learns_of_a_failure() -> None:
    """A transaction that fails fails for all of its callers; the next one is tried again."""
    store = FakeCheckingStore()
    writes = SessionWrites(store, lambda: 0.01)
    store.away = True
    found = await asyncio.gather(*[writes.renew(session(n)) for n in range(3)], return_exceptions=True)
    assert [type(each) for each in found] == [StorageUnavailable] * 3
    store.away = False
    await writes.renew(session(1))
    assert store.sessions == {UUID(int=1): session(1)}


async def test_a_caller_that_goes_away() -> None:
    """A caller that is cancelled takes nothing from those that share its transaction, nor from its own session."""
    store = FakeCheckingStore()
    writes = SessionWrites(store, lambda: 0.01)
    going, staying = (asyncio.create_task(writes.acknowledge(UUID(int=n), [7])) for n in (1, 2))
    await asyncio.sleep(0)
    going.cancel()
    await staying
    assert store.confirmed == [(UUID(int=1), (7,)), (UUID(int=2), (7,))]


class HeldStore(FakeCheckingStore):
    """A store whose transactions wait."""

    def __init__(self) -> None:
        super().__init__()
        self.going = asyncio.Event()

    async def confirm_together(self, acknowledged: Sequence[Acknowledged]) -> None:
        await self.going.wait()
        await super().confirm_together(acknowledged)


async def test_too_many_wait() -> None:
    """Beyond the bound of what waits, an acknowledgement is refused and the others are stored."""
    store = HeldStore()
    writes = SessionWrites(store, lambda: 0.0)
    full = LONGEST_QUEUE // MOST_TOGETHER
    waiting = [asyncio.create_task(writes.acknowledge(UUID(int=n), range(MOST_TOGETHER))) for n in range(full)]
    # The first batch is being written, and does not wait any more.
    await until(lambda: len(writes._acknowledged._waiting) == full - 1)
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(writes.acknowledge(UUID(int=full), range(MOST_TOGETHER))))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await writes.acknowledge(UUID(int=full + 1), [1])
    store.going.set()
    await asyncio.gather(*waiting)
    assert len(store.confirmed) == full + 1


async def test_the_end_of_the_process() -> None:
    """Callers that wait when the writing is cancelled, as a loop that ends does, are cancelled and do not hang."""
    store = HeldStore()
    writes = SessionWrites(store, lambda: 0.0)
    waiting = [asyncio.create_task(writes.acknowledge(UUID(int=n), range(MOST_TOGETHER))) for n in range(3)]
    await until(lambda: len(writes._acknowledged._waiting) == 2)
    writer = writes._acknowledged._writer
    assert writer is not None
    writer.cancel()
    await asyncio.wait(waiting)
    assert all(each.cancelled() for each in waiting)
