"""Creating, reading, revoking and deleting keys, on a store in memory."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from keywright.keys.pair import parse, parse_public
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey, RevocationReason, Status
from keywright.service.faults import OrganizationConflict
from keywright.service.management.audit_log import EventType
from keywright.service.management.commands import NewKey
from keywright.service.management.ports import EventFilter, Found, KeyFilter
from keywright.service.management.refusals import Refused
from keywright.service.principal import Principal
from keywright.service.turns import Turns
from keywright.service.verifier_sessions import Receipt
from tests.service.fake_store import FakeStore
from tests.service.managing import (
    ALICE,
    BOB,
    DAY,
    ISSUER,
    NOW,
    ORIGIN,
    SECOND,
    Scenario,
    flaws_of,
    idempotent_request,
    made,
)

ALL = EventFilter()
KEY = UUID(int=7)


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


async def test_create(scenario: Scenario) -> None:
    """A creation stores the public half, the digest and an event, and gives the private half to its caller alone."""
    created = await scenario.create(name="name", description="what for")
    (new,) = scenario.store.new
    assert new.api_key == created.api_key
    assert (new.api_key.name, new.api_key.description, new.api_key.environment) == ("name", "what for", "live")
    assert (new.api_key.org_id, new.api_key.created_by) == (ALICE.organization.id, ALICE.subject)
    assert (new.organization, new.sealed_answer, new.most_active) == (ALICE.organization, None, None)
    assert new.secret_digest == created.private_key.digest
    assert new.api_key.secret.display == created.private_key.display
    assert created.private_key.reveal() not in repr(new)
    assert parse(created.private_key.reveal(), brand="kw") == created.private_key
    assert parse_public(new.api_key.secret.public_key.text) == new.api_key.secret.public_key


async def test_everything_that_can_be_wished(scenario: Scenario) -> None:
    """A key is created with the fields of its command, in its environment, and the event has all of them."""
    new = NewKey(
        name="name",
        description="what for",
        environment="sandbox",
        expires_at=NOW + DAY,
        scopes=("reports:read",),
        allowed_ips=("192.0.2.0/24",),
        rate_limits=(RateLimit("r", 10, 60),),
        external_id="customer-7",
        metadata={"team": "b", "share": 0.5},
    )
    key = made(await scenario.management.create(ALICE, ORIGIN, new)).api_key
    assert all(getattr(key, name) == getattr(new, name) for name in new.__slots__)
    assert key.secret.public_key.environment == "sandbox"
    assert scenario.store.trail[0].data == {
        "name": "name",
        "description": "what for",
        "environment": "sandbox",
        "expires_at": "2026-11-24T12:00:00.000001Z",
        "scopes": ["reports:read"],
        "allowed_ips": ["192.0.2.0/24"],
        "rate_limits": [{"name": "r", "limit": 10, "window_seconds": 60}],
        "external_id": "customer-7",
        "metadata": {"share": 0.5, "team": "b"},
        "public_key": key.secret.public_key.text,
    }


async def test_the_event_says_who_what_which_when_and_from_where(scenario: Scenario) -> None:
    """Every change leaves one event with its actor, its key, its time and its origin."""
    key = (await scenario.create()).api_key
    await scenario.management.revoke(ALICE, ORIGIN, key.id)
    await scenario.management.delete(ALICE, ORIGIN, key.id)
    events = scenario.store.trail
    assert [event.type for event in events] == [EventType.CREATED, EventType.REVOKED, EventType.DELETED]
    assert len({event.id for event in events}) == 3
    for event in events:
        assert (event.issuer, event.subject, event.client_id) == (ISSUER, "auth0|alice", "dashboard")
        assert (event.key_id, event.org_id) == (key.id, ALICE.organization.id)
        assert (event.occurred_at, event.origin) == (NOW, ORIGIN)
    assert events[0].data == {"name": "name", "environment": "live", "public_key": key.secret.public_key.text}


async def test_every_key_has_its_own_pair(scenario: Scenario) -> None:
    """Two creations share neither id nor pair."""
    first, second = await scenario.create(), await scenario.create()
    assert first.api_key.id != second.api_key.id
    assert first.private_key != second.private_key


async def test_what_the_policy_does_not_allow() -> None:
    """A command against the policy is refused with all of its flaws, and nothing is stored."""
    scenario = Scenario(max_life=timedelta(days=30), scopes={"reports:read": "Read reports"})
    new = NewKey(name="n", environment="moon", expires_at=NOW + 31 * DAY, scopes=("reports:*", "reports:write"))
    assert flaws_of(await scenario.management.create(ALICE, ORIGIN, new)) == [
        ("scopes", "scope_unknown", (1,)),
        ("environment", "environment_unknown", ()),
        ("expires_at", "expiry_too_late", ()),
    ]
    assert scenario.store.trail == []


async def test_as_many_as_there_may_be() -> None:
    """One active key more than there may be is refused; a revoked one makes room."""
    scenario = Scenario(max_active=1)
    first = await scenario.create()
    assert await scenario.management.create(ALICE, ORIGIN, NewKey(name="n")) == Refused("too_many_keys")
    await scenario.management.revoke(ALICE, ORIGIN, first.api_key.id)
    await scenario.create()


@pytest.mark.parametrize("reason", RevocationReason)
async def test_revoke_is_for_good(scenario: Scenario, reason: RevocationReason) -> None:
    """A revocation keeps its reason; a second one answers what the first did and leaves no second event."""
    key = (await scenario.create()).api_key
    first = await scenario.management.revoke(ALICE, ORIGIN, key.id, reason)
    assert first is not None
    assert (first.revoked_at, first.revocation_reason) == (NOW, reason)
    assert await scenario.management.revoke(ALICE, ORIGIN, key.id) == first
    assert [event.data for event in scenario.store.trail[1:]] == [{"reason": reason.value}]


async def test_a_reason_need_not_be_given(scenario: Scenario) -> None:
    """A revocation without a reason has the reason `unspecified`."""
    key = await scenario.management.revoke(ALICE, ORIGIN, (await scenario.create()).api_key.id)
    assert key is not None
    assert key.revocation_reason is RevocationReason.UNSPECIFIED


async def test_organizations_do_not_see_each_other(scenario: Scenario) -> None:
    """For every operation the key of another organization is treated as absent."""
    management, key = scenario.management, (await scenario.create()).api_key
    not_found = Refused("not_found")
    assert await management.get(BOB, key.id) is None
    assert await management.update(BOB, ORIGIN, key.id, {"name": "mine"}) == not_found
    assert await management.rotate(BOB, ORIGIN, key.id, overlap_seconds=0, idle_seconds=None) == not_found
    assert await management.set_overlap(BOB, ORIGIN, key.id, overlap_seconds=0) == not_found
    assert await management.revoke(BOB, ORIGIN, key.id) is None
    assert await management.delete(BOB, ORIGIN, key.id) is False
    assert (await management.list_page(BOB, limit=10, before=None)).items == []
    assert (await management.events_page(BOB, limit=10, before=None, which=ALL)).items == []
    assert await management.get(ALICE, key.id) == key


async def test_pages(scenario: Scenario) -> None:
    """Pages follow each other without gap or repeat, newest first, and the last one has no next."""
    made = [(await scenario.create(name=f"{number}")).api_key for number in range(5)]
    first = await scenario.management.list_page(ALICE, limit=2, before=None)
    second = await scenario.management.list_page(ALICE, limit=2, before=first.next)
    third = await scenario.management.list_page(ALICE, limit=2, before=second.next)
    assert [*first.items, *second.items, *third.items] == made[::-1]
    assert third.next is None
    assert (await scenario.management.list_page(ALICE, limit=5, before=None)).next is None


async def test_a_list_of_some(scenario: Scenario) -> None:
    """A filter is handed on: a list of expired keys has no other."""
    await scenario.create(name="lasting")
    short = (await scenario.create(name="short", expires_at=NOW + SECOND)).api_key
    which = KeyFilter(at=NOW + SECOND, status=Status.EXPIRED)
    page = await scenario.management.list_page(ALICE, limit=10, before=None, which=which)
    assert page.items == [short]


async def test_a_filter_examines_so_many(scenario: Scenario) -> None:
    """A filtered page that has examined its share of keys ends, short or empty, and the next one goes on from there."""
    scenario.store.most_examined = 1
    wanted = (await scenario.create(name="wanted", expires_at=NOW + SECOND)).api_key
    made = [(await scenario.create()).api_key for _ in range(50)]
    which = KeyFilter(at=NOW + SECOND, status=Status.EXPIRED)
    first = await scenario.management.list_page(ALICE, limit=10, before=None, which=which)
    assert (first.items, first.next) == ([], made[10].id)
    second = await scenario.management.list_page(ALICE, limit=10, before=first.next, which=which)
    assert (second.items, second.next) == ([wanted], None)


async def test_parts_make_a_page(scenario: Scenario) -> None:
    """A page that is read in parts has what one reading gives, and a next one only where there is more."""
    scenario.store.most_examined = 2
    made = [(await scenario.create()).api_key for _ in range(9)]
    which = KeyFilter(at=NOW, status=Status.ACTIVE)
    first = await scenario.management.list_page(ALICE, limit=5, before=None, which=which)
    assert (first.items, first.next) == (made[:3:-1], made[4].id)
    second = await scenario.management.list_page(ALICE, limit=4, before=first.next, which=which)
    assert (second.items, second.next) == (made[3::-1], None)


async def test_other_organizations_read_between_parts(scenario: Scenario) -> None:
    """Between two parts of one organization's page, another organization reads its own."""
    scenario.store.most_examined = 1
    order: list[str] = []
    turns = Turns(lambda: 0.0, most=1, alone=1, together=1, longest=9, longest_of_share=9)
    management = replace(scenario.management, store=Recording(scenario.store, order), turns=turns)
    for _ in range(5):
        await scenario.create()
    which = KeyFilter(at=NOW, status=Status.EXPIRED)

    async def listed(principal: Principal) -> None:
        await management.list_page(principal, limit=1, before=None, which=which)

    await asyncio.gather(*[listed(ALICE) for _ in range(3)], listed(BOB))
    first = order.index(BOB.organization.external_id)
    assert first <= 2
    assert len(order) == 16


