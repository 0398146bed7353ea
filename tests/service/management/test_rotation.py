"""Rotating a key's pair."""

from dataclasses import replace
from datetime import timedelta

import pytest

from keywright.keys.pair import parse
from keywright.keys.record import ApiKey
from keywright.service.management.audit_log import EventType
from keywright.service.management.refusals import Refused
from tests.service.managing import ALICE, DAY, NOW, ORIGIN, SECOND, House


@pytest.fixture
def house() -> House:
    return House()


async def rotate(house: House, key: ApiKey) -> object:
    return await house.management.rotate(ALICE, ORIGIN, key.id, overlap_seconds=None, quiet_seconds=None)


async def set_overlap(house: House, key: ApiKey, seconds: int) -> ApiKey | Refused:
    return await house.management.set_overlap(ALICE, ORIGIN, key.id, overlap_seconds=seconds)


async def test_rotate(house: House) -> None:
    """A key gets a new pair of its environment; the old one works on for a day, and nothing else is different."""
    old = await house.create(environment="sandbox", scopes=("a:b",))
    house.now += SECOND
    new = await house.rotate(old.api_key.id)
    key = new.api_key
    assert new.private_key.environment == "sandbox"
    assert parse(new.private_key.reveal(), brand="kw") == new.private_key != old.private_key
    assert key.secret.created_at == NOW + SECOND
    assert key.retiring == replace(old.api_key.secret, retires_at=NOW + SECOND + DAY)
    assert key == replace(old.api_key, secret=key.secret, retiring=key.retiring, version=2)
    assert house.store.keys[key.id] == key
    (rotation,) = house.store.rotations
    assert (rotation.secret_digest, rotation.sealed_answer) == (new.private_key.digest, None)
    assert new.private_key.reveal() not in repr(rotation)


