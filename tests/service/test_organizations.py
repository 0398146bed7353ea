"""The organization of a token by its stored row: who owns an id, what is cached, and what the database decides."""

import asyncio
from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

import pytest

from keywright.service.faults import OrganizationConflict, Overloaded, StorageUnavailable
from keywright.service.organizations import Organizations, TenantAuthenticator
from keywright.service.principal import Organization, Principal
from keywright.service.turns import Turns
from tests.service.fake_checking_store import FakeTime

ISSUER = "https://issuer.example/"
ACME = Organization.named(ISSUER, "org_acme")
OTHER = Organization.named(ISSUER, "org_other")
UUID4 = "6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21"


class Rows:
    """The stored organizations; `reads` counts the look-ups."""

    def __init__(self, *stored: Organization) -> None:
        self.stored = list(stored)
        self.reads = 0
        self.away = False

    async def organizations_like(self, claimed: Organization) -> Sequence[Organization]:
        self.reads += 1
        if self.away:
            raise StorageUnavailable("away")
        name = (claimed.issuer, claimed.external_id)
        return [row for row in self.stored if row.id == claimed.id or (row.issuer, row.external_id) == name]


class SlowRows(Rows):
    """Gives rows once it `may_answer`, and counts the look-ups under way."""

    def __init__(self, *stored: Organization) -> None:
        super().__init__(*stored)
        self.may_answer = asyncio.Event()
        self.under_way = 0

    async def organizations_like(self, claimed: Organization) -> Sequence[Organization]:
        self.under_way += 1
        await self.may_answer.wait()
        return await super().organizations_like(claimed)


class OneToken:
    """Accepts any token, whose text is the claim."""

    async def authenticate(self, token: str) -> Principal:
        organization = Organization.named(ISSUER, token)
        return Principal(issuer=ISSUER, subject="s", client_id=None, organization=organization, granted=None)


async def test_known_organization() -> None:
    """A stored organization is read once, and then never again."""
    rows = Rows(ACME)
    organizations = Organizations(rows)
    assert [await organizations.find(ACME) for _ in range(3)] == [ACME] * 3
    assert rows.reads == 1


async def test_new_organization() -> None:
    """An organization without a row is read every time, so a row that another process makes is found at once."""
    rows = Rows()
    organizations = Organizations(rows)
    assert [await organizations.find(ACME) for _ in range(2)] == [ACME] * 2
    assert rows.reads == 2
    rows.stored.append(Organization(ACME.id, "https://other.example/", "org_acme"))
    with pytest.raises(OrganizationConflict):
        await organizations.find(ACME)


async def test_look_ups_take_turns() -> None:
    """Look-ups of one organization wait for each other, not those of another; what one finds, the next ones have."""
    rows = SlowRows(ACME)
    turns = Turns(FakeTime(), most=4, alone=1, together=1, longest=10, longest_of_share=3)
    organizations = Organizations(rows, turns=turns)
    finds = [asyncio.create_task(organizations.find(ACME)) for _ in range(5)]
    finds.append(asyncio.create_task(organizations.find(OTHER)))
    await asyncio.sleep(0)
    assert (rows.under_way, turns.waiting) == (2, 3)
    rows.may_answer.set()
    found = await asyncio.gather(*finds, return_exceptions=True)
    assert found[:4] == [ACME] * 4
    assert isinstance(found[4], Overloaded)
    assert found[5] == OTHER
    assert (rows.reads, turns.taken, turns.waiting) == (2, 0, 0)


@pytest.mark.parametrize(
    "owner",
    [Organization(ACME.id, ISSUER, str(ACME.id)), Organization(ACME.id, "https://other.example/", ACME.external_id)],
)
async def test_id_of_another(owner: Organization) -> None:
    """An id that is stored for another external id or issuer is refused, every time."""
    organizations = Organizations(Rows(owner))
    for _ in range(2):
        with pytest.raises(OrganizationConflict) as refused:
            await organizations.find(ACME)
        assert refused.value.org_id == str(ACME.id)


async def test_row_of_an_earlier_version() -> None:
    """A row with the same issuer and external id decides, although the claim has another id now."""
    claim = str(uuid5(NAMESPACE_URL, "x"))
    before = Organization.of_uuid(ISSUER, claim)
    assert before is not None
    now = Organization.named(ISSUER, claim)
    assert now.id != before.id
    assert await Organizations(Rows(before)).find(now) == before
    # Also where somebody else has the id that the claim has now.
    assert await Organizations(Rows(Organization(now.id, ISSUER, "x"), before)).find(now) == before


async def test_uuid_in_capitals() -> None:
    """A UUID that was stored in capitals belongs to the same organization."""
    stored = Organization(Organization.named(ISSUER, UUID4).id, ISSUER, UUID4.upper())
    assert await Organizations(Rows(stored)).find(Organization.named(ISSUER, UUID4)) == stored


async def test_database_away() -> None:
    """While the database is away, a known organization goes on, and another one is our trouble."""
    rows = Rows(ACME)
    organizations = Organizations(rows)
    await organizations.find(ACME)
    rows.away = True
    assert await organizations.find(ACME) == ACME
    with pytest.raises(StorageUnavailable):
        await organizations.find(Organization.named(ISSUER, "org_globex"))


async def test_bounded() -> None:
    """A full cache drops its oldest entry, which is then read again."""
    stored = [Organization.named(ISSUER, f"org_{number}") for number in range(3)]
    rows = Rows(*stored)
    organizations = Organizations(rows, capacity=2)
    for organization in (*stored, *stored[1:]):
        await organizations.find(organization)
    assert rows.reads == 3
    await organizations.find(stored[0])
    assert rows.reads == 4


async def test_principal() -> None:
    """A principal has the organization of the stored row, and otherwise that of its token."""
    claim = str(uuid5(NAMESPACE_URL, "x"))
    before = Organization.of_uuid(ISSUER, claim)
    assert before is not None
    authenticator = TenantAuthenticator(OneToken(), Organizations(Rows(before)))
    assert (await authenticator.authenticate(claim)).organization == before
    assert (await authenticator.authenticate("org_acme")).organization == ACME
