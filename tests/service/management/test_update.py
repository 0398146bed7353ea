"""Changing a key."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey
from keywright.service.management.audit_log import EventType
from keywright.service.management.refusals import Refused
from tests.service.managing import ALICE, DAY, NOW, ORIGIN, SECOND, Scenario, flaws_of

EVERYTHING: dict[str, Any] = {
    "name": "other",
    "description": "what else for",
    "expires_at": NOW + DAY,
    "scopes": ("reports:read",),
    "allowed_ips": ("192.0.2.0/24",),
    "rate_limits": (RateLimit("r", 10, 60),),
    "external_id": "customer-7",
    "metadata": {"team": "b"},
}


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


async def update(scenario: Scenario, key: ApiKey, **changes: Any) -> ApiKey | Refused:
    return await scenario.management.update(ALICE, ORIGIN, key.id, changes)


async def test_everything_that_can_be_changed(scenario: Scenario) -> None:
    """Each given field replaces the old value, in the answer and in the store; the version is one more."""
    key = (await scenario.create()).api_key
    changed = await update(scenario, key, **EVERYTHING)
    assert changed == replace(key, **EVERYTHING, version=2)
    assert scenario.store.keys[key.id] == changed


@pytest.mark.parametrize("name", EVERYTHING)
async def test_one_field_alone(scenario: Scenario, name: str) -> None:
    """A field that is not given stays as it is, and the event has only the changed one, before and after."""
    key = (await scenario.create(description="d", external_id="e", metadata={"a": 1})).api_key
    assert await update(scenario, key, **{name: EVERYTHING[name]}) == replace(
        key, **{name: EVERYTHING[name]}, version=2
    )
    event = scenario.store.trail[-1]
    assert event.type is EventType.UPDATED
    assert (list(event.data), list(event.data["before"]), list(event.data["after"])) == (
        ["before", "after"],
        [name],
        [name],
    )


async def test_what_the_event_tells(scenario: Scenario) -> None:
    """Before and after are values that an event may contain."""
    key = (await scenario.create(metadata={"b": 0.5, "a": "é"})).api_key
    await update(scenario, key, **EVERYTHING)
    assert scenario.store.trail[-1].data == {
        "before": {
            "name": "name",
            "description": None,
            "expires_at": None,
            "scopes": [],
            "allowed_ips": [],
            "rate_limits": [],
            "external_id": None,
            "metadata": {"a": "é", "b": 0.5},
        },
        "after": {
            "name": "other",
            "description": "what else for",
            "expires_at": "2026-11-24T12:00:00.000001Z",
            "scopes": ["reports:read"],
            "allowed_ips": ["192.0.2.0/24"],
            "rate_limits": [{"name": "r", "limit": 10, "window_seconds": 60}],
            "external_id": "customer-7",
            "metadata": {"team": "b"},
        },
    }


async def test_the_event_has_the_changed_members_of_the_metadata(scenario: Scenario) -> None:
    """Members that stay are not in the event; an added one is absent before, a removed one after, a NUL is replaced."""
    stays = "x" * 4096
    key = (await scenario.create(metadata={"stays": stays, "gone": 1, "other": [0.5]})).api_key
    await update(scenario, key, metadata={"stays": stays, "new": {"a\0": "b\0"}, "other": [1.5]})
    assert scenario.store.trail[-1].data == {
        "before": {"metadata": {"gone": 1, "other": [0.5]}},
        "after": {"metadata": {"new": {"a\ufffd": "b\ufffd"}, "other": [1.5]}},
    }


async def test_the_event_of_large_metadata_is_bounded(scenario: Scenario) -> None:
    """Changed members for which an event has no room are counted, and the others are there."""
    key = (await scenario.create(metadata={"a": 1, "b": "x" * 4000, "c": 1})).api_key
    await update(scenario, key, metadata={"a": 2, "b": "y" * 4000, "c": 2})
    assert scenario.store.trail[-1].data == {
        "before": {"metadata": {"a": 1, "c": 1}},
        "after": {"metadata": {"a": 2, "c": 2}},
        "metadata_omitted": 1,
    }


async def test_disabling_and_enabling(scenario: Scenario) -> None:
    """A key is disabled and enabled again, each with its event; repeating either changes nothing."""
    key = (await scenario.create()).api_key
    disabled = await update(scenario, key, enabled=False)
    assert disabled == replace(key, disabled_at=NOW, version=2)
    assert scenario.store.trail[-1].data == {"before": {"enabled": True}, "after": {"enabled": False}}
    scenario.now += DAY
    assert await update(scenario, key, enabled=False) == disabled
    assert await update(scenario, key, enabled=True) == replace(key, version=3)
    assert scenario.store.trail[-1].data == {"before": {"enabled": False}, "after": {"enabled": True}}
    assert await update(scenario, key, enabled=True) == replace(key, version=3)
    assert len(scenario.store.trail) == 3


@pytest.mark.parametrize("changes", [{}, EVERYTHING, {"environment": "live"}, {"metadata": {"team": "b"}}], ids=str)
async def test_nothing_different(scenario: Scenario, changes: dict[str, Any]) -> None:
    """Where nothing becomes different nothing is stored: no event, no version; also long after an expiry."""
    key = (await scenario.create(**EVERYTHING)).api_key
    scenario.now += 2 * DAY
    assert await update(scenario, key, **changes) == key
    assert len(scenario.store.trail) == 1


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False), ([1], [True])])
async def test_what_json_tells_apart(scenario: Scenario, old: object, new: object) -> None:
    """Values of metadata that differ in JSON are different, even where Python has them equal."""
    key = (await scenario.create(metadata={"a": old})).api_key
    changed = await update(scenario, key, metadata={"a": new})
    assert isinstance(changed, ApiKey)
    assert repr(changed.metadata["a"]) == repr(new)
    assert changed.version == 2


async def test_clearing(scenario: Scenario) -> None:
    """Optional fields can be removed again."""
    key = (await scenario.create(**EVERYTHING)).api_key
    nothing = {"description": None, "expires_at": None, "external_id": None}
    none = {"scopes": (), "allowed_ips": (), "rate_limits": (), "metadata": {}}
    assert await update(scenario, key, **nothing, **none) == replace(key, **nothing, **none, version=2)


@pytest.mark.parametrize("environment", ["sandbox", "moon", None])
async def test_the_environment_stays(scenario: Scenario, environment: str | None) -> None:
    """A key's environment is part of its text: another one is refused with everything else that came along."""
    key = (await scenario.create()).api_key
    found = await update(scenario, key, environment=environment, expires_at=NOW)
    assert flaws_of(found) == [("expires_at", "expiry_in_the_past", ()), ("environment", "environment_fixed", ())]
    assert scenario.store.keys[key.id] == key