async def test_the_event(house: House) -> None:
    """The event names both pairs, and when the old one ends."""
    old = (await house.create()).api_key
    new = (await house.rotate(old.id, overlap_seconds=60, quiet_seconds=3600)).api_key
    event = house.store.trail[-1]
    assert (event.type, event.occurred_at) == (EventType.ROTATED, NOW)
    assert event.data == {
        "public_key": new.secret.public_key.text,
        "replaced_public_key": old.secret.public_key.text,
        "retires_at": "2026-11-23T12:01:00.000001Z",
        "retire_when_quiet_seconds": 3600,
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
async def test_the_overlap(house: House, overlap: int | None, quiet: int | None, expected: timedelta) -> None:
    """The old pair ends when the caller says, or after the usual time: a month where it waits for quiet."""
    key = (await house.create()).api_key
    retiring = (await house.rotate(key.id, overlap_seconds=overlap, quiet_seconds=quiet)).api_key.retiring
    assert retiring is not None
    assert (retiring.retires_at, retiring.quiet_seconds) == (NOW + expected, quiet)


async def test_one_rotation_at_a_time(house: House) -> None:
    """While an old pair still works there is no other rotation; from the moment it ends there is."""
    key = (await house.create()).api_key
    second = await house.rotate(key.id, overlap_seconds=60)
    house.now += 59 * SECOND
    assert await rotate(house, key) == Refused("rotation_under_way")
    house.now += SECOND
    third = (await house.rotate(key.id)).api_key
    assert third.retiring is not None
    assert third.retiring.public_key == second.api_key.secret.public_key


async def test_keys_that_do_not_work(house: House) -> None:
    """A key that expired, was revoked or is not there has no rotation, and a revoked one no other end of one."""
    key = (await house.create(expires_at=NOW + 60 * SECOND)).api_key
    await house.rotate(key.id)
    house.now += 60 * SECOND
    assert await rotate(house, key) == Refused("key_expired")
    await house.management.revoke(ALICE, ORIGIN, key.id)
    assert await rotate(house, key) == Refused("key_revoked")
    assert await set_overlap(house, key, 0) == Refused("key_revoked")
    await house.management.delete(ALICE, ORIGIN, key.id)
    assert await rotate(house, key) == Refused("not_found")
    assert await set_overlap(house, key, 0) == Refused("not_found")


async def test_matching(house: House) -> None:
    """Only the version that the caller meant is rotated."""
    key = (await house.create()).api_key
    rotation = {"overlap_seconds": None, "quiet_seconds": None}
    found = await house.management.rotate(ALICE, ORIGIN, key.id, **rotation, matching=lambda version: version == 2)  # type: ignore[arg-type]
    assert found == Refused("precondition_failed")
    await house.rotate(key.id, matching=lambda version: version == 1)


@pytest.mark.parametrize("seconds", [0, 60, 7 * 86_400])
async def test_another_end(house: House, seconds: int) -> None:
    """The old pair can be ended at once or given more time, counted from now; it does not wait for quiet any more."""
    key = (await house.create()).api_key
    before = (await house.rotate(key.id, quiet_seconds=3600)).api_key
    house.now += SECOND
    after = await set_overlap(house, key, seconds)
    assert isinstance(after, ApiKey)
    assert after.retiring is not None
    end = house.now + timedelta(seconds=seconds)
    assert (after.retiring.retires_at, after.retiring.quiet_seconds) == (end, None)
    assert after == replace(before, retiring=after.retiring, version=3)
    assert house.store.keys[key.id] == after
    assert (after.retiring_at(house.now) is None) is (seconds == 0)


async def test_the_event_of_another_end(house: House) -> None:
    """The event tells which pair was to end when, and when it ends now."""
    key = (await house.create()).api_key
    await house.rotate(key.id, quiet_seconds=3600)
    await set_overlap(house, key, 60)
    event = house.store.trail[-1]
    assert event.type is EventType.ROTATION_CHANGED
    assert event.data == {
        "public_key": key.secret.public_key.text,
        "before": {"retires_at": "2026-12-23T12:00:00.000001Z", "retire_when_quiet_seconds": 3600},
        "after": {"retires_at": "2026-11-23T12:01:00.000001Z", "retire_when_quiet_seconds": None},
    }


async def test_no_rotation_to_end(house: House) -> None:
    """Where no old pair works there is none to give another end: what has ended never works again."""
    key = (await house.create()).api_key
    assert await set_overlap(house, key, 60) == Refused("no_rotation_under_way")
    await house.rotate(key.id, overlap_seconds=60)
    house.now += 60 * SECOND
    assert await set_overlap(house, key, 60) == Refused("no_rotation_under_way")


def interfere(house: House, key: ApiKey) -> None:
    stored = house.store.keys[key.id]
    house.store.keys[key.id] = replace(stored, description="theirs", version=stored.version + 1)


async def test_a_change_in_between(house: House) -> None:
    """A rotation that others overtake is made to what they left."""
    key = (await house.create()).api_key
    house.once_meanwhile(lambda: interfere(house, key))
    rotated = (await house.rotate(key.id)).api_key
    assert (rotated.description, rotated.version) == ("theirs", 3)
    house.once_meanwhile(lambda: interfere(house, key))
    moved = await set_overlap(house, key, 60)
    assert isinstance(moved, ApiKey)
    assert moved.version == 5


async def test_a_rotation_in_between(house: House) -> None:
    """Of two rotations at once one is made; the other is told so, and its pair is nobody's."""
    key = (await house.create()).api_key
    other = house.process()
    results = []

    def first() -> None:
        coroutine = other.rotate(ALICE, ORIGIN, key.id, overlap_seconds=None, quiet_seconds=None)
        with pytest.raises(StopIteration) as stopped:
            coroutine.send(None)
        results.append(stopped.value.value)

    house.once_meanwhile(first)
    assert await rotate(house, key) == Refused("rotation_under_way")
    assert house.store.keys[key.id].secret.public_key == results[0].api_key.secret.public_key
    assert len(house.store.rotations) == 1


async def test_changes_again_and_again(house: House) -> None:
    """A key that others change each time it was read is given up on."""
    key = (await house.create()).api_key
    await house.rotate(key.id, overlap_seconds=60)
    house.store.meanwhile = lambda: interfere(house, key)
    assert await set_overlap(house, key, 0) == Refused("changed_meanwhile")
    house.now += 60 * SECOND
    assert await rotate(house, key) == Refused("changed_meanwhile")
    assert len(house.store.rotations) == 1
