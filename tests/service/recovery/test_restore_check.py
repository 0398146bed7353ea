"""The check of a restored database: what it lost, and what is done again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from keywright.keys.record import RevocationReason
from keywright.service.management.audit import audit
from keywright.service.management.audit_log import SERVICE, Event, EventType
from keywright.service.management.erasure import EVENTS_IN_AN_ERASURE, NotErasable, erase_subject, key_erasure
from keywright.service.management.ports import NewApiKey
from keywright.service.principal import Organization
from keywright.service.recovery.comparison import Comparison
from keywright.service.recovery.kept_heads import BadFile
from keywright.service.recovery.restore_check import Checked, Effect
from tests.service.recovery.restoring import NOW, Kept, Live, altered, clock
from tests.storage.making import NOON, a_rotation, an_event, an_organization, new_id, new_key

COMPROMISE = RevocationReason.KEY_COMPROMISE
OLD = NOON - timedelta(days=500)


def effects(checked: Checked) -> list[tuple[UUID, Effect]]:
    return [(key.key_id, key.effect) for key in checked.keys]


def numbers(comparison: Comparison) -> tuple[int, int, int]:
    """Give how many events were lost, how many at most, and how many are newer."""
    return comparison.lost, comparison.lost_at_most, comparison.newer


async def revoke(database: Live, *made: NewApiKey, reason: RevocationReason = COMPROMISE) -> None:
    async with database.store() as store:
        for each in made:
            event = an_event(EventType.REVOKED, each.api_key, data={"reason": reason.value})
            await store.revoke(event, reason)


async def delete(database: Live, made: NewApiKey) -> None:
    async with database.store() as store:
        await store.delete(an_event(EventType.DELETED, made.api_key))


async def events_of(database: Live, organization: Organization) -> Sequence[Event]:
    async with database.store() as store:
        links = await store.links(organization.id, after=0, limit=1000)
    return [link.event for link in links if link.event is not None]


async def test_nothing_is_lost(database: Live) -> None:
    """A database that has all that was kept lost nothing, and neither has one that went on since."""
    organization, newer = an_organization(), an_organization()
    made = await database.create(organization, 2)
    kept = await database.keep()
    await database.create(newer)
    await revoke(database, made[0])
    for with_log in (True, False):
        known, found = await database.check(kept, with_log=with_log)
        assert numbers(found[organization.id].comparison) == (0, 0, 1)
        assert found[organization.id].comparison.is_whole
        assert (effects(found[organization.id]), known.newer) == ([], 1)


async def test_without_a_log(database: Live) -> None:
    """By the heads alone an older copy shows how many events are missing at least, and changes nothing."""
    organization, whole = an_organization(), an_organization()
    made = await database.create(organization, 2)
    await database.create(whole)
    copy = database.copy()
    await revoke(database, *made)
    _, found = await copy.check(await database.keep(), with_log=False)
    assert numbers(found[organization.id].comparison) == (2, 4, 0)
    assert found[whole.id].comparison.is_whole
    assert effects(found[organization.id]) == []


async def test_earlier_heads_say_it_exactly(database: Live) -> None:
    """With a head from the time of the copy, or just before, the number is exact."""
    organization = an_organization()
    made = await database.create(organization, 2)
    copy, earlier = database.copy(), await database.keep()
    await revoke(database, *made)
    kept = await database.keep()
    _, found = await copy.check(Kept([*kept.heads, *earlier.heads]), with_log=False)
    assert numbers(found[organization.id].comparison) == (2, 2, 0)


async def test_a_copy_that_went_on(database: Live) -> None:
    """A copy that has other events at the positions of lost ones is no longer whole, however long its chain is."""
    organization = an_organization()
    made = await database.create(organization)
    copy, earlier = database.copy(), await database.keep()
    await revoke(database, *made)
    kept = await database.keep()
    await copy.create(organization, 3)
    _, found = await copy.check(kept, with_log=False)
    assert numbers(found[organization.id].comparison) == (1, 2, 3)
    _, found = await copy.check(Kept([*earlier.heads, *kept.heads]), with_log=False)
    assert numbers(found[organization.id].comparison) == (1, 1, 3)
    _, found = await copy.check(kept)
    assert numbers(found[organization.id].comparison) == (1, 1, 3)
    assert effects(found[organization.id]) == [(made[0].api_key.id, Effect.REVIVED)]


async def test_an_organization_that_is_gone(database: Live) -> None:
    """Of an organization that the copy does not have, all events are lost; its keys are named, but for ended ones."""
    copy, organization = database.copy(), an_organization()
    made = await database.create(organization, 2, name="Billing")
    await revoke(database, made[0])
    _, found = await copy.check(await database.keep(), repeats=True)
    checked = found[organization.id]
    assert numbers(checked.comparison) == (3, 3, 0)
    assert [(key.key_id, key.effect, key.name) for key in checked.keys] == [
        (made[1].api_key.id, Effect.LOST, "Billing"),
    ]


async def test_what_is_done_again(database: Live) -> None:
    """
    Revocations and deletions are done again once, each by an event with the reason and the id of the lost one.

    Without being told to, the check changes nothing.
    """
    organization = an_organization()
    revoked, deleted, both, untouched, before = await database.create(organization, 5)
    await revoke(database, before)
    copy = database.copy()
    await revoke(database, revoked, both)
    for each in (deleted, both, before):
        await delete(database, each)
    kept = await database.keep()
    expected = [
        (revoked.api_key.id, Effect.REVIVED),
        (both.api_key.id, Effect.REVIVED),
        (deleted.api_key.id, Effect.REVIVED),
        (before.api_key.id, Effect.UNDELETED),
    ]
    untouched_log = await events_of(copy, organization)
    _, found = await copy.check(kept)
    assert effects(found[organization.id]) == expected
    assert found[organization.id].left == 4
    assert await events_of(copy, organization) == untouched_log
    _, found = await copy.check(kept, repeats=True)
    assert effects(found[organization.id]) == expected
    assert (found[organization.id].left, {key.was_repeated for key in found[organization.id].keys}) == (0, {True})
    events = (await events_of(copy, organization))[len(untouched_log) :]
    lost = {event.key_id: event for event in await events_of(database, organization) if event.type is EventType.REVOKED}
    (first, *_) = events
    assert (first.type, first.key_id, first.subject, first.occurred_at) == (
        EventType.REVOKED,
        revoked.api_key.id,
        SERVICE,
        NOW,
    )
    assert first.data == {
        "reason": "key_compromise",
        "operator": True,
        "restored_event": str(lost[revoked.api_key.id].id),
    }
    assert [(event.type, event.key_id) for event in events[1:]] == [
        (EventType.REVOKED, both.api_key.id),
        (EventType.DELETED, both.api_key.id),
        (EventType.DELETED, deleted.api_key.id),
        (EventType.DELETED, before.api_key.id),
    ]
    async with copy.store() as store:
        key = await store.get(organization.id, revoked.api_key.id)
        assert key is not None
        assert key.revocation_reason is COMPROMISE
        assert await store.get(organization.id, untouched.api_key.id) == untouched.api_key
        assert (await audit(store, organization.id)).findings == []
    _, found = await copy.check(kept, repeats=True)
    assert (effects(found[organization.id]), found[organization.id].comparison.lost) == ([], 5)
    assert len(await events_of(copy, organization)) == len(untouched_log) + 5


async def test_other_changes(database: Live) -> None:
    """Lost rotations and updates are named by key, with the fields; they are not done again."""
    organization = an_organization()
    rotated, updated, moved, expiring = await database.create(organization, 4)
    async with database.store() as store:
        await store.rotate(a_rotation(moved.api_key))
    copy = database.copy()
    async with database.store() as store:
        await store.rotate(a_rotation(rotated.api_key))
        changed = an_event(EventType.UPDATED, updated.api_key, data={"before": {}, "after": {"scopes": [], "name": ""}})
        await store.update(updated.api_key, changed)
        await store.update(expiring.api_key, an_event(EventType.EXPIRING, expiring.api_key))
        event = an_event(EventType.ROTATION_CHANGED, moved.api_key, occurred_at=NOON)
        await store.set_retirement(event, version=2, retires_at=NOON)
    _, found = await copy.check(await database.keep(), repeats=True)
    assert [(key.key_id, key.effect, key.fields) for key in found[organization.id].keys] == [
        (rotated.api_key.id, Effect.ROTATED, ()),
        (updated.api_key.id, Effect.OUTDATED, ("name", "scopes")),
        (moved.api_key.id, Effect.OUTDATED, ("rotation",)),
    ]
    assert found[organization.id].left == 0


async def test_erasures(database: Live) -> None:
    """The personal fields of events that a lost erasure named are erased again, as many events as there are, once."""
    organization = an_organization()
    await database.create(organization, EVENTS_IN_AN_ERASURE + 2)
    copy = database.copy()
    await database.create(organization)
    async with database.store() as store:
        await erase_subject(store, organization.id, "auth0|bob", clock=clock, new_id=new_id)
    kept = await database.keep()
    _, found = await copy.check(kept)
    assert found[organization.id].unerased == EVENTS_IN_AN_ERASURE + 2
    assert {event.subject for event in await events_of(copy, organization)} == {"auth0|bob"}
    _, found = await copy.check(kept, repeats=True)
    assert found[organization.id].unerased == EVENTS_IN_AN_ERASURE + 2
    assert {event.subject for event in await events_of(copy, organization)} == {"", SERVICE}
    _, found = await copy.check(kept, repeats=True)
    assert found[organization.id].unerased == 0
    async with copy.store() as store:
        report = await audit(store, organization.id)
    assert (report.findings, report.erased) == ([], EVENTS_IN_AN_ERASURE + 2)


async def test_an_altered_event_is_not_erased(database: Live) -> None:
    """An event that was altered in the copy is left to the audit, with a sentence."""
    organization = an_organization()
    await database.create(organization)
    copy = database.copy()
    async with database.store() as store:
        await erase_subject(store, organization.id, "auth0|bob", clock=clock, new_id=new_id)
    copy.query("UPDATE events SET subject = 'auth0|eve'")
    with pytest.raises(NotErasable, match="position 1 was altered"):
        await copy.check(await database.keep(), repeats=True)


async def test_erased_keys(database: Live) -> None:
    """A key whose personal fields were erased is erased again, after it was revoked; a second run finds nothing."""
    organization = an_organization()
    (made,) = await database.create(organization)
    copy = database.copy()
    await revoke(database, made)
    async with database.store() as store:
        assert await store.erase_key(key_erasure(organization.id, made.api_key.id, NOW, new_id()))
    kept = await database.keep()
    expected = [(made.api_key.id, Effect.REVIVED), (made.api_key.id, Effect.UNERASED)]
    for repeats in (False, True):
        _, found = await copy.check(kept, repeats=repeats)
        assert effects(found[organization.id]) == expected
        assert found[organization.id].left == (0 if repeats else 2)
    _, found = await copy.check(kept, repeats=True)
    assert effects(found[organization.id]) == []
    async with copy.store() as store:
        key = await store.get(organization.id, made.api_key.id)
    assert key is not None
    assert (key.name, key.created_by, key.revoked_by, key.description) == ("erased", "", "", None)


# Logs and what is in them


async def test_exports_that_overlap(database: Live) -> None:
    """A log of several exports may repeat its end; each event counts once."""
    organization = an_organization()
    made = await database.create(organization, 3)
    copy = database.copy()
    await revoke(database, made[0])
    first = (await database.keep()).log
    await revoke(database, made[1])
    kept = await database.keep()
    kept.log = [*first, *kept.log[2:]]
    _, found = await copy.check(kept)
    assert numbers(found[organization.id].comparison) == (2, 2, 0)
    assert [key.key_id for key in found[organization.id].keys] == [each.api_key.id for each in made[:2]]


async def test_a_log_that_begins_after_the_copy(database: Live) -> None:
    """A log that begins with the first lost event proves the end of the copy; a gap before it is counted and said."""
    organization = an_organization()
    made = await database.create(organization, 2)
    copy = database.copy()
    await revoke(database, *made)
    kept = await database.keep()
    _, found = await copy.check(Kept(kept.heads, kept.log[2:]))
    assert numbers(found[organization.id].comparison) == (2, 2, 0)
    assert found[organization.id].unlogged == 0
    _, found = await copy.check(Kept(kept.heads, kept.log[3:]))
    comparison = found[organization.id].comparison
    assert (numbers(comparison), found[organization.id].unlogged) == ((2, 4, 0), 1)
    assert effects(found[organization.id]) == [(made[1].api_key.id, Effect.REVIVED)]
    _, found = await copy.check(Kept(kept.heads, kept.log[:1]))
    assert found[organization.id].unlogged == 2


async def test_a_copy_that_differs_before_the_log(database: Live) -> None:
    """Where the first kept event does not follow from the copy's, the events before it were lost, too."""
    organization = an_organization()
    copy = database.copy()
    made = await database.create(organization, 2)
    await copy.create(organization, 2)
    await revoke(database, *made)
    kept = await database.keep()
    _, found = await copy.check(Kept(kept.heads, kept.log[2:]))
    comparison = found[organization.id].comparison
    assert (comparison.lost, comparison.lost_at_most, found[organization.id].unlogged) == (3, 4, 1)