async def test_the_policy_looks_at_what_changes() -> None:
    """The policy applies to what is given and becomes different; what was there before it is not its business."""
    scenario = Scenario()
    key = (await scenario.create(scopes=("old:scope",))).api_key
    scenario.policy = replace(scenario.policy, scopes={"new:scope": ""}, expiry_required=True)
    scenario.management = scenario.process()
    assert isinstance(await update(scenario, key, name="n", scopes=("old:scope",), expires_at=None), ApiKey)
    found = await update(scenario, key, scopes=("new:scope", "old:scope"))
    assert flaws_of(found) == [("scopes", "scope_unknown", (1,))]


async def test_the_longest_life() -> None:
    """An expiry may move within the life of the current secret; without one a key gets the latest there may be."""
    scenario = Scenario(max_life=timedelta(days=30))
    key = (await scenario.create(expires_at=NOW + DAY)).api_key
    scenario.now += SECOND
    assert flaws_of(await update(scenario, key, expires_at=NOW + 31 * DAY)) == [("expires_at", "expiry_too_late", ())]
    cleared = await update(scenario, key, expires_at=None)
    assert isinstance(cleared, ApiKey)
    assert cleared.expires_at == NOW + 30 * DAY
    scenario.now += DAY
    rotated = (await scenario.rotate(key.id)).api_key
    assert rotated.expires_at == NOW + 30 * DAY
    assert isinstance(await update(scenario, key, expires_at=scenario.now + 30 * DAY), ApiKey)


