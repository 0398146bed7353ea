"""No key is stronger than the token that gives it its scopes, where the tokens say which scopes they may give."""

from dataclasses import replace

import pytest

from keywright.keys.record import ApiKey
from keywright.service.management.commands import Created, NewKey
from keywright.service.management.refusals import Refused
from tests.service.managing import ALICE, DAY, NOW, ORIGIN, SECOND, Scenario, made

READER = replace(ALICE, grantable=("reports:read", "orders:*"))
NOBODY = replace(ALICE, grantable=())


def lacks(*scopes: str) -> Refused:
    return Refused("scopes_not_grantable", scopes=scopes)


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


async def strong(scenario: Scenario, *scopes: str) -> ApiKey:
    """Have a token without a limit create a key."""
    return (await scenario.create(scopes=scopes, expires_at=NOW + DAY)).api_key


async def test_create(scenario: Scenario) -> None:
    """A new key gets the scopes that its token may give, and none is stored with another one."""
    good = await scenario.management.create(READER, ORIGIN, NewKey(name="a", scopes=("reports:read", "orders:read")))
    assert made(good).api_key.scopes == ("reports:read", "orders:read")
    refused = await scenario.management.create(
        READER, ORIGIN, NewKey(name="b", scopes=("reports:*", "orders:*", "bills:read"))
    )
    assert refused == lacks("reports:*", "bills:read")
    assert len(scenario.store.keys) == 1


async def test_key_without_scopes(scenario: Scenario) -> None:
    """A token that may give no scope can create a key without scopes, and no other."""
    assert isinstance(await scenario.management.create(NOBODY, ORIGIN, NewKey(name="a")), Created)
    refused = await scenario.management.create(NOBODY, ORIGIN, NewKey(name="a", scopes=("a:b",)))
    assert refused == lacks("a:b")


@pytest.mark.parametrize(
    ("scopes", "lacking"),
    [
        (("admin:*", "reports:read"), ()),
        (("admin:read",), ()),
        ((), ()),
        (("admin:*", "reports:write"), ("reports:write",)),
        (("*:*",), ("*:*",)),
    ],
)
async def test_update(scenario: Scenario, scopes: tuple[str, ...], lacking: tuple[str, ...]) -> None:
    """An update may give what the token may give; what the key granted before is not given, and can stay or go."""
    key = await strong(scenario, "admin:*")
    changed = await scenario.management.update(READER, ORIGIN, key.id, {"scopes": scopes})
    if lacking:
        assert changed == lacks(*lacking)
        assert scenario.store.keys[key.id] == key
    else:
        assert isinstance(changed, ApiKey)
        assert changed.scopes == scopes


async def test_other_fields_of_a_stronger_key(scenario: Scenario) -> None:
    """Other fields of a key can change, whatever its scopes."""
    key = await strong(scenario, "admin:*")
    changed = await scenario.management.update(NOBODY, ORIGIN, key.id, {"name": "b", "expires_at": NOW + 2 * DAY})
    assert isinstance(changed, ApiKey)


async def test_reviving_a_stronger_key(scenario: Scenario) -> None:
    """An expired key that an update revives gets all its scopes again, so the token must be able to give them."""
    key = await strong(scenario, "admin:*", "reports:read")
    scenario.now = NOW + DAY + SECOND
    later = {"expires_at": NOW + 3 * DAY}
    assert await scenario.management.update(READER, ORIGIN, key.id, later) == lacks("admin:*")
    assert isinstance(await scenario.management.update(READER, ORIGIN, key.id, {"name": "b"}), ApiKey)
    assert isinstance(await scenario.management.update(ALICE, ORIGIN, key.id, later), ApiKey)


async def test_enabling_a_stronger_key(scenario: Scenario) -> None:
    """A key that an update enables gets all its scopes again, also where it expired while it was disabled."""
    key = await strong(scenario, "admin:*", "reports:read")
    assert isinstance(await scenario.management.update(READER, ORIGIN, key.id, {"enabled": False}), ApiKey)
    scenario.now = NOW + DAY + SECOND
    later = {"enabled": True, "expires_at": NOW + 3 * DAY}
    assert await scenario.management.update(READER, ORIGIN, key.id, later) == lacks("admin:*")
    assert isinstance(await scenario.management.update(READER, ORIGIN, key.id, {"expires_at": NOW + 3 * DAY}), ApiKey)
    assert await scenario.management.update(READER, ORIGIN, key.id, {"enabled": True}) == lacks("admin:*")
    assert isinstance(await scenario.management.update(ALICE, ORIGIN, key.id, {"enabled": True}), ApiKey)


async def test_rotate(scenario: Scenario) -> None:
    """A rotation hands out a secret with all scopes of the key, so the token must be able to give them."""
    key, weak = await strong(scenario, "admin:*", "reports:read"), await strong(scenario, "reports:read")

    async def rotate(key: ApiKey) -> object:
        return await scenario.management.rotate(READER, ORIGIN, key.id, overlap_seconds=None, idle_seconds=None)

    assert await rotate(key) == lacks("admin:*")
    assert scenario.store.rotations == []
    assert isinstance(await rotate(weak), Created)
