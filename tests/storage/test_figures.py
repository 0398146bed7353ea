"""The promises of `service.figures.ports`, on every store."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from keywright.keys.record import RevocationReason
from keywright.keys.verdict import Code
from keywright.service.checking.ports import UsageBatch
from keywright.service.figures.ports import Delays, KeyHour, UnfinishedCount, VerdictCount
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import NewApiKey
from keywright.service.management.task_ports import Removable
from keywright.storage.engine import RunningStore
from keywright.storage.shared import figures_statements
from tests.storage.checking_making import (
    a_batch,
    a_session,
    a_verifier,
    an_hourly_usage,
    confirmed_at,
    literal,
    was,
    written_at,
)
from tests.storage.making import Database, a_rotation, an_event, an_organization, new_id, new_key

READER = UUID(int=1)
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
TEN = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def verdicts(minute: datetime, **codes: int) -> list[VerdictCount]:
    return [VerdictCount(minute, code, number) for code, number in codes.items()]


async def by_minute(store: RunningStore, since: datetime = TEN) -> dict[tuple[datetime, str], int]:
    return {(start, code): number for start, code, number in await store.verdict_minutes(READER, since=since)}


async def by_hour(store: RunningStore, since: datetime = TEN) -> dict[tuple[datetime, str], int]:
    """Give hours; minutes that were not rolled up count in theirs."""
    found: dict[tuple[datetime, str], int] = {}
    for start, code, number in await store.verdict_hours(READER, since=since):
        hour = start.replace(minute=0)
        found[hour, code] = found.get((hour, code), 0) + number
    return found


# verdicts


async def test_verdicts_add_up(store: RunningStore) -> None:
    """The verdicts of two processes in one minute are added up by code, those of another minute beside them."""
    await store.add_verdicts(verdicts(TEN, valid=3, revoked=1), a_batch())
    await store.add_verdicts([*verdicts(TEN, valid=4), *verdicts(TEN + MINUTE, expired=2)], a_batch())
    assert await by_minute(store) == {(TEN, "valid"): 7, (TEN, "revoked"): 1, (TEN + MINUTE, "expired"): 2}
    assert await by_minute(store, TEN + MINUTE) == {(TEN + MINUTE, "expired"): 2}


async def test_a_batch_counts_once(store: RunningStore) -> None:
    """A batch that is repeated, and one with a lower number, adds nothing; the next number does."""
    reporter = uuid4()
    for number in (1, 1, 2, 1, 2):
        await store.add_verdicts(verdicts(TEN, valid=1), UsageBatch(reporter, number))
    assert await by_minute(store) == {(TEN, "valid"): 2}


async def test_a_batch_at_once(store: RunningStore) -> None:
    """A batch that is repeated while its first transaction runs counts once."""
    batch = a_batch()
    await asyncio.gather(*(store.add_verdicts(verdicts(TEN, valid=1), batch) for _ in range(5)))
    assert await by_minute(store) == {(TEN, "valid"): 1}


async def test_nothing_to_write(store: RunningStore, database: Database) -> None:
    """Without verdicts nothing is written, the number of the batch neither."""
    await store.add_verdicts([], a_batch())
    assert database.table("usage_reporters") == []


async def test_roll_up(store: RunningStore, database: Database) -> None:
    """Minutes that are over move to their hours, in steps, and a late one is added; the rest stay minutes."""
    for minutes in (0, 59, 60, 125):
        await store.add_verdicts(verdicts(TEN + minutes * MINUTE, valid=1, revoked=2), a_batch())
    assert await store.roll_up_verdicts(TEN + 2 * HOUR, limit=5) == 5
    assert await store.roll_up_verdicts(TEN + 2 * HOUR, limit=5) == 1
    assert await store.roll_up_verdicts(TEN + 2 * HOUR, limit=5) == 0
    assert len(database.table("verdict_minutes")) == 2
    await store.add_verdicts(verdicts(TEN + 30 * MINUTE, valid=10), a_batch())
    await store.roll_up_verdicts(TEN + 2 * HOUR, limit=5)
    assert await by_hour(store) == {
        (TEN, "valid"): 12,
        (TEN, "revoked"): 4,
        (TEN + HOUR, "valid"): 1,
        (TEN + HOUR, "revoked"): 2,
        (TEN + 2 * HOUR, "valid"): 1,
        (TEN + 2 * HOUR, "revoked"): 2,
    }
    assert await by_hour(store, TEN + 2 * HOUR) == {(TEN + 2 * HOUR, "valid"): 1, (TEN + 2 * HOUR, "revoked"): 2}


async def test_rolled_up_at_once(store: RunningStore) -> None:
    """Processes that roll up at the same time lose no verdict, and count none twice."""
    for minute in range(40):
        await store.add_verdicts(verdicts(TEN + minute * MINUTE, valid=1), a_batch())
    await asyncio.gather(*(store.roll_up_verdicts(TEN + HOUR, limit=7) for _ in range(8)))
    assert await by_hour(store) == {(TEN, "valid"): 40}


async def test_old_hours_go(store: RunningStore) -> None:
    """A purge removes the verdicts of old hours and leaves the others."""
    for hours in range(3):
        await store.add_verdicts(verdicts(TEN + hours * HOUR, valid=1), a_batch())
    await store.roll_up_verdicts(TEN + DAY, limit=500)
    assert await store.purge(Removable.VERDICTS, TEN + HOUR, limit=500) == 2
    assert await by_hour(store) == {(TEN + 2 * HOUR, "valid"): 1}


async def test_a_code_that_cannot_be_stored(store: RunningStore) -> None:
    """A code with a character that a database cannot store is refused, and nothing is written."""
    with pytest.raises(ValueError, match="character"):
        await store.add_verdicts(verdicts(TEN, **{"val\0id": 1}), a_batch())
    assert await by_minute(store) == {}


# top


async def used(store: RunningStore, made: NewApiKey, *counts: tuple[datetime, int]) -> None:
    uses = [an_hourly_usage(made, hour=hour, count=count) for hour, count in counts]
    await store.add_usage(uses, a_batch())


async def all_hours(store: RunningStore, since: datetime, limit: int) -> list[KeyHour]:
    """Read counts in slices."""
    found: list[KeyHour] = []
    while True:
        slice_ = await store.key_hours(READER, since=since, below=found[-1] if found else None, limit=limit)
        found += slice_
        if len(slice_) < limit:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_key_hours(store: RunningStore, limit: int) -> None:
    """The uses and refusals of a key in an hour are one count, whole in one slice of any size; the newest are first."""
    organization = an_organization()
    made = [new_key(organization), new_key(organization), new_key(an_organization())]
    for each in made:
        await store.create(each)
    first, second, third = made
    await used(store, first, (TEN - HOUR, 100), (TEN, 2), (TEN + HOUR, 1))
    await used(store, third, (TEN, 6))
    for each, code, count in ((second, Code.REVOKED, 4), (second, Code.EXPIRED, 3), (third, Code.REVOKED, 1)):
        await store.add_usage([an_hourly_usage(each, hour=TEN, count=count, code=code)], a_batch())
    expected = [
        KeyHour(TEN + HOUR, first.api_key.id, organization.id, 1, 0),
        KeyHour(TEN, first.api_key.id, organization.id, 2, 0),
        KeyHour(TEN, second.api_key.id, organization.id, 0, 7),
        KeyHour(TEN, third.api_key.id, third.organization.id, 6, 1),
    ]
    assert await all_hours(store, TEN, limit) == sorted(expected, reverse=True)
    assert len(await all_hours(store, TEN - HOUR, limit)) == 5


async def test_names(store: RunningStore) -> None:
    """Keys and organizations are named, also those of other organizations; without any nothing is asked."""
    first, second = (new_key(an_organization(), name=name) for name in ("first", "second"))
    for each in (first, second):
        await store.create(each)
    ids = [first.api_key.id, second.api_key.id]
    assert await store.key_names(READER, ids) == dict(zip(ids, ("first", "second"), strict=True))
    owners = {each.organization.id: each.organization.external_id for each in (first, second)}
    assert await store.organization_names(READER, set(owners)) == owners
    assert await store.key_names(READER, set()) == await store.organization_names(READER, set()) == {}


# delays


async def revoked(store: RunningStore, database: Database, made: NewApiKey | None = None) -> int:
    """Revoke a key, a new one unless it is given; give the number of the change."""
    if made is None:
        made = new_key(an_organization())
        await store.create(made)
    await store.revoke(an_event(EventType.REVOKED, made.api_key), RevocationReason.UNSPECIFIED)
    (found,) = database.query("SELECT max(seq) AS seq FROM changes")
    return int(found["seq"])


async def connected(store: RunningStore, **changes: Any) -> UUID:
    session = a_session(**changes)
    await store.renew_session(session)
    return session.id


async def delays_of(store: RunningStore, *, changes: int = 100, acknowledgements: int = 100) -> Delays:
    return await store.revocation_delays(READER, hours=2, changes=changes, acknowledgements=acknowledgements)


async def test_delays(store: RunningStore, database: Database) -> None:
    """The delay of each acknowledgement of a revocation counts, in milliseconds, rounded up; other changes do not."""
    sessions = [await connected(store) for _ in range(3)]
    made = new_key(an_organization())
    await store.create(made)
    await store.rotate(a_rotation(made.api_key))
    (other,) = database.query("SELECT max(seq) AS seq FROM changes")
    seq = await revoked(store, database)
    at = datetime.now(UTC) - HOUR
    written_at(at, database)
    for session, milliseconds in zip(sessions, (7.0, 7.0, 40.2), strict=True):
        await store.confirm(session, [seq, int(other["seq"])])
        confirmed_at(session, at + timedelta(milliseconds=milliseconds), database)
    delays = await delays_of(store)
    assert (delays.revocations, delays.acknowledgements) == (1, {7: 2, 41: 1})
    assert delays.until - delays.since == 2 * HOUR


async def test_an_acknowledgement_before_the_change(store: RunningStore, database: Database) -> None:
    """An acknowledgement that looks earlier than its change, as after a step of the clock, has no delay below 0."""
    session, seq = await connected(store), await revoked(store, database)
    await store.confirm(session, [seq])
    confirmed_at(session, datetime.now(UTC) - HOUR, database)
    assert (await delays_of(store)).acknowledgements == {0: 1}


async def test_old_delays(store: RunningStore, database: Database) -> None:
    """Revocations before the report do not count."""
    session, seq = await connected(store), await revoked(store, database)
    await store.confirm(session, [seq])
    written_at(datetime.now(UTC) - 3 * HOUR, database)
    delays = await delays_of(store)
    assert (delays.revocations, delays.acknowledgements) == (0, {})


async def test_a_part_of_the_delays(store: RunningStore, database: Database) -> None:
    """
    What is read is bounded: revocations whose acknowledgements may not all have been read do not count, and the report
    begins after them.
    """
    sessions = [await connected(store) for _ in range(2)]
    times = [datetime.now(UTC).replace(microsecond=0) - number * MINUTE for number in (3, 2, 1)]
    for at in times:
        seq = await revoked(store, database)
        database.query(f"UPDATE changes SET noted_at = {literal(database, at)} WHERE seq = {seq}")
        for session in sessions:
            await store.confirm(session, [seq])
    for bound, revocations, since in ((7, 3, None), (6, 2, times[0]), (5, 2, times[0]), (4, 1, times[1])):
        found = await delays_of(store, acknowledgements=bound)
        assert (found.revocations, sum(found.acknowledgements.values())) == (revocations, 2 * revocations)
        assert found.since == (found.until - 2 * HOUR if since is None else since)
    found = await delays_of(store, changes=1)
    assert (found.revocations, found.since) == (1, times[2])


# sessions


async def test_connected_sessions(store: RunningStore, database: Database) -> None:
    """Sessions that use their caches are given, the latest first, with the name of their verifier and their version."""
    verifier, digest = a_verifier()
    await store.add_verifier(verifier, digest)
    ours = await connected(store, name="node:1", version="0.1.0")
    theirs = await connected(store, name="api:7", verifier_id=verifier.id)
    closed = await connected(store)
    await store.close_session(closed, None)
    gone = a_session()
    await store.renew_session(gone)
    long_ago = datetime.now(UTC) - 2 * MINUTE
    was(gone, database, connected_at=long_ago, seen_at=long_ago)
    found = await store.connected_sessions(READER)
    assert [each.session.id for each in found.sessions] == [theirs, ours]
    first, second = found.sessions
    assert (first.verifier, first.session.verifier_id, first.session.version) == ("billing-api", verifier.id, None)
    assert (second.verifier, second.session.name, second.session.version) == (None, "node:1", "0.1.0")
    assert first.connected_at <= first.seen_at <= found.at


async def test_no_session(store: RunningStore) -> None:
    """Without a session there is the time alone."""
    assert (await store.connected_sessions(READER)).sessions == []


async def test_what_a_session_has_not_acknowledged(store: RunningStore, database: Database) -> None:
    """The changes since a session began that it has not acknowledged are counted, with the time of the first."""
    before = await connected(store)
    seqs = [await revoked(store, database) for _ in range(3)]
    after = await connected(store)
    await store.confirm(before, seqs[:1])
    found = {each.session.id: each for each in (await store.connected_sessions(READER)).sessions}
    assert (found[after].unacknowledged, found[after].waits_since) == (0, None)
    assert found[before].unacknowledged == 2
    written = {row["seq"]: row["noted_at"] for row in database.table("changes")}
    assert found[before].waits_since == _time(written[seqs[1]])
    await store.confirm(before, seqs[1:])
    found = {each.session.id: each for each in (await store.connected_sessions(READER)).sessions}
    assert (found[before].unacknowledged, found[before].waits_since) == (0, None)


def _time(stored: Any) -> datetime:
    return stored if isinstance(stored, datetime) else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=stored)


# numbers of keys


async def counted(store: RunningStore, *, limit: int) -> Mapping[str, int]:
    """Count all keys in slices, and give the numbers that are stored in the end."""
    worker = new_id()
    count = await store.claim_key_count(worker)
    assert count is not None
    while True:
        counted = await store.count_keys(count, limit=limit)
        numbers = {
            name: count.numbers.get(name, 0) + counted.numbers.get(name, 0)
            for name in {*count.numbers, *counted.numbers}
        }
        assert await store.keep_key_count(worker, count, numbers, counted.last)
        if counted.last is None:
            break
        count = UnfinishedCount(count.begun_at, counted.last, numbers)
    found = await store.key_count(READER)
    assert found is not None
    assert found.counted_at == count.begun_at
    return found.numbers


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_numbers_of_keys(store: RunningStore, limit: int) -> None:
    """Keys count by status, age since their last use, and day of expiry, in slices of any size; deleted ones do not."""
    now = datetime.now(UTC)
    ages = {"day": 0.5, "week": 3, "month": 20, "quarter": 60, "year": 200, "longer": 500}
    organization = an_organization()
    made = [new_key(organization) for _ in (*ages, "never")]
    ends = new_key(organization, expires_at=now + 2 * DAY)
    others = [
        new_key(organization, disabled_at=now),
        new_key(organization, expires_at=now - DAY),
        *(new_key(organization) for _ in range(3)),
    ]
    for each in (*made, ends, *others):
        await store.create(each)
    disabled = others[0].api_key
    await store.update(disabled, an_event(EventType.UPDATED, disabled))
    for each in others[2:4]:
        await store.revoke(an_event(EventType.REVOKED, each.api_key), RevocationReason.UNSPECIFIED)
    await store.delete(an_event(EventType.DELETED, others[4].api_key))
    for each, days in zip(made, ages.values(), strict=False):
        at = now - days * DAY
        await store.add_usage([an_hourly_usage(each, first_seen=at, last_seen=at)], a_batch())
    assert await counted(store, limit=limit) == {
        "state.active": 8,
        "state.disabled": 1,
        "state.expired": 1,
        "state.revoked": 2,
        **{f"age.{age}": 1 for age in ages},
        "age.never": 2,
        f"day.{(now + 2 * DAY).date()}": 1,
    }


async def test_the_last_use_of_a_replaced_secret(store: RunningStore) -> None:
    """A use of the replaced secret counts as a use of the key."""
    made = new_key(an_organization())
    await store.create(made)
    now = datetime.now(UTC)
    await store.add_usage([an_hourly_usage(made, first_seen=now, last_seen=now)], a_batch())
    await store.rotate(a_rotation(made.api_key, at=now))
    assert await counted(store, limit=10) == {"state.active": 1, "age.day": 1}


async def test_one_process_counts(store: RunningStore, database: Database) -> None:
    """One process has the claim; another one goes on where it ended, once the claim is over. Then an hour passes."""
    for _ in range(2):
        await store.create(new_key(an_organization()))
    first, second = new_id(), new_id()
    assert await store.key_count(READER) is None
    assert await store.key_count_is_due()
    begun = await store.claim_key_count(first)
    assert begun is not None
    assert not await store.key_count_is_due()
    assert await store.claim_key_count(second) is None
    slice_ = await store.count_keys(begun, limit=1)
    assert await store.keep_key_count(first, begun, slice_.numbers, slice_.last)
    # The same step again is not stored: the position has moved.
    assert not await store.keep_key_count(first, begun, slice_.numbers, slice_.last)
    database.query(f"UPDATE key_counts SET claimed_until = {literal(database, datetime.now(UTC) - MINUTE)}")
    assert await store.key_count_is_due()
    resumed = await store.claim_key_count(second)
    assert resumed == UnfinishedCount(begun.begun_at, slice_.last or READER, slice_.numbers)
    assert not await store.keep_key_count(first, resumed, {}, None)
    assert await store.keep_key_count(second, resumed, {"state.active": 2}, None)
    assert not await store.key_count_is_due()
    assert await store.claim_key_count(first) is None
    found = await store.key_count(READER)
    assert found is not None
    assert (found.counted_at, found.numbers) == (begun.begun_at, {"state.active": 2})
    every = timedelta(seconds=figures_statements.COUNT_EVERY_SECONDS)
    database.query(f"UPDATE key_counts SET counted_at = {literal(database, datetime.now(UTC) - every)}")
    assert await store.key_count_is_due(few=1)


async def test_few_keys_are_counted_every_minute(store: RunningStore, database: Database) -> None:
    """A minute after a count another one is due, where there are few keys, and not where there are more."""
    for _ in range(2):
        await store.create(new_key(an_organization()))
    database.query(f"UPDATE key_counts SET counted_at = {literal(database, datetime.now(UTC) - MINUTE)}")
    assert not await store.key_count_is_due(few=1)
    assert await store.claim_key_count(new_id(), few=1) is None
    assert await store.key_count_is_due(few=2)
    assert await store.claim_key_count(new_id(), few=2) is not None


async def test_claims_at_once(store: RunningStore) -> None:
    """Of processes that claim a count at the same time, one has it."""
    claims = await asyncio.gather(*(store.claim_key_count(new_id()) for _ in range(5)))
    assert sum(claim is not None for claim in claims) == 1