async def test_a_key_that_expired_can_be_given_another_expiry(scenario: Scenario) -> None:
    """An expiry is no end: a later one lets the key work again. A revocation is."""
    key = (await scenario.create(expires_at=NOW + SECOND)).api_key
    scenario.now += DAY
    assert isinstance(await update(scenario, key, expires_at=scenario.now + DAY), ApiKey)
    await scenario.management.revoke(ALICE, ORIGIN, key.id)
    assert await update(scenario, key, name="n") == Refused("key_revoked")


async def test_a_key_that_comes_back_needs_room() -> None:
    """A later expiry of an expired key counts against the bound, like a creation; other changes of it do not."""
    scenario = Scenario(max_active=1)
    key = (await scenario.create(expires_at=NOW + SECOND)).api_key
    scenario.now += DAY
    other = (await scenario.create()).api_key
    assert await update(scenario, key, expires_at=scenario.now + DAY) == Refused("too_many_keys")
    assert isinstance(await update(scenario, key, name="n"), ApiKey)
    assert isinstance(await update(scenario, other, expires_at=scenario.now + DAY), ApiKey)
    await scenario.management.revoke(ALICE, ORIGIN, other.id)
    assert isinstance(await update(scenario, key, expires_at=scenario.now + DAY), ApiKey)


async def test_matching(scenario: Scenario) -> None:
    """A change of a version that the caller did not mean is refused, also where nothing would become different."""
    key = (await scenario.create()).api_key
    change = scenario.management.update
    refused = Refused("precondition_failed")
    assert await change(ALICE, ORIGIN, key.id, {"name": "n"}, matching=lambda version: version == 2) == refused
    assert await change(ALICE, ORIGIN, key.id, {}, matching=lambda version: False) == refused
    assert isinstance(await change(ALICE, ORIGIN, key.id, {"name": "n"}, matching=lambda version: version == 1), ApiKey)
    assert await change(ALICE, ORIGIN, key.id, {"name": "m"}, matching=lambda version: version == 1) == refused


def interfere(scenario: Scenario, key: ApiKey, **changes: Any) -> None:
    stored = scenario.store.keys[key.id]
    scenario.store.keys[key.id] = replace(stored, **changes, version=stored.version + 1)


async def test_a_change_in_between(scenario: Scenario) -> None:
    """A change that others overtake is made to what they left: neither is lost."""
    key = (await scenario.create()).api_key
    scenario.once_meanwhile(lambda: interfere(scenario, key, description="theirs"))
    changed = await update(scenario, key, name="mine")
    assert isinstance(changed, ApiKey)
    assert (changed.name, changed.description, changed.version) == ("mine", "theirs", 3)
    assert scenario.store.trail[-1].data["before"] == {"name": "name"}


async def test_a_change_in_between_of_a_version_that_was_meant(scenario: Scenario) -> None:
    """A change on the condition of an earlier version is refused."""
    key = (await scenario.create()).api_key
    scenario.once_meanwhile(lambda: interfere(scenario, key, description="theirs"))
    found = await scenario.management.update(
        ALICE, ORIGIN, key.id, {"name": "mine"}, matching=lambda version: version == key.version
    )
    assert found == Refused("precondition_failed")


async def test_changes_again_and_again(scenario: Scenario) -> None:
    """A key that others change each time it was read is given up on, unchanged."""
    key = (await scenario.create()).api_key
    scenario.store.meanwhile = lambda: interfere(scenario, key)
    assert await update(scenario, key, name="mine") == Refused("changed_meanwhile")
    assert scenario.store.keys[key.id].name == "name"
