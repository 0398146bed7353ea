"""The use cases, on a store in memory."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from keywright.keys.pair import parse, parse_public
from keywright.service.events import EventType, Origin
from keywright.service.management import Management
from keywright.service.principal import Organization, Principal
from tests.service.fake_store import FakeStore

NOW = datetime(2026, 11, 23, 12, 0, 0, 1, tzinfo=UTC)
ISSUER = "https://issuer.example/"
ORIGIN = Origin(request_id="request-1", address="192.0.2.1")


def principal_of(organization: str) -> Principal:
    return Principal(
        issuer=ISSUER,
        subject="auth0|alice",
        client_id="dashboard",
        organization=Organization.named(ISSUER, organization),
        granted=None,
    )


ALICE = principal_of("org_acme")
BOB = principal_of("org_globex")


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def management(store: FakeStore) -> Management:
    numbers = iter(range(1, 1000))
    return Management(
        store=store,
        clock=lambda: NOW,
        entropy=lambda count: next(numbers).to_bytes(count, "big"),
        new_id=lambda: UUID(int=next(numbers)),
        brand="kw",
        environment="live",
    )


async def test_create(management: Management, store: FakeStore) -> None:
    """A creation stores the public half, the digest and an event, and gives the private half to its caller alone."""
    created = await management.create(ALICE, ORIGIN, name="name", description="what for")
    (new,) = store.new
    assert new.api_key == created.api_key
    assert (new.api_key.name, new.api_key.description, new.api_key.environment) == ("name", "what for", "live")
    assert (new.api_key.org_id, new.api_key.created_by) == (ALICE.organization.id, ALICE.subject)
    assert new.organization == ALICE.organization
    assert new.secret_digest == created.private_key.digest
    assert new.api_key.secret.display == created.private_key.display
    assert created.private_key.reveal() not in repr(new)
    assert parse(created.private_key.reveal(), brand="kw") == created.private_key
    assert parse_public(new.api_key.secret.public_key.text) == new.api_key.secret.public_key


async def test_the_event_says_who_what_which_when_and_from_where(management: Management, store: FakeStore) -> None:
    """Every change leaves one event with its actor, its key, its time and its origin."""
    key = (await management.create(ALICE, ORIGIN, name="name", description=None)).api_key
    await management.revoke(ALICE, ORIGIN, key.id)
    await management.delete(ALICE, ORIGIN, key.id)
    assert [event.type for event in store.events] == [EventType.CREATED, EventType.REVOKED, EventType.DELETED]
    assert len({event.id for event in store.events}) == 3
    for event in store.events:
        assert (event.issuer, event.subject, event.client_id) == (ISSUER, "auth0|alice", "dashboard")
        assert (event.key_id, event.org_id) == (key.id, ALICE.organization.id)
        assert (event.occurred_at, event.origin) == (NOW, ORIGIN)
    assert store.events[0].data["public_key"] == key.secret.public_key.text


async def test_every_key_has_its_own_pair(management: Management) -> None:
    """Two creations share neither id nor pair."""
    first = await management.create(ALICE, ORIGIN, name="one", description=None)
    second = await management.create(ALICE, ORIGIN, name="one", description=None)
    assert first.api_key.id != second.api_key.id
    assert first.private_key != second.private_key


async def test_revoke_is_for_good(management: Management, store: FakeStore) -> None:
    """A second revocation answers what the first did and leaves no second event."""
    key = (await management.create(ALICE, ORIGIN, name="name", description=None)).api_key
    first = await management.revoke(ALICE, ORIGIN, key.id)
    assert first is not None
    assert first.revoked_at == NOW
    assert await management.revoke(ALICE, ORIGIN, key.id) == first
    assert len(store.events) == 2


async def test_organizations_do_not_see_each_other(management: Management) -> None:
    """To one organisation another's key is no key, whatever is asked of it."""
    key = (await management.create(ALICE, ORIGIN, name="name", description=None)).api_key
    assert await management.get(BOB, key.id) is None
    assert await management.revoke(BOB, ORIGIN, key.id) is None
    assert await management.delete(BOB, ORIGIN, key.id) is False
    assert (await management.list_page(BOB, limit=10, before=None)).api_keys == []
    assert await management.get(ALICE, key.id) == key


async def test_pages(management: Management) -> None:
    """Pages follow each other without gap or repeat, newest first, and the last one says so."""
    made = [(await management.create(ALICE, ORIGIN, name=f"{n}", description=None)).api_key for n in range(5)]
    first = await management.list_page(ALICE, limit=2, before=None)
    second = await management.list_page(ALICE, limit=2, before=first.next)
    third = await management.list_page(ALICE, limit=2, before=second.next)
    assert [*first.api_keys, *second.api_keys, *third.api_keys] == made[::-1]
    assert third.next is None
    assert (await management.list_page(ALICE, limit=5, before=None)).next is None