async def test_a_log_without_heads(database: Live) -> None:
    """An organization of which only the log knows is compared by it; a log may reach beyond a head."""
    known, organization = an_organization(), an_organization()
    (made,) = await database.create(known)
    copy, heads = database.copy(), (await database.keep()).heads
    await revoke(database, made)
    await database.create(organization)
    kept = Kept(heads, (await database.keep()).log)
    results, found = await copy.check(kept)
    assert numbers(found[known.id].comparison) == (1, 1, 0)
    assert numbers(found[organization.id].comparison) == (1, 1, 0)
    assert results.newer == 0


async def test_an_empty_log(database: Live) -> None:
    """A log without events names nothing, and says that it has none of the lost ones."""
    organization = an_organization()
    made = await database.create(organization)
    copy = database.copy()
    await revoke(database, *made)
    kept = await database.keep()
    _, found = await copy.check(Kept(kept.heads, [b"\n"]))
    assert (found[organization.id].unlogged, effects(found[organization.id])) == (1, [])


async def test_events_without_content(database: Live) -> None:
    """A kept position whose event was gone is counted as lost, and nothing is concluded from it."""
    organization = an_organization()
    made = await database.create(organization)
    copy = database.copy()
    await revoke(database, *made)
    kept = await database.keep()
    kept.log = [kept.log[0], altered(kept.log[1], event=None, digest=None)]
    _, found = await copy.check(kept)
    assert numbers(found[organization.id].comparison) == (1, 1, 0)
    assert effects(found[organization.id]) == []
    kept.log = kept.log[1:]
    _, found = await copy.check(kept)
    assert numbers(found[organization.id].comparison) == (1, 2, 0)


