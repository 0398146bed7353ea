"""Retention: what goes when, and what is never removed."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from keywright.service.background_tasks import KeyTasks
from keywright.service.management.audit import FindingKind, Head, audit
from keywright.service.management.audit_log import EventType
from keywright.service.management.audit_ports import Checkpoint
from keywright.service.management.erasure import EVENTS_IN_AN_ERASURE, NotErasable, erase_subject
from keywright.service.management.retention import (
    EVENTS_IN_A_STEP,
    PREVIEWS_KEPT,
    REPORTERS_KEPT,
    ROWS_IN_A_STEP,
    VERDICTS_KEPT,
    Retention,
    prune,
)
from keywright.service.management.task_ports import Removable
from tests.service.fake_store import FakeStore
from tests.service.managing import ALICE, BOB, DAY, NOW, an_event
from tests.service.test_key_tasks import TaskScenario

ORG = ALICE.organization.id
BEFORE = NOW - 400 * DAY
OLD = BEFORE - DAY


def log_of(*times: datetime, store: FakeStore | None = None) -> FakeStore:
    """A store with an event of each of these times, numbered on."""
    store = store or FakeStore()
    for at in times:
        store._note(replace(an_event(EventType.CREATED, len(store.trail) + 1), occurred_at=at))
    return store


def positions(store: FakeStore) -> list[int]:
    return [place.position for place in store.chains[ORG]]


async def test_the_oldest_go_first() -> None:
    """Events go in the order of their positions, up to the first that is young; the rest of the chain is proven."""
    store = log_of(OLD, OLD, BEFORE, OLD)
    assert [await prune(store, ORG, BEFORE) for _ in range(2)] == [2, 0]
    assert positions(store) == [3, 4]
    report = await audit(store, ORG)
    assert (report.findings, report.checkpoint) == ([], store.checkpoints[ORG])


async def test_a_step_is_bounded() -> None:
    """One step removes a bounded number of events, and the next goes on after it."""
    store = log_of(*[OLD] * (EVENTS_IN_A_STEP + 1))
    assert [await prune(store, ORG, BEFORE) for _ in range(3)] == [EVENTS_IN_A_STEP, 1, 0]
    assert (await audit(store, ORG)).findings == []


@pytest.mark.parametrize("position", [1, 2, 3])
async def test_what_does_not_verify_stays(position: int) -> None:
    """An altered event and all after it stay, so that the audit goes on finding it."""
    store = log_of(OLD, OLD, OLD)
    place = store.chains[ORG][position - 1]
    assert place.event is not None
    store.chains[ORG][position - 1] = replace(place, event=replace(place.event, subject="auth0|eve"))
    await prune(store, ORG, BEFORE)
    assert await prune(store, ORG, BEFORE) == 0
    assert positions(store) == list(range(position, 4))
    assert [finding.kind for finding in (await audit(store, ORG)).findings] == [FindingKind.EVENT_ALTERED]


async def test_what_cannot_be_read_stays() -> None:
    """An event that cannot be read, of a newer version perhaps, has no time: it stays."""
    store = log_of(OLD)
    store.chains[ORG][0] = replace(store.chains[ORG][0], event=None)
    assert await prune(store, ORG, BEFORE) == 0


async def test_events_without_a_digest_go_before_the_event_that_counts_them() -> None:
    """As long as one of them is left, the event that counts them stays; a wrong number of them is found."""
    store = log_of(OLD)
    sealing = replace(an_event(EventType.SEALED, 2), occurred_at=OLD, data={"events": EVENTS_IN_A_STEP + 1})
    store._note(sealing)
    store.undigested = [an_event(EventType.CREATED, 1000 + number) for number in range(EVENTS_IN_A_STEP + 1)]
    store.undigested = [replace(event, occurred_at=OLD) for event in store.undigested]
    store.undigested.append(replace(store.undigested[0], org_id=BOB.organization.id))
    report = await audit(store, ORG)
    assert (report.findings, report.undigested) == ([], EVENTS_IN_A_STEP + 1)
    assert await prune(store, ORG, BEFORE) == EVENTS_IN_A_STEP + 1
    assert positions(store) == [2]
    assert (await audit(store, ORG)).findings == []
    assert await prune(store, ORG, BEFORE) == 1
    assert await prune(store, ORG, BEFORE) == 1
    assert await prune(store, ORG, BEFORE) == 0
    assert (await audit(store, ORG)).findings == []
    store.undigested.append(an_event(EventType.CREATED, 5000))
    assert [finding.kind for finding in (await audit(store, ORG)).findings] == [FindingKind.EVENTS_UNSEALED]


async def test_only_the_first_seal_counts() -> None:
    """A second event that seals, which is nobody's but an attacker's, makes no event without a digest good."""
    store = log_of(OLD)
    for number, count in ((2, 1), (3, 2)):
        store._note(replace(an_event(EventType.SEALED, number), data={"events": count}))
    store.undigested = [an_event(EventType.CREATED, number) for number in (1000, 1001)]
    assert [finding.kind for finding in (await audit(store, ORG)).findings] == [FindingKind.EVENTS_UNSEALED]


# In the background


def tasks_of(store: FakeStore, retention: Retention) -> KeyTasks:
    return replace(TaskScenario(store).tasks, retention=retention)


async def test_everything_has_its_age() -> None:
    """Each kind of rows goes at its own age; what is kept for ever is not touched."""
    store = FakeStore()
    ages = {"usage": DAY, "sources": 2 * DAY, "receipts": 3 * DAY, "sessions": 4 * DAY}
    assert Retention.of_days(events=0, usage=1, sources=2, receipts=3, sessions=4) == Retention(**ages)
    await tasks_of(store, Retention(**ages)).purge()
    assert dict(store.purged) == {
        Removable.VERDICTS: NOW - VERDICTS_KEPT,
        Removable.PREVIEWS: NOW - PREVIEWS_KEPT,
        Removable.BULK_REVOCATIONS: NOW - 3 * DAY,
        Removable.ANSWERS: NOW,
        Removable.CONSOLE_SESSIONS: NOW,
        Removable.REPORTERS: NOW - REPORTERS_KEPT,
        Removable.USAGE: NOW - DAY,
        Removable.SOURCES: NOW - 2 * DAY,
        Removable.REFUSALS: NOW - DAY,
        Removable.REFUSED_SOURCES: NOW - 2 * DAY,
        Removable.RECEIPTS: NOW - 3 * DAY,
        Removable.SESSIONS: NOW - 4 * DAY,
    }
    store = log_of(OLD)
    await tasks_of(store, Retention()).purge()
    assert set(dict(store.purged)) == {
        Removable.ANSWERS,
        Removable.VERDICTS,
        Removable.CONSOLE_SESSIONS,
        Removable.REPORTERS,
        Removable.PREVIEWS,
    }
    assert positions(store) == [1]


async def test_events_of_all_organizations_go() -> None:
    """Every organization's old events go, also behind one whose events have to stay."""
    store = log_of(*[OLD] * (EVENTS_IN_A_STEP + 1))
    stuck = BOB.organization.id
    for number in (2000, 2001):
        store._note(replace(an_event(EventType.CREATED, number), org_id=stuck, occurred_at=OLD))
    place = store.chains[stuck][0]
    store.chains[stuck][0] = replace(place, hash=b"h" * 32)
    store = log_of(OLD, store=store)
    await tasks_of(store, Retention(events=timedelta(days=400))).purge()
    assert positions(store) == []
    assert len(store.chains[stuck]) == 2


