"""The operator's use cases on a store in memory: finding keys, and revocations of many keys."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from keywright.keys.record import RevocationReason
from keywright.service.management.audit_log import EventType
from keywright.service.management.commands import Created, NewKey
from keywright.service.management.ports import EventFilter, KeyFilter
from keywright.service.management.refusals import Refused
from keywright.service.operator.bulk import PREVIEW_LASTS, BulkRevocations, OperatorTasks
from keywright.service.operator.lookup import FoundBy, Lookup
from keywright.service.operator.ports import BulkRevocation, Target
from keywright.service.principal import Principal
from tests.service.fake_operator_store import FakeOperatorStore
from tests.service.managing import ALICE, BOB, NOW, ORIGIN, Scenario, made, principal_of, turns_for_many

OLIVIA = replace(principal_of("org_operators"), subject="auth0|olivia", granted=frozenset(), operates=True)
REASON = RevocationReason.KEY_COMPROMISE
EVERYTHING = KeyFilter(at=NOW)


class Operating(Scenario):
    """A scenario with an operator."""

    def __init__(self) -> None:
        self.all = FakeOperatorStore()
        super().__init__(self.all)
        self.lookup = Lookup(store=self.all, management=self.management)
        self.bulk = BulkRevocations(
            store=self.all, clock=lambda: self.now, new_id=self.management.new_id, turns=turns_for_many()
        )

    async def create_for(self, principal: Principal) -> Created:
        return made(await self.management.create(principal, ORIGIN, NewKey(name="name")))

    async def preview(self, target: Target) -> BulkRevocation:
        found = await self.bulk.preview(OLIVIA, ORIGIN, target, REASON)
        assert isinstance(found, BulkRevocation)
        return found

    async def start(self, preview: BulkRevocation) -> BulkRevocation:
        found = await self.bulk.start(OLIVIA, ORIGIN, preview.id)
        assert isinstance(found, BulkRevocation)
        return found


@pytest.fixture
def operating() -> Operating:
    """Give a scenario."""
    return Operating()


async def test_find(operating: Operating) -> None:
    """A key is found by its id and by the text of either half; white space around it is passed over."""
    created = await operating.create_for(BOB)
    key = created.api_key
    for text, by in (
        (str(key.id), FoundBy.ID),
        (f" {key.secret.public_key.text}\n", FoundBy.PUBLIC_KEY),
        (created.private_key.reveal(), FoundBy.PRIVATE_KEY),
    ):
        found = await operating.lookup.find(OLIVIA, text)
        assert found is not None
        assert (found.by, found.key.api_key, found.key.organization) == (by, key, BOB.organization)
        assert (found.secret is None) is (by is FoundBy.ID)


async def test_find_nothing(operating: Operating) -> None:
    """A text that belongs to no key finds none; nor does a public key with another environment."""
    created = await operating.create_for(BOB)
    other = replace(created.api_key.secret.public_key, environment="sandbox").text
    for text in ("x", str(UUID(int=7)), UUID(int=7).hex, "\N{SNOWMAN}", other):
        assert await operating.lookup.find(OLIVIA, text) is None


async def test_revoke(operating: Operating) -> None:
    """A revocation by an operator is an event of the key's organization that names the operator, and says so."""
    key = (await operating.create_for(BOB)).api_key
    revoked = await operating.lookup.revoke(OLIVIA, ORIGIN, key.id, REASON)
    assert revoked is not None
    assert revoked.api_key.revocation_reason is REASON
    event = operating.all.trail[-1]
    assert (event.org_id, event.subject) == (BOB.organization.id, OLIVIA.subject)
    assert event.data == {"reason": REASON.value, "operator": True}
    assert await operating.lookup.revoke(OLIVIA, ORIGIN, UUID(int=7), REASON) is None
    operating.all.tombstones[key.id] = NOW
    assert await operating.lookup.revoke(OLIVIA, ORIGIN, key.id, REASON) is None


async def test_lists(operating: Operating) -> None:
    """Keys, events and organizations are read of all, and of one; an unknown one has none."""
    keys = [(await operating.create_for(principal)).api_key for principal in (ALICE, BOB, ALICE)]
    page = await operating.lookup.keys_page(OLIVIA, limit=2, before=None, which=EVERYTHING)
    assert [each.api_key for each in page.items] == [keys[2], keys[1]]
    assert page.next == keys[1].id
    one = await operating.lookup.keys_page(OLIVIA, limit=9, before=None, which=EVERYTHING, org_id=BOB.organization.id)
    assert [(each.api_key, each.organization) for each in one.items] == [(keys[1], BOB.organization)]
    events = await operating.lookup.events_page(OLIVIA, limit=9, before=None, which=EventFilter())
    assert [event.key_id for event, _ in events.items] == [key.id for key in reversed(keys)]
    ours = await operating.lookup.events_page(
        OLIVIA, limit=9, before=None, which=EventFilter(), org_id=BOB.organization.id
    )
    assert [event.key_id for event, _ in ours.items] == [keys[1].id]
    nobody = {"limit": 9, "before": None, "org_id": UUID(int=7)}
    assert (await operating.lookup.keys_page(OLIVIA, which=EVERYTHING, **nobody)).items == []
    assert (await operating.lookup.events_page(OLIVIA, which=EventFilter(), **nobody)).items == []