@pytest.mark.parametrize("order", [[0, 1, 3, 2], [1, 2, 0], [0, 1, 3, 1, 2]], ids=str)
async def test_a_log_that_is_out_of_order(database: Live, order: list[int]) -> None:
    """A line from before those above it is refused with its number, rather than passed over."""
    await database.create(an_organization(), 4)
    kept = await database.keep()
    with pytest.raises(BadFile, match=r"^line \d: .*oldest export first"):
        await database.check(Kept(kept.heads, [kept.log[index] for index in order]))


async def test_histories_that_differ(database: Live) -> None:
    """Lines of two histories in one log, or in heads and log, are refused, and nothing is changed."""
    organization = an_organization()
    made = await database.create(organization, 2)
    copy = database.copy()
    await revoke(database, made[0])
    await revoke(copy, made[1])
    here, there = await database.keep(), await copy.keep()
    before = await events_of(copy, organization)
    with pytest.raises(BadFile, match=r"line 4: .*two histories"):
        await copy.check(Kept([], [*here.log, there.log[2]]), repeats=True)
    with pytest.raises(BadFile, match=r"line 3: .*different histories"):
        await copy.check(Kept(there.heads, here.log), repeats=True)
    with pytest.raises(BadFile, match=r"line 1: .*does not follow"):
        await copy.check(Kept([], [altered(here.log[0], hash="0" * 64)]), repeats=True)
    with pytest.raises(BadFile, match=r"line 3: .*does not follow"):
        await copy.check(Kept([], [*here.log[:2], altered(there.log[2], hash="0" * 64)]), repeats=True)
    assert await events_of(copy, organization) == before


