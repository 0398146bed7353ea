"""Rotating a key's pair."""

from dataclasses import replace
from datetime import timedelta

import pytest

from keywright.keys.pair import parse
from keywright.keys.record import ApiKey
from keywright.service.management.audit_log import EventType
from keywright.service.management.refusals import Refused
from tests.service.managing import ALICE, DAY, NOW, ORIGIN, SECOND, Scenario


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


async def rotate(scenario: Scenario, key: ApiKey) -> object:
    return await scenario.management.rotate(ALICE, ORIGIN, key.id, overlap_seconds=None, idle_seconds=None)


async def set_overlap(scenario: Scenario, key: ApiKey, seconds: int) -> ApiKey | Refused:
    return await scenario.management.set_overlap(ALICE, ORIGIN, key.id, overlap_seconds=seconds)


async def test_rotate(scenario: Scenario) -> None:
    """A key gets a new pair of its environment; the old one works on for a day, and nothing else is different."""
    old = await scenario.create(environment="sandbox", scopes=("a:b",))
    scenario.now += SECOND
    new = await scenario.rotate(old.api_key.id)
    key = new.api_key
    assert new.private_key.environment == "sandbox"
    assert parse(new.private_key.reveal(), brand="kw") == new.private_key != old.private_key
    assert key.secret.created_at == NOW + SECOND
    assert key.retiring == replace(old.api_key.secret, retires_at=NOW + SECOND + DAY)
    assert key == replace(old.api_key, secret=key.secret, retiring=key.retiring, version=2)
    assert scenario.store.keys[key.id] == key
    (rotation,) = scenario.store.rotations
    assert (rotation.secret_digest, rotation.sealed_answer) == (new.private_key.digest, None)
    assert new.private_key.reveal() not in repr(rotation)


async def test_the_event(scenario: Scenario) -> None:
    """The event names both pairs, and when the old one ends."""
    old = (await scenario.create()).api_key
    new = (await scenario.rotate(old.id, overlap_seconds=60, idle_seconds=3600)).api_key
    event = scenario.store.trail[-1]
    assert (event.type, event.occurred_at) == (EventType.ROTATED, NOW)
    assert event.data == {
        "public_key": new.secret.public_key.text,
        "replaced_public_key": old.secret.public_key.text,
        "retires_at": "2026-11-23T12:01:00.000001Z",
        "retire_when_idle_seconds": 3600,
    }


@pytest.mark.parametrize(
    ("overlap", "quiet", "expected"),
    [
        (None, None, timedelta(days=1)),
        (None, 3600, timedelta(days=30)),
        (60, None, timedelta(seconds=60)),
        (60, 3600, timedelta(seconds=60)),
        (0, None, timedelta(0)),
        (0, 3600, timedelta(0)),
    ],
)
async def test_the_overlap(scenario: Scenario, overlap: int | None, quiet: int | None, expected: timedelta) -> None:
    """The old pair ends at the given time, or after the default: a day, or 30 days with an idle time."""
    key = (await scenario.create()).api_key
    retiring = (await scenario.rotate(key.id, overlap_seconds=overlap, idle_seconds=quiet)).api_key.retiring
    assert retiring is not None
    assert (retiring.retires_at, retiring.idle_seconds) == (NOW + expected, quiet)


async def test_one_rotation_at_a_time(scenario: Scenario) -> None:
    """While an old pair still works there is no other rotation; from the moment it ends there is."""
    key = (await scenario.create()).api_key
    second = await scenario.rotate(key.id, overlap_seconds=60)
    scenario.now += 59 * SECOND
    assert await rotate(scenario, key) == Refused("rotation_under_way")
    scenario.now += SECOND
    third = (await scenario.rotate(key.id)).api_key
    assert third.retiring is not None
    assert third.retiring.public_key == second.api_key.secret.public_key


async def test_a_disabled_key(scenario: Scenario) -> None:
    """A disabled key has rotations as an enabled one: none once it has expired."""
    key = (await scenario.create(expires_at=NOW + 60 * SECOND)).api_key
    await scenario.management.update(ALICE, ORIGIN, key.id, {"enabled": False})
    assert (await scenario.rotate(key.id, overlap_seconds=0)).api_key.disabled_at == NOW
    scenario.now += 60 * SECOND
    assert await rotate(scenario, key) == Refused("key_expired")