class Recording(FakeStore):
    """Notes whose lists are read, in their order."""

    def __init__(self, store: FakeStore, order: list[str]) -> None:
        super().__init__()
        self.keys, self.most_examined = store.keys, store.most_examined
        self._order = order

    async def list_newest(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: KeyFilter | None = None
    ) -> Found[ApiKey]:
        names = {each.organization.id: each.organization.external_id for each in (ALICE, BOB)}
        self._order.append(names[org_id])
        # As a database, which answers later.
        await asyncio.sleep(0)
        return await super().list_newest(org_id, limit=limit, before=before, which=which)


async def test_pages_of_events(scenario: Scenario) -> None:
    """Events come newest first, each with its link of the chain, page after page, those of deleted keys too."""
    for _ in range(3):
        await scenario.create()
    key = (await scenario.create()).api_key
    await scenario.management.delete(ALICE, ORIGIN, key.id)
    first = await scenario.management.events_page(ALICE, limit=3, before=None, which=ALL)
    second = await scenario.management.events_page(ALICE, limit=3, before=first.next, which=ALL)
    told = [*first.items, *second.items]
    assert [event for event, _ in told] == scenario.store.trail[::-1]
    assert [place and place.position for _, place in told] == [5, 4, 3, 2, 1]
    assert second.next is None
    of_one = await scenario.management.events_page(ALICE, limit=2, before=None, which=replace(ALL, key_id=key.id))
    assert [event.type for event, _ in of_one.items] == [EventType.DELETED, EventType.CREATED]
    assert of_one.next is None


RECEIPT = Receipt(ended_at=NOW, committed_by=NOW, confirmations=[])


async def test_a_receipt(scenario: Scenario) -> None:
    """A receipt is that of the principal's organization; to another one there is none."""
    scenario.store.receipts[ALICE.organization.id, KEY] = RECEIPT
    assert await scenario.management.receipt(ALICE, KEY) == RECEIPT
    assert await scenario.management.receipt(BOB, KEY) is None


async def test_an_organization_id_of_another(scenario: Scenario) -> None:
    """No key is made for an organization whose id another one has."""
    await scenario.create()
    thief = replace(ALICE, organization=replace(ALICE.organization, external_id="org_other"))
    for idempotent in (None, idempotent_request()):
        with pytest.raises(OrganizationConflict):
            await scenario.management.create(thief, ORIGIN, NewKey(name="name"), idempotent)
    assert len(scenario.store.keys) == 1