# What files may say


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        (EventType.UPDATED, {"after": 1}),
        (EventType.ERASED, {"events": ["1"]}),
        (EventType.ERASED, {"events": {"one": ""}}),
        (EventType.SEALED, {"events": 7}),
        (EventType.CREATED, {"name": 7}),
        (EventType.REVOKED, {"reason": "boredom"}),
        (EventType.REVOKED, {"reason": []}),
    ],
)
async def test_strange_data(database: Live, type_: EventType, data: Any) -> None:
    """Data of another shape than the service writes is passed over; an unknown reason becomes `unspecified`."""
    organization = an_organization()
    (made,) = await database.create(organization)
    copy = database.copy()
    key = made.api_key.id if type_ is EventType.REVOKED else new_id()
    other = new_key(organization)
    async with database.store() as store:
        await store.create(replace(other, event=an_event(type_, other.api_key, key_id=key, data=data)))
    _, found = await copy.check(await database.keep(), repeats=True)
    assert numbers(found[organization.id].comparison) == (1, 1, 0)
    for affected in found[organization.id].keys:
        assert affected.name is None
        assert affected.end is None or affected.end.reason is RevocationReason.UNSPECIFIED


# Retention


async def old(database: Live, organization: Organization, count: int) -> None:
    async with database.store() as store:
        for _ in range(count):
            new = new_key(organization)
            await store.create(replace(new, event=replace(new.event, occurred_at=OLD)))


