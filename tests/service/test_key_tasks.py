"""The background tasks for the keys of all organizations."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from keywright.service.background_tasks import LAG_SECONDS, MOST_AT_ONCE, KeyTasks
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import EventType, Origin
from keywright.service.management.ports import Due, SealedAnswer
from tests.service.fake_store import FakeStore
from tests.service.managing import ALICE, DAY, NOW, ORIGIN, SECOND, House
from tests.service.test_change_follower import until

QUIET = timedelta(seconds=3600)


class DutifulHouse(House):
    """A house whose keys are looked after, by one process or by more."""

    def __init__(self, store: FakeStore | None = None) -> None:
        super().__init__(store)
        self.tasks = self.another()

    def another(self) -> KeyTasks:
        return KeyTasks(store=self.store, clock=lambda: self.now, new_id=lambda: UUID(int=next(self._numbers)))

    def told(self, type_: EventType) -> list[dict[str, Any]]:
        return [dict(event.data) for event in self.store.trail if event.type is type_]

    def use(self, key_id: UUID, **uses: dict[str, datetime]) -> None:
        """Have pairs of a key been used: times by the field of the pair."""
        key = self.store.keys[key_id]
        for name, times in uses.items():
            key = replace(key, **{name: replace(getattr(key, name), **times)})
        self.store.keys[key_id] = key


@pytest.fixture
def house() -> DutifulHouse:
    return DutifulHouse()


# Secrets that nobody uses any more


async def rotated(house: DutifulHouse, quiet_seconds: int | None = 3600) -> UUID:
    key_id = (await house.create()).api_key.id
    await house.rotate(key_id, quiet_seconds=quiet_seconds, overlap_seconds=30 * 86_400)
    return key_id


async def test_a_quiet_secret_retires(house: DutifulHouse) -> None:
    """A replaced secret ends when nobody has used it for so long after the new one was first used."""
    key_id = await rotated(house)
    house.use(key_id, secret={"first_used_at": NOW}, retiring={"last_used_at": NOW + SECOND})
    old = house.store.keys[key_id].retiring
    assert old is not None
    house.now = NOW + SECOND + QUIET + timedelta(seconds=LAG_SECONDS)
    await house.tasks.retire_idle()
    assert house.store.keys[key_id].retiring_at(house.now) is not None
    house.now += SECOND
    await house.tasks.retire_idle()
    assert house.store.keys[key_id].retiring_at(house.now) is None
    assert house.told(EventType.SECRET_RETIRED) == [{"public_key": old.public_key.text}]
    event = house.store.trail[-1]
    assert (event.issuer, event.subject, event.client_id) == ("keywright", "keywright", None)
    assert (event.org_id, event.key_id, event.occurred_at) == (ALICE.organization.id, key_id, house.now)
    assert event.origin == Origin(request_id=str(event.id), address=None)


async def test_a_secret_in_use_stays(house: DutifulHouse) -> None:
    """As long as the new secret was never used, or the old one is, both work, until the end that was fixed."""
    unused, used = await rotated(house), await rotated(house)
    house.now = NOW + 10 * DAY
    house.use(used, secret={"first_used_at": NOW}, retiring={"last_used_at": house.now})
    await house.tasks.retire_idle()
    assert all(house.store.keys[key_id].retiring_at(house.now) for key_id in (unused, used))


async def test_a_secret_that_does_not_wait_for_quiet_stays(house: DutifulHouse) -> None:
    """Where nobody asked for it, quiet ends nothing."""
    key_id = await rotated(house, quiet_seconds=None)
    house.use(key_id, secret={"first_used_at": NOW})
    house.now = NOW + 10 * DAY
    await house.tasks.retire_idle()
    assert house.told(EventType.SECRET_RETIRED) == []


async def test_a_change_in_between_delays(house: DutifulHouse) -> None:
    """A key that somebody changes at that moment is left to the next round."""
    key_id = await rotated(house)
    house.use(key_id, secret={"first_used_at": NOW})
    house.now = NOW + 10 * DAY

    def interfere() -> None:
        key = house.store.keys[key_id]
        house.store.keys[key_id] = replace(key, version=key.version + 1)

    house.once_meanwhile(interfere)
    await house.tasks.retire_idle()
    assert house.told(EventType.SECRET_RETIRED) == []
    await house.tasks.retire_idle()
    assert len(house.told(EventType.SECRET_RETIRED)) == 1


# Notice of an expiry


async def test_notice_is_given_three_times(house: DutifulHouse) -> None:
    """A key that is about to expire is told of 14, 3 and 1 days ahead, once each, whoever looks how often."""
    await house.create(expires_at=NOW + 20 * DAY)
    others = house.another()
    heard: list[tuple[int, int]] = []
    for hours in range(0, 21 * 24, 6):
        house.now = NOW + timedelta(hours=hours)
        for tasks in (house.tasks, others, house.tasks):
            await tasks.give_notice()
        heard += [(event["days"], hours) for event in house.told(EventType.EXPIRING)[len(heard) :]]
    assert heard == [(14, 6 * 24), (3, 17 * 24), (1, 19 * 24)]
    assert {event["expires_at"] for event in house.told(EventType.EXPIRING)} == {"2026-12-13T12:00:00.000001Z"}


@pytest.mark.parametrize(("left", "days"), [(14 * DAY, 14), (4 * DAY, 14), (3 * DAY, 3), (DAY, 1), (SECOND, 1)])
async def test_the_notice_that_applies(house: DutifulHouse, left: timedelta, days: int) -> None:
    """A key that is made with little time left is told of once, with the fewest days that are true."""
    await house.create(expires_at=NOW + left)
    await house.tasks.give_notice()
    await house.tasks.give_notice()
    assert [event["days"] for event in house.told(EventType.EXPIRING)] == [days]


async def test_no_notice(house: DutifulHouse) -> None:
    """Nothing is told of keys that do not expire, expire later, have expired or were revoked."""
    await house.create()
    await house.create(expires_at=NOW + 15 * DAY)
    await house.create(expires_at=NOW + SECOND)
    revoked = (await house.create(expires_at=NOW + 2 * SECOND)).api_key
    await house.management.revoke(ALICE, ORIGIN, revoked.id)
    house.now += SECOND
    await house.tasks.give_notice()
    assert house.told(EventType.EXPIRING) == []


async def test_another_expiry_has_notices_of_its_own(house: DutifulHouse) -> None:
    """A key whose expiry is moved is told of again when the new one comes near."""
    key = (await house.create(expires_at=NOW + DAY)).api_key
    await house.tasks.give_notice()
    await house.management.update(ALICE, ORIGIN, key.id, {"expires_at": NOW + 3 * DAY})
    await house.tasks.give_notice()
    assert [event["days"] for event in house.told(EventType.EXPIRING)] == [1, 3]


# Answers that cannot be had again


def a_sealed_answer(number: int, expires_at: datetime) -> SealedAnswer:
    digest = number.to_bytes(32, "big")
    return SealedAnswer(request_digest=digest, fingerprint=digest, sealed=b"", created_at=NOW, expires_at=expires_at)


async def test_purge(house: DutifulHouse) -> None:
    """Answers that have expired go, all of them; others stay."""
    for number in range(2 * MOST_AT_ONCE + 1):
        house.store.sealed_answers[ALICE.organization.id, number.to_bytes(32, "big")] = a_sealed_answer(number, NOW)
    house.store.sealed_answers[ALICE.organization.id, b"later"] = a_sealed_answer(0, NOW + SECOND)
    await house.tasks.purge()
    assert list(house.store.sealed_answers) == [(ALICE.organization.id, b"later")]


# In the background


class AwayStore(FakeStore):
    """A store that can be in trouble, and keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Exception | None = None
        self.asked: list[str] = []

    def _must_answer(self, what: str) -> None:
        self.asked.append(what)
        if self.trouble is not None:
            raise self.trouble

    async def idle_secrets(self, at: datetime, *, lag_seconds: float, limit: int) -> Sequence[Due]:
        self._must_answer("idle_secrets")
        return await super().idle_secrets(at, lag_seconds=lag_seconds, limit=limit)

    async def expiring(self, at: datetime, *, within_days: int, limit: int) -> Sequence[Due]:
        self._must_answer("expiring")
        return await super().expiring(at, within_days=within_days, limit=limit)

    async def purge(self, at: datetime, *, limit: int) -> int:
        self._must_answer("purge")
        return await super().purge(at, limit=limit)


async def test_it_is_done_in_the_background() -> None:
    """A process that runs does all of it, until it is closed."""
    store = AwayStore()
    house = DutifulHouse(store)
    await house.create(expires_at=NOW + DAY)
    house.tasks.start()
    await until(lambda: {"idle_secrets", "expiring", "purge"} <= set(store.asked))
    await until(lambda: len(house.told(EventType.EXPIRING)) == 1)
    await house.tasks.close()


@pytest.mark.parametrize("trouble", [StorageUnavailable("away"), ValueError("refused")], ids=repr)
async def test_trouble_ends_nothing(trouble: Exception) -> None:
    """A database that is away or refuses something is asked again, and nothing of it stops the service."""
    store = AwayStore()
    store.trouble = trouble
    house = DutifulHouse(store)
    house.tasks.start()
    await until(lambda: {"idle_secrets", "expiring", "purge"} <= set(store.asked))
    assert not any(task.done() for task in house.tasks._running)
    await house.tasks.close()
    assert all(task.cancelled() for task in house.tasks._running)


async def test_ending_before_the_beginning(house: DutifulHouse) -> None:
    """A process that never began can end."""
    await house.tasks.close()