async def test_keys_that_do_not_work(scenario: Scenario) -> None:
    """A key that expired, was revoked or is not there has no rotation, and a revoked one no other end of one."""
    key = (await scenario.create(expires_at=NOW + 60 * SECOND)).api_key
    await scenario.rotate(key.id)
    scenario.now += 60 * SECOND
    assert await rotate(scenario, key) == Refused("key_expired")
    await scenario.management.revoke(ALICE, ORIGIN, key.id)
    assert await rotate(scenario, key) == Refused("key_revoked")
    assert await set_overlap(scenario, key, 0) == Refused("key_revoked")
    await scenario.management.delete(ALICE, ORIGIN, key.id)
    assert await rotate(scenario, key) == Refused("not_found")
    assert await set_overlap(scenario, key, 0) == Refused("not_found")


async def test_matching(scenario: Scenario) -> None:
    """Only the version that the caller meant is rotated."""
    key = (await scenario.create()).api_key
    rotation = {"overlap_seconds": None, "idle_seconds": None}
    found = await scenario.management.rotate(ALICE, ORIGIN, key.id, **rotation, matching=lambda version: version == 2)  # type: ignore[arg-type]
    assert found == Refused("precondition_failed")
    await scenario.rotate(key.id, matching=lambda version: version == 1)


@pytest.mark.parametrize("seconds", [0, 60, 7 * 86_400])
async def test_another_end(scenario: Scenario, seconds: int) -> None:
    """The old pair can end at once or later, counted from now; then it no longer ends sooner for being idle."""
    key = (await scenario.create()).api_key
    before = (await scenario.rotate(key.id, idle_seconds=3600)).api_key
    scenario.now += SECOND
    after = await set_overlap(scenario, key, seconds)
    assert isinstance(after, ApiKey)
    assert after.retiring is not None
    end = scenario.now + timedelta(seconds=seconds)
    assert (after.retiring.retires_at, after.retiring.idle_seconds) == (end, None)
    assert after == replace(before, retiring=after.retiring, version=3)
    assert scenario.store.keys[key.id] == after
    assert (after.retiring_at(scenario.now) is None) is (seconds == 0)


async def test_the_event_of_another_end(scenario: Scenario) -> None:
    """The event has the pair, its end before, and its end from now on."""
    key = (await scenario.create()).api_key
    await scenario.rotate(key.id, idle_seconds=3600)
    await set_overlap(scenario, key, 60)
    event = scenario.store.trail[-1]
    assert event.type is EventType.ROTATION_CHANGED
    assert event.data == {
        "public_key": key.secret.public_key.text,
        "before": {"retires_at": "2026-12-23T12:00:00.000001Z", "retire_when_idle_seconds": 3600},
        "after": {"retires_at": "2026-11-23T12:01:00.000001Z", "retire_when_idle_seconds": None},
    }


async def test_no_rotation_to_end(scenario: Scenario) -> None:
    """Where no old pair works there is none to give another end: what has ended never works again."""
    key = (await scenario.create()).api_key
    assert await set_overlap(scenario, key, 60) == Refused("no_rotation_under_way")
    await scenario.rotate(key.id, overlap_seconds=60)
    scenario.now += 60 * SECOND
    assert await set_overlap(scenario, key, 60) == Refused("no_rotation_under_way")


def interfere(scenario: Scenario, key: ApiKey) -> None:
    stored = scenario.store.keys[key.id]
    scenario.store.keys[key.id] = replace(stored, description="theirs", version=stored.version + 1)


async def test_a_change_in_between(scenario: Scenario) -> None:
    """A rotation that others overtake is made to what they left."""
    key = (await scenario.create()).api_key
    scenario.once_meanwhile(lambda: interfere(scenario, key))
    rotated = (await scenario.rotate(key.id)).api_key
    assert (rotated.description, rotated.version) == ("theirs", 3)
    scenario.once_meanwhile(lambda: interfere(scenario, key))
    moved = await set_overlap(scenario, key, 60)
    assert isinstance(moved, ApiKey)
    assert moved.version == 5