async def prune(database: Live, organization: Organization, position: int) -> None:
    async with database.store() as store:
        (link,) = await store.links(organization.id, after=position - 1, limit=1)
        await store.prune(organization.id, position, link.hash, datetime.now(UTC), limit=1)


async def test_pruned_events(database: Live) -> None:
    """Events that retention removed are not lost: the checkpoint stands for them."""
    organization = an_organization()
    await old(database, organization, 4)
    early = await database.keep()
    made = await database.create(organization)
    copy = database.copy()
    await revoke(database, *made)
    kept = await database.keep()
    await prune(copy, organization, 4)
    for log in (kept.log, kept.log[3:]):
        _, found = await copy.check(Kept([*early.heads, *kept.heads], log))
        assert numbers(found[organization.id].comparison) == (1, 1, 0)
        assert effects(found[organization.id]) == [(made[0].api_key.id, Effect.REVIVED)]
    _, found = await copy.check(early, with_log=False)
    assert found[organization.id].comparison.is_whole


async def test_a_head_that_was_pruned(database: Live) -> None:
    """A head below the checkpoint proves nothing: nothing is known to be lost, and nothing to be whole."""
    organization = an_organization()
    await old(database, organization, 2)
    kept = await database.keep()
    await old(database, organization, 2)
    await prune(database, organization, 3)
    _, found = await database.check(kept, with_log=False)
    comparison = found[organization.id].comparison
    assert (comparison.lost, comparison.is_whole) == (0, False)


async def test_a_chain_that_was_pruned_whole(database: Live) -> None:
    """Where nothing is left but the checkpoint, the chain ends there."""
    organization = an_organization()
    await old(database, organization, 2)
    kept = await database.keep()
    await prune(database, organization, 2)
    _, found = await database.check(kept)
    assert found[organization.id].comparison.is_whole
