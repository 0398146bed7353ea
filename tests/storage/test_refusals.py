"""Refusals of keys, as both stores add them up: apart from uses, and bounded like them."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keywright.keys.verdict import Code
from keywright.service.checking.ports import HourlyUsage
from keywright.service.management.ports import KeyFilter, NewApiKey, RefusedSource, Usage, UsageCount
from keywright.storage.engine import RunningStore
from tests.storage.checking_making import HOUR, TODAY, a_batch, an_hourly_usage
from tests.storage.making import NOON, Database, a_rotation, an_organization, new_id, new_key

MINUTE = timedelta(minutes=1)
REFUSALS = [code for code in Code if code not in (Code.VALID, Code.NOT_FOUND)]


def a_refusal(made: NewApiKey, code: Code = Code.REVOKED, **changes: Any) -> HourlyUsage:
    """Give one refusal of a key a minute after noon."""
    return an_hourly_usage(made, code=code, **changes)


async def created(store: RunningStore) -> NewApiKey:
    """Store a key."""
    made = new_key(an_organization())
    await store.create(made)
    return made


async def usage_of(store: RunningStore, made: NewApiKey, **page: Any) -> Usage:
    """Give the usage of a key."""
    usage = await store.usage(made.api_key.org_id, made.api_key.id, since=HOUR, **page)
    assert usage is not None
    return usage


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal(store: RunningStore, code: Code) -> None:
    """A refusal is counted with its code, by hour, by day and by source, and is no use."""
    made = await created(store)
    seen = HOUR + MINUTE
    await store.add_usage([a_refusal(made, code, count=3, last_seen=seen + MINUTE)], a_batch())
    source = RefusedSource(
        public_key=made.api_key.secret.public_key.text,
        network="192.0.2.0/24",
        agent="python-httpx",
        verifier="billing-api",
        first_seen=seen,
        last_seen=seen + MINUTE,
        count=3,
        code=code.value,
    )
    usage = await usage_of(store, made)
    assert (usage.counts, usage.sources, usage.last_used_at) == ({}, [], None)
    assert (usage.refused, usage.refusals) == ({HOUR: {code: 3}}, [source])
    by_day = await usage_of(store, made, by_day=True)
    assert replace(by_day, refused={}) == replace(usage, refused={})
    counts = await store.daily_counts(made.api_key.org_id, [made.api_key.id], since=TODAY)
    assert counts == {made.api_key.id: {TODAY: UsageCount(0, {code: 3})}}


async def test_refusals_change_no_use(store: RunningStore, database: Database) -> None:
    """Uses and refusals in one batch are told apart; first and last use and the unused filter know uses alone."""
    organization = an_organization()
    made, idle = new_key(organization), new_key(organization)
    await asyncio.gather(store.create(made), store.create(idle))
    later = HOUR + 30 * MINUTE
    await store.add_usage(
        [
            a_refusal(made, Code.RATE_LIMITED, first_seen=HOUR, last_seen=HOUR, count=2),
            an_hourly_usage(made, count=5),
            a_refusal(made, Code.INSUFFICIENT_SCOPE, first_seen=later, last_seen=later, count=4),
            a_refusal(idle, Code.EXPIRED),
        ],
        a_batch(),
    )
    usage = await usage_of(store, made)
    (secret,) = usage.secrets
    assert usage.last_used_at == secret.first_used_at == secret.last_used_at == HOUR + MINUTE
    assert (usage.counts, [source.count for source in usage.sources]) == ({HOUR: 5}, [5])
    assert usage.refused == {HOUR: {"rate_limited": 2, "insufficient_scope": 4}}
    assert [(source.code, source.count) for source in usage.refusals] == [
        ("insufficient_scope", 4),
        ("rate_limited", 2),
    ]
    counts = await store.daily_counts(made.api_key.org_id, [made.api_key.id], since=TODAY)
    assert counts == {made.api_key.id: {TODAY: UsageCount(5, {"rate_limited": 2, "insufficient_scope": 4})}}
    unused = await store.list_newest(
        made.api_key.org_id, limit=9, before=None, which=KeyFilter(at=NOON, unused_since=HOUR + MINUTE)
    )
    assert [key.id for key in unused.items] == [idle.api_key.id]
    assert (await store.recently_used(below=None, limit=9)).digests == [made.secret_digest]
    assert {row["key_id"] for row in database.table("key_hours")} == {made.api_key.id}


async def test_refusals_are_added_up(store: RunningStore) -> None:
    """Refusals of one source and code are one, with the first and the last time; a repeated batch counts once."""
    made = await created(store)
    batch = a_batch()
    for minutes in (10, 30, 20, 0):
        at = HOUR + minutes * MINUTE
        await store.add_usage([a_refusal(made, first_seen=at, last_seen=at)], a_batch())
    for _ in range(2):
        await store.add_usage([a_refusal(made, Code.DISABLED), a_refusal(made, hour=HOUR + 60 * MINUTE)], batch)
    usage = await usage_of(store, made)
    assert usage.refused == {HOUR: {"revoked": 4, "disabled": 1}, HOUR + 60 * MINUTE: {"revoked": 1}}
    assert [(source.code, source.first_seen, source.last_seen, source.count) for source in usage.refusals] == [
        ("revoked", HOUR, HOUR + 30 * MINUTE, 5),
        ("disabled", HOUR + MINUTE, HOUR + MINUTE, 1),
    ]


async def test_a_replaced_secret_that_is_still_tried(store: RunningStore) -> None:
    """A refusal belongs to the secret that was presented: one that a rotation replaced is named."""
    made = await created(store)
    rotation = a_rotation(made.api_key, overlap=timedelta())
    await store.rotate(rotation)
    await store.add_usage([a_refusal(made, Code.REPLACED)], a_batch())
    usage = await usage_of(store, made)
    assert [source.public_key for source in usage.refusals] == [made.api_key.secret.public_key.text]
    first = await usage_of(store, made, limit=1)
    assert first.refusals == []
    assert (await usage_of(store, made, before=first.next)).refusals == usage.refusals


async def test_the_latest_refusals_are_kept(store: RunningStore, database: Database) -> None:
    """Of the sources of a secret's refusals the latest fifty are kept; neither its uses nor other keys lose any."""
    made, neighbour = await created(store), await created(store)
    others = [
        use
        for n in range(50)
        for use in (
            an_hourly_usage(neighbour, network=f"10.1.{n}.0/24"),
            a_refusal(neighbour, network=f"10.1.{n}.0/24"),
            an_hourly_usage(made, network=f"10.2.{n}.0/24"),
        )
    ]
    await store.add_usage(others, a_batch())
    refusals = []
    for second in range(120):
        at = HOUR + timedelta(seconds=second)
        code = (Code.REVOKED, Code.IP_NOT_ALLOWED)[second % 2]
        refusals.append(a_refusal(made, code, network=f"10.0.{second}.0/24", first_seen=at, last_seen=at))
    await store.add_usage(refusals[:100], a_batch())
    for refusal in refusals[100:]:
        await store.add_usage([refusal], a_batch())
    usage = await usage_of(store, made)
    assert [source.network for source in usage.refusals] == [f"10.0.{n}.0/24" for n in range(119, 69, -1)]
    assert usage.refused == {HOUR: {"revoked": 60, "ip_not_allowed": 60}}
    assert len(usage.sources) == 50
    assert len(database.table("secret_sources")) == len(database.table("secret_refusals")) == 100


