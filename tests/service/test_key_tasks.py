"""The background tasks for the keys of all organizations."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from keywright.service.background_tasks import LAG_SECONDS, KeyTasks
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import EventType, Origin
from keywright.service.management.ports import SealedAnswer
from keywright.service.management.retention import ROWS_IN_A_STEP
from keywright.service.management.task_ports import Due, Removable
from tests.service.fake_store import FakeStore
from tests.service.managing import ALICE, DAY, NOW, ORIGIN, SECOND, Scenario
from tests.service.test_change_follower import until

QUIET = timedelta(seconds=3600)


class TaskScenario(Scenario):
    """A scenario whose keys are looked after, by one process or by more."""

    def __init__(self, store: FakeStore | None = None) -> None:
        super().__init__(store)
        self.tasks = self.another()

    def another(self) -> KeyTasks:
        return KeyTasks(
            store=self.store, clock=lambda: self.now, new_id=lambda: UUID(int=next(self._numbers)), pause_seconds=0.0
        )

    def event_data(self, type_: EventType) -> list[dict[str, Any]]:
        return [dict(event.data) for event in self.store.trail if event.type is type_]

    def use(self, key_id: UUID, **uses: dict[str, datetime]) -> None:
        """Have pairs of a key been used: times by the field of the pair."""
        key = self.store.keys[key_id]
        for name, times in uses.items():
            key = replace(key, **{name: replace(getattr(key, name), **times)})
        self.store.keys[key_id] = key


@pytest.fixture
def scenario() -> TaskScenario:
    return TaskScenario()


# Secrets that nobody uses any more


async def rotated(scenario: TaskScenario, idle_seconds: int | None = 3600) -> UUID:
    key_id = (await scenario.create()).api_key.id
    await scenario.rotate(key_id, idle_seconds=idle_seconds, overlap_seconds=30 * 86_400)
    return key_id


async def test_a_quiet_secret_retires(scenario: TaskScenario) -> None:
    """A replaced secret ends when it was idle for the given time after the first use of the new one."""
    key_id = await rotated(scenario)
    scenario.use(key_id, secret={"first_used_at": NOW}, retiring={"last_used_at": NOW + SECOND})
    old = scenario.store.keys[key_id].retiring
    assert old is not None
    scenario.now = NOW + SECOND + QUIET + timedelta(seconds=LAG_SECONDS)
    await scenario.tasks.retire_idle()
    assert scenario.store.keys[key_id].retiring_at(scenario.now) is not None
    scenario.now += SECOND
    await scenario.tasks.retire_idle()
    assert scenario.store.keys[key_id].retiring_at(scenario.now) is None
    assert scenario.event_data(EventType.SECRET_RETIRED) == [{"public_key": old.public_key.text}]
    event = scenario.store.trail[-1]
    assert (event.issuer, event.subject, event.client_id) == ("keywright", "keywright", None)
    assert (event.org_id, event.key_id, event.occurred_at) == (ALICE.organization.id, key_id, scenario.now)
    assert event.origin == Origin(request_id=str(event.id), address=None)


async def test_a_secret_in_use_stays(scenario: TaskScenario) -> None:
    """As long as the new secret was never used, or the old one is, both work, until the end that was fixed."""
    unused, used = await rotated(scenario), await rotated(scenario)
    scenario.now = NOW + 10 * DAY
    scenario.use(used, secret={"first_used_at": NOW}, retiring={"last_used_at": scenario.now})
    await scenario.tasks.retire_idle()
    assert all(scenario.store.keys[key_id].retiring_at(scenario.now) for key_id in (unused, used))


async def test_a_secret_that_does_not_wait_for_quiet_stays(scenario: TaskScenario) -> None:
    """Without an idle time an idle secret does not end."""
    key_id = await rotated(scenario, idle_seconds=None)
    scenario.use(key_id, secret={"first_used_at": NOW})
    scenario.now = NOW + 10 * DAY
    await scenario.tasks.retire_idle()
    assert scenario.event_data(EventType.SECRET_RETIRED) == []


async def test_a_change_in_between_delays(scenario: TaskScenario) -> None:
    """A key that another request changes at that moment is left to the next round."""
    key_id = await rotated(scenario)
    scenario.use(key_id, secret={"first_used_at": NOW})
    scenario.now = NOW + 10 * DAY

    def interfere() -> None:
        key = scenario.store.keys[key_id]
        scenario.store.keys[key_id] = replace(key, version=key.version + 1)

    scenario.once_meanwhile(interfere)
    await scenario.tasks.retire_idle()
    assert scenario.event_data(EventType.SECRET_RETIRED) == []
    await scenario.tasks.retire_idle()
    assert len(scenario.event_data(EventType.SECRET_RETIRED)) == 1


# Notice of an expiry


async def test_notice_is_given_three_times(scenario: TaskScenario) -> None:
    """A key has one notice 14, 3 and 1 days before its expiry, however often the processes look."""
    await scenario.create(expires_at=NOW + 20 * DAY)
    others = scenario.another()
    heard: list[tuple[int, int]] = []
    for hours in range(0, 21 * 24, 6):
        scenario.now = NOW + timedelta(hours=hours)
        for tasks in (scenario.tasks, others, scenario.tasks):
            await tasks.give_notice()
        heard += [(event["days"], hours) for event in scenario.event_data(EventType.EXPIRING)[len(heard) :]]
    assert heard == [(14, 6 * 24), (3, 17 * 24), (1, 19 * 24)]
    assert {event["expires_at"] for event in scenario.event_data(EventType.EXPIRING)} == {"2026-12-13T12:00:00.000001Z"}


@pytest.mark.parametrize(("left", "days"), [(14 * DAY, 14), (4 * DAY, 14), (3 * DAY, 3), (DAY, 1), (SECOND, 1)])
async def test_the_notice_that_applies(scenario: TaskScenario, left: timedelta, days: int) -> None:
    """A key that is created shortly before its expiry has one notice, with the fewest days that apply."""
    await scenario.create(expires_at=NOW + left)
    await scenario.tasks.give_notice()
    await scenario.tasks.give_notice()
    assert [event["days"] for event in scenario.event_data(EventType.EXPIRING)] == [days]


async def test_no_notice(scenario: TaskScenario) -> None:
    """Keys that do not expire, expire later, have expired or were revoked have no notice."""
    await scenario.create()
    await scenario.create(expires_at=NOW + 15 * DAY)
    await scenario.create(expires_at=NOW + SECOND)
    revoked = (await scenario.create(expires_at=NOW + 2 * SECOND)).api_key
    await scenario.management.revoke(ALICE, ORIGIN, revoked.id)
    scenario.now += SECOND
    await scenario.tasks.give_notice()
    assert scenario.event_data(EventType.EXPIRING) == []


async def test_another_expiry_has_notices_of_its_own(scenario: TaskScenario) -> None:
    """A key whose expiry is moved has new notices before the new expiry."""
    key = (await scenario.create(expires_at=NOW + DAY)).api_key
    await scenario.tasks.give_notice()
    await scenario.management.update(ALICE, ORIGIN, key.id, {"expires_at": NOW + 3 * DAY})
    await scenario.tasks.give_notice()
    assert [event["days"] for event in scenario.event_data(EventType.EXPIRING)] == [1, 3]


# Answers that cannot be had again


def a_sealed_answer(number: int, expires_at: datetime) -> SealedAnswer:
    digest = number.to_bytes(32, "big")
    return SealedAnswer(request_digest=digest, fingerprint=digest, sealed=b"", created_at=NOW, expires_at=expires_at)


async def test_purge(scenario: TaskScenario) -> None:
    """Answers that have expired go, all of them; others stay."""
    for number in range(2 * ROWS_IN_A_STEP + 1):
        scenario.store.sealed_answers[ALICE.organization.id, number.to_bytes(32, "big")] = a_sealed_answer(number, NOW)
    scenario.store.sealed_answers[ALICE.organization.id, b"later"] = a_sealed_answer(0, NOW + SECOND)
    await scenario.tasks.purge()
    assert list(scenario.store.sealed_answers) == [(ALICE.organization.id, b"later")]


# In the background


class AwayStore(FakeStore):
    """A store that can fail, and records its calls."""

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

    async def purge(self, kind: Removable, until: datetime, *, limit: int) -> int:
        self._must_answer("purge")
        return await super().purge(kind, until, limit=limit)


async def test_it_is_done_in_the_background() -> None:
    """A process that runs does all of it, until it is closed."""
    store = AwayStore()
    scenario = TaskScenario(store)
    await scenario.create(expires_at=NOW + DAY)
    scenario.tasks.start()
    await until(lambda: {"idle_secrets", "expiring", "purge"} <= set(store.asked))
    await until(lambda: len(scenario.event_data(EventType.EXPIRING)) == 1)
    await scenario.tasks.close()


@pytest.mark.parametrize("trouble", [StorageUnavailable("away"), ValueError("refused")], ids=repr)
async def test_trouble_ends_nothing(trouble: Exception) -> None:
    """A task retries after an unavailable database or refused data, and the service goes on."""
    store = AwayStore()
    store.trouble = trouble
    scenario = TaskScenario(store)
    scenario.tasks.start()
    await until(lambda: {"idle_secrets", "expiring", "purge"} <= set(store.asked))
    assert not any(task.done() for task in scenario.tasks._running)
    await scenario.tasks.close()
    assert all(task.cancelled() for task in scenario.tasks._running)


async def test_ending_before_the_beginning(scenario: TaskScenario) -> None:
    """A process that never began can end."""
    await scenario.tasks.close()