async def test_a_rotation_in_between(scenario: Scenario) -> None:
    """Of two rotations at once one is made; the other is refused, and its pair does not work."""
    key = (await scenario.create()).api_key
    other = scenario.process()
    results = []

    def first() -> None:
        coroutine = other.rotate(ALICE, ORIGIN, key.id, overlap_seconds=None, idle_seconds=None)
        with pytest.raises(StopIteration) as stopped:
            coroutine.send(None)
        results.append(stopped.value.value)

    scenario.once_meanwhile(first)
    assert await rotate(scenario, key) == Refused("rotation_under_way")
    assert scenario.store.keys[key.id].secret.public_key == results[0].api_key.secret.public_key
    assert len(scenario.store.rotations) == 1


async def test_changes_again_and_again(scenario: Scenario) -> None:
    """A key that others change each time it was read is given up on."""
    key = (await scenario.create()).api_key
    await scenario.rotate(key.id, overlap_seconds=60)
    scenario.store.meanwhile = lambda: interfere(scenario, key)
    assert await set_overlap(scenario, key, 0) == Refused("changed_meanwhile")
    scenario.now += 60 * SECOND
    assert await rotate(scenario, key) == Refused("changed_meanwhile")
    assert len(scenario.store.rotations) == 1


async def test_so_many_rotations_an_hour() -> None:
    """A rotation past the rate is refused until an hour after the first of them; another key has a rate of its own."""
    scenario = Scenario(rotations_per_hour=2)
    key, other = (await scenario.create()).api_key, (await scenario.create()).api_key
    for _ in range(2):
        await scenario.rotate(key.id, overlap_seconds=0)
        scenario.now += SECOND
    assert await rotate(scenario, key) == Refused("rotated_too_often", retry_after=3598)
    await scenario.rotate(other.id)
    scenario.now += 3597 * SECOND
    assert await rotate(scenario, key) == Refused("rotated_too_often", retry_after=1)
    scenario.now += SECOND
    await scenario.rotate(key.id, overlap_seconds=0)
    assert await rotate(scenario, key) == Refused("rotated_too_often", retry_after=1)


async def test_so_many_pairs() -> None:
    """A key that has as many pairs as it may have gets no other one, however long ago they ended."""
    scenario = Scenario(max_pairs=3)
    key = (await scenario.create()).api_key
    for _ in range(2):
        await scenario.rotate(key.id, overlap_seconds=0)
        scenario.now += 400 * timedelta(days=1)
    assert await rotate(scenario, key) == Refused("too_many_pairs")


async def test_rotations_in_between_count() -> None:
    """The limits hold for rotations that others make at the same time: the loser counts the winner's."""
    scenario = Scenario(rotations_per_hour=1, max_pairs=9)
    key = (await scenario.create()).api_key
    other = scenario.process()

    def first() -> None:
        with pytest.raises(StopIteration):
            other.rotate(ALICE, ORIGIN, key.id, overlap_seconds=0, idle_seconds=None).send(None)

    scenario.once_meanwhile(first)
    assert await rotate(scenario, key) == Refused("rotated_too_often", retry_after=3600)


@pytest.mark.parametrize(("overlap", "idle"), [(None, 3600), (400 * 86_400, None)])
async def test_no_pair_outlives_the_longest_life(overlap: int | None, idle: int | None) -> None:
    """A replaced pair ends its longest life after its creation at the latest, by a rotation and by a later end."""
    scenario = Scenario(max_life=timedelta(days=20))
    key = (await scenario.create()).api_key
    latest = scenario.now + timedelta(days=20)
    scenario.now += timedelta(days=5)
    rotated = (await scenario.rotate(key.id, overlap_seconds=overlap, idle_seconds=idle)).api_key
    assert rotated.retiring is not None
    assert rotated.retiring.retires_at == latest
    moved = await set_overlap(scenario, key, 300 * 86_400)
    assert isinstance(moved, ApiKey)
    assert moved.retiring is not None
    assert moved.retiring.retires_at == latest
    assert await set_overlap(scenario, key, 60) != moved


async def test_a_pair_older_than_the_longest_life() -> None:
    """A pair from before there was a longest life ends with its rotation, and not before."""
    scenario = Scenario()
    key = (await scenario.create()).api_key
    scenario.now += timedelta(days=40)
    strict = Scenario(scenario.store, max_life=timedelta(days=20))
    strict.now = scenario.now
    rotated = (await strict.rotate(key.id)).api_key
    assert rotated.retiring is not None
    assert rotated.retiring.retires_at == scenario.now