# The audit while events go


class CountingStore(FakeStore):
    """A store that counts how often a step of pruning begins."""

    steps = 0

    async def checkpoint(self, org_id: UUID) -> Checkpoint | None:
        self.steps += 1
        return await super().checkpoint(org_id)


async def test_events_that_have_to_stay_are_verified_once() -> None:
    """However many old events of an organization stay, each round tries it once."""
    store = CountingStore()
    log_of(*[OLD] * (2 * ROWS_IN_A_STEP + 1), store=store)
    store.chains[ORG][0] = replace(store.chains[ORG][0], hash=b"h" * 32)
    await replace(tasks_of(store, Retention(events=timedelta(days=400))), pause_seconds=0.0).purge()
    assert (store.steps, len(positions(store))) == (1, 2 * ROWS_IN_A_STEP + 1)


async def test_what_is_pruned_meanwhile() -> None:
    """An audit during which events go, before it begins or between two pages, has no finding."""

    class Shrinking(FakeStore):
        left = 3

        async def chain_end(self, org_id: UUID) -> tuple[int, bytes]:
            end = await super().chain_end(org_id)
            if self.left:
                self.left -= 1
                await prune(self, org_id, BEFORE)
            return end

    store = Shrinking()
    log_of(*[OLD] * 50, store=store)
    assert (await audit(store, ORG)).findings == []
    assert (await audit(store, ORG)).findings == []


@pytest.mark.parametrize("changes", [{"removed": 1}, {"removed": 3}, {"undigested": 1}])
async def test_a_checkpoint_that_counts_otherwise(changes: dict[str, int]) -> None:
    """A checkpoint counts one event for each of its positions, and those without; another number is found."""
    store = log_of(OLD, OLD, NOW)
    await prune(store, ORG, BEFORE)
    store.checkpoints[ORG] = replace(store.checkpoints[ORG], **changes)
    assert FindingKind.CHECKPOINT_DIFFERS in [finding.kind for finding in (await audit(store, ORG)).findings]


async def test_a_forged_checkpoint() -> None:
    """The rest of a chain does not follow from a hash that was made up."""
    store = log_of(OLD, OLD, NOW)
    await prune(store, ORG, BEFORE)
    store.checkpoints[ORG] = replace(store.checkpoints[ORG], hash=b"h" * 32)
    assert [finding.kind for finding in (await audit(store, ORG)).findings] == [FindingKind.HASH_ALTERED]


