"""One tenant names the id of another one, where tenants choose the value of the organization claim."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest

from keywright.api.verify.schemas import VERIFY
from keywright.dev.issuer import DevIssuer
from keywright.service.principal import Organization
from tests.api.caller import KEYS, Caller
from tests.live import LiveService
from tests.storage.checking_making import literal
from tests.storage.making import NOON, Database

Tenant = Callable[[str], Caller]
"""Gives a caller with this organization claim."""


@pytest.fixture
def tenant(service: LiveService, issuer: DevIssuer) -> Iterator[Tenant]:
    """Callers that are closed after the test."""
    with ExitStack() as open_callers:
        yield lambda claim: open_callers.enter_context(Caller(service, issuer, claim))


@pytest.fixture
def victim(tenant: Tenant) -> Caller:
    """A tenant whose claim is a name."""
    return tenant(f"org_{uuid.uuid4().hex[:16]}")


def derived_id(issuer: DevIssuer, organization: str) -> UUID:
    return Organization.named(issuer.url, organization).id


def store_organization(service: LiveService, organization: Organization) -> None:
    """Store a row, as an earlier version or another owner did."""
    database = Database(service.database_url)
    values = (organization.id, organization.issuer, organization.external_id, NOON)
    row = ", ".join(literal(database, value) for value in values)
    database.query(f"INSERT INTO organizations (id, issuer, external_id, created_at) VALUES ({row})")


def owners(service: LiveService, org_id: UUID) -> list[str]:
    rows = Database(service.database_url).table("organizations")
    return [row["external_id"] for row in rows if row["id"] == org_id]


def everything(caller: Caller, key: dict[str, Any]) -> dict[str, int]:
    """Try every operation on a key, and give the statuses."""
    path = f"{KEYS}/{key['id']}"
    return {
        "get": caller.http.get(path).status_code,
        "update": caller.http.patch(path, json={"name": "mine"}).status_code,
        "rotate": caller.http.post(f"{path}/rotate").status_code,
        "revoke": caller.http.put(f"{path}/revoke").status_code,
        "delete": caller.http.delete(path).status_code,
        "usage": caller.http.get(f"{path}/usage").status_code,
        "events": caller.http.get(f"{path}/events").status_code,
    }


def test_claim_with_a_derived_id(tenant: Tenant, victim: Caller, issuer: DevIssuer) -> None:
    """A tenant whose claim is another tenant's derived id finds nothing of it, and has an id of its own."""
    key = victim.create()
    org_id = derived_id(issuer, victim.organization)
    assert key["org_id"] == str(org_id)
    for claim in (str(org_id), str(org_id).upper(), f"{{{org_id}}}", f"urn:uuid:{org_id}", org_id.hex):
        attacker = tenant(claim)
        assert attacker.http.get(KEYS).json() == []
        assert set(everything(attacker, key).values()) == {404}
        assert attacker.create()["org_id"] != str(org_id)
    assert owners(victim.service, org_id) == [victim.organization]
    left = victim.http.get(f"{KEYS}/{key['id']}").json()
    assert {**left, "private_key": key["private_key"]} == key


def test_id_that_is_taken_before(tenant: Tenant, victim: Caller, issuer: DevIssuer) -> None:
    """A tenant whose id somebody else has is refused at every door; it neither reads nor writes what the other has."""
    claim = str(derived_id(issuer, victim.organization))
    store_organization(victim.service, Organization(UUID(claim), issuer.url, claim))
    owner = tenant(claim)
    key = owner.create()
    assert key["org_id"] == claim
    assert set(everything(victim, key).values()) == {403}
    for refused in (victim.http.get(KEYS), victim.http.post(KEYS, json={"name": "a"})):
        assert (refused.status_code, refused.json()["code"]) == (403, "organization_conflict")
        assert claim not in refused.text
    verify = {"Authorization": f"Bearer {issuer.token(victim.organization, permissions=['verify:api_keys'])}"}
    checked = victim.http.post(VERIFY, json={"key": key["private_key"]}, headers=verify)
    assert (checked.status_code, checked.json()["code"]) == (403, "organization_conflict")
    assert [each["id"] for each in owner.http.get(KEYS).json()] == [key["id"]]
    victim.service.await_log_line(event="organization conflict", level="warning")


def test_conflicts_are_logged_at_a_bounded_rate(tenant: Tenant, victim: Caller, issuer: DevIssuer) -> None:
    """A flood of refused claims is counted, and adds no warning for each and no event to the owner's audit log."""
    claim = str(derived_id(issuer, victim.organization))
    store_organization(victim.service, Organization(UUID(claim), issuer.url, claim))
    before = count_of_warnings(victim.service)
    for _ in range(200):
        assert victim.http.get(KEYS).status_code == 403
    # One in a minute; a machine that needs a minute for these is allowed another one.
    assert count_of_warnings(victim.service) - before < 10
    assert tenant(claim).http.get("/api/v2/api-key-events").json() == []
    assert victim.service.metrics_url is not None
    metrics = victim.http.get(victim.service.metrics_url).text
    assert 'keywright_token_refusals_total{code="organization_conflict"}' in metrics


def count_of_warnings(service: LiveService) -> int:
    return sum(line.get("event") == "organization conflict" for line in service.log())


def test_organization_of_an_earlier_version(tenant: Tenant, victim: Caller, issuer: DevIssuer) -> None:
    """An organization that an earlier version stored under its own UUID of version 5 still has it, and its keys."""
    claim = str(uuid.uuid5(uuid.NAMESPACE_DNS, victim.organization))
    store_organization(victim.service, Organization(UUID(claim), issuer.url, claim))
    assert tenant(claim).create()["org_id"] == claim
    assert len(tenant(claim).http.get(KEYS).json()) == 1


def test_organization_that_is_a_uuid(tenant: Tenant, victim: Caller) -> None:
    """An organization whose claim is a UUID of another version has that id, in any spelling."""
    claim = str(uuid.uuid4())
    assert tenant(claim.upper()).create()["org_id"] == claim
    assert tenant(claim).create()["org_id"] == claim
    assert owners(victim.service, UUID(claim)) == [claim]