async def test_refusals_of_unknown_keys_are_passed_over(store: RunningStore, database: Database) -> None:
    """Refusals of a key that is unknown or has another secret are passed over; another organization sees none."""
    made, absent = await created(store), new_key(an_organization())
    await store.add_usage([a_refusal(absent), a_refusal(made, key_id=new_id().bytes), a_refusal(made)], a_batch())
    assert {row["key_id"] for row in database.table("key_refusals")} == {made.api_key.id}
    assert {row["secret_id"] for row in database.table("secret_refusals")} == {made.api_key.id}
    assert await store.daily_counts(absent.api_key.org_id, [made.api_key.id], since=HOUR) == {}


async def test_refusals_by_many_at_once(store: RunningStore) -> None:
    """Uses and refusals of the same keys that many note at once are all counted."""
    made = [await created(store) for _ in range(5)]
    turned = [list(made), made[::-1]]
    calls = [
        store.add_usage([row for new in turned[n % 2] for row in (a_refusal(new), an_hourly_usage(new))], a_batch())
        for n in range(30)
    ]
    await asyncio.gather(*calls)
    for new in made:
        usage = await usage_of(store, new)
        assert (usage.counts, usage.refused) == ({HOUR: 30}, {HOUR: {"revoked": 30}})
        assert [source.count for source in usage.refusals] == [30]