async def test_an_earlier_head() -> None:
    """A head of a position that was removed proves nothing, which is a finding; that of the checkpoint is compared."""
    store = log_of(OLD, OLD, NOW)
    heads = [(await audit(log_of(*[OLD, OLD, NOW][:length]), ORG)).head for length in (1, 2, 3)]
    await prune(store, ORG, BEFORE)

    async def found(head: Head) -> list[FindingKind]:
        return [finding.kind for finding in (await audit(store, ORG, remembered=head)).findings]

    assert [await found(head) for head in heads] == [[FindingKind.HEAD_PRUNED], [], []]
    assert await found(heads[1]._replace(hash=bytes(32))) == [FindingKind.HEAD_DIFFERS]


async def test_a_cut_behind_the_checkpoint() -> None:
    """Positions that are missing after the checkpoint are found, and so is an end that was cut off down to it."""
    store = log_of(OLD, NOW, NOW)
    await prune(store, ORG, BEFORE)
    del store.chains[ORG][0]
    kinds = [finding.kind for finding in (await audit(store, ORG)).findings]
    assert kinds == [FindingKind.PLACES_REMOVED, FindingKind.EVENT_LOOSE]


# Erasure


async def erase(store: FakeStore, subject: str = "auth0|alice", *, dry_run: bool = False) -> tuple[int, int]:
    ids = iter(range(10_000, 20_000))
    scenario = TaskScenario(store)
    return await erase_subject(
        store, ORG, subject, clock=scenario.tasks.clock, new_id=lambda: an_id(next(ids)), dry_run=dry_run
    )


def an_id(number: int) -> UUID:
    return an_event(EventType.CREATED, number).id


async def test_a_person_is_erased() -> None:
    """The personal fields of all events of a subject become blank, in bounded steps, and all of them stay proven."""
    store = log_of(*[NOW] * (EVENTS_IN_AN_ERASURE + 1))
    subject = store.trail[0].subject
    assert await erase(store, subject, dry_run=True) == (EVENTS_IN_AN_ERASURE + 1, 2)
    assert (await audit(store, ORG)).erased == 0
    assert await erase(store, subject) == (EVENTS_IN_AN_ERASURE + 1, 2)
    report = await audit(store, ORG)
    assert (report.findings, report.erased) == ([], EVENTS_IN_AN_ERASURE + 1)
    assert await erase(store, subject) == (0, 0)


async def test_names_in_the_data_are_erased() -> None:
    """Of the data of a change the texts that may name a person become null, and everything else stays."""
    data = {"before": {"name": "Ann", "scopes": []}, "after": {"name": "Bob", "scopes": ["a"]}, "metadata": {"x": 1}}
    event = replace(an_event(EventType.UPDATED, 1), data=data)
    assert event.blanked.data == {
        "before": {"name": None, "scopes": []},
        "after": {"name": None, "scopes": ["a"]},
        "metadata": None,
    }
    assert (event.blanked.subject, event.blanked.client_id, event.blanked.origin.address) == ("", None, None)
    assert event.blanked.origin.request_id == event.origin.request_id


async def test_an_altered_event_is_not_erased() -> None:
    """An erasure vouches for the rest of an event, so an altered one is refused; so are those of the service."""
    store = log_of(NOW)
    place = store.chains[ORG][0]
    assert place.event is not None
    store.chains[ORG][0] = replace(place, digest=bytes(32))
    with pytest.raises(NotErasable, match="position 1"):
        await erase(store, place.event.subject)
    for subject in ("", "keywright"):
        with pytest.raises(NotErasable):
            await erase(store, subject)


async def test_an_erasure_that_was_overtaken() -> None:
    """Where another erasure, or retention, was there first, the operator is told to run it again."""
    store = log_of(NOW)
    store.overtaken = True
    with pytest.raises(NotErasable, match="run it again"):
        await erase(store, store.trail[0].subject)


async def test_what_is_left_is_proven() -> None:
    """An event that says it was erased, and by nothing that names it so, was altered."""
    whole = log_of(NOW, NOW)
    subject = whole.trail[0].subject
    await erase(whole, subject)
    first, second, erasure = whole.chains[ORG]
    assert first.event is not None
    assert erasure.event is not None
    forged = (
        replace(first, event=replace(first.event, type=EventType.DELETED)),
        replace(first, erased_by=first.event.id),
        replace(first, erased_by=an_id(77)),
    )
    for place in forged:
        whole.chains[ORG] = [place, second, erasure]
        assert [finding.position for finding in (await audit(whole, ORG)).findings] == [1]
    # The erasure itself was altered, or is another event.
    for changes in ({"data": {"events": {}}}, {"type": EventType.UPDATED}):
        whole.chains[ORG] = [first, second, replace(erasure, event=replace(erasure.event, **changes))]
        assert [finding.position for finding in (await audit(whole, ORG)).findings] == [1, 2, 3]
    whole.chains[ORG] = [first, second, replace(erasure, event=None)]
    assert [finding.position for finding in (await audit(whole, ORG)).findings][:3] == [1, 2, 3]