async def test_organizations(operating: Operating) -> None:
    """Organizations come by page, and one by its id or by the issuer's name for it."""
    for principal in (ALICE, BOB):
        await operating.create_for(principal)
    first = await operating.lookup.organizations_page(OLIVIA, limit=1, before=None)
    rest = await operating.lookup.organizations_page(OLIVIA, limit=1, before=first.next)
    found = [each.organization for each in (*first.items, *rest.items)]
    assert found == sorted((ALICE.organization, BOB.organization), key=lambda each: each.id, reverse=True)
    assert rest.next is None
    named = await operating.lookup.organization_named(OLIVIA, "org_globex")
    assert named is not None
    assert named.organization == BOB.organization
    assert await operating.lookup.organization(OLIVIA, BOB.organization.id) == named


async def test_a_preview_changes_nothing(operating: Operating) -> None:
    """A preview counts keys and organizations, over all parts of the count; every key stays as it is."""
    operating.all.examined = 1
    keys = [(await operating.create_for(principal)).api_key for principal in (ALICE, BOB, ALICE)]
    preview = await operating.preview(Target(created_by="auth0|alice"))
    assert (preview.keys, preview.organizations) == (3, 2)
    assert [await operating.all.get(key.org_id, key.id) for key in keys] == keys
    refused = await operating.bulk.preview(OLIVIA, ORIGIN, Target(org_id=UUID(int=7)), REASON)
    assert refused == Refused("not_found")
    assert await operating.bulk.page(OLIVIA, limit=9, before=None) == [preview]


async def test_start(operating: Operating) -> None:
    """The request that starts a revocation takes the first step; starting again does nothing more."""
    key = (await operating.create_for(BOB)).api_key
    mine = (await operating.create_for(ALICE)).api_key
    preview = await operating.preview(Target(org_id=BOB.organization.id))
    assert await operating.bulk.receipt(preview) is None
    started = await operating.start(preview)
    assert (started.revoked, started.finished_at, started.last) == (1, NOW, (key.org_id, key.id))
    event = operating.all.trail[-1]
    assert (event.type, event.org_id, event.subject) == (EventType.REVOKED, key.org_id, OLIVIA.subject)
    assert event.data == {"reason": REASON.value, "operator": True, "bulk_revocation": str(preview.id)}
    assert await operating.all.get(mine.org_id, mine.id) == mine
    count = len(operating.all.trail)
    assert await operating.start(preview) == started == await operating.bulk.get(OLIVIA, preview.id)
    assert len(operating.all.trail) == count
    assert await operating.bulk.receipt(started) is None


async def test_refused_starts(operating: Operating) -> None:
    """What was not previewed, or too long ago, is not started."""
    await operating.create_for(BOB)
    preview = await operating.preview(Target(org_id=BOB.organization.id))
    assert await operating.bulk.start(OLIVIA, ORIGIN, UUID(int=7)) == Refused("not_found")
    operating.now = NOW + PREVIEW_LASTS + timedelta(microseconds=1)
    assert await operating.bulk.start(OLIVIA, ORIGIN, preview.id) == Refused("preview_expired")


async def test_the_tasks_go_on(operating: Operating) -> None:
    """The tasks of any process take the steps that are left, also where another process takes some of them."""
    operating.all.examined = 1
    for _ in range(5):
        await operating.create_for(BOB)
    started = await operating.start(await operating.preview(Target(org_id=BOB.organization.id)))
    assert (started.revoked, started.finished_at) == (1, None)
    overtaken = [True]

    def other_process() -> bool:
        return overtaken.pop() if overtaken else False

    operating.all.is_overtaken = other_process
    tasks = OperatorTasks(revocations=operating.bulk, pause_seconds=0)
    (task,) = tasks.tasks()
    await task.work()
    found = await operating.bulk.get(OLIVIA, started.id)
    assert found is not None
    assert (found.revoked, found.finished_at) == (5, NOW)
    assert sum(event.type is EventType.REVOKED for event in operating.all.trail) == 5
    await task.work()
