"""The operator's part of both management clients, on a running service."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from keywright.client import AsyncManagementClient, KeywrightError, ManagementClient, Refused
from keywright.dev.issuer import DevIssuer
from tests.live import LiveService, environment, start_service

OPERATE = {"permissions": ["operate:api_keys"], "subject": "auth0|olivia"}


@pytest.fixture(scope="module")
def service(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service with an operator."""
    with start_service(environment(issuer, operator_org="org_operators")) as live:
        yield live


@pytest.fixture
def operator(service: LiveService, issuer: DevIssuer) -> Iterator[ManagementClient]:
    """The operator's client."""
    with ManagementClient(service.base_url, issuer.token("org_operators", **OPERATE)) as client:
        yield client


@pytest.fixture
def owner(service: LiveService, issuer: DevIssuer) -> Iterator[ManagementClient]:
    """The client of an organization."""
    with ManagementClient(service.base_url, issuer.token("org_owner", subject="auth0|owner")) as client:
        yield client


def test_a_leaked_key(operator: ManagementClient, owner: ManagementClient) -> None:
    """A leaked key is found, read and revoked, and its end is in the receipt and in the audit log of all."""
    created = owner.create("leaked")
    found = operator.operator.find(created.private_key.reveal())
    assert (found.found_by, found.api_key.id) == ("private_key", created.id)
    assert operator.operator.get(created.id) == owner.get(created.id)
    revoked = operator.operator.revoke(created.id, reason="key_compromise")
    assert revoked.revoked_by == "auth0|olivia"
    assert operator.operator.receipt(created.id).key_id == created.id
    (event,) = operator.operator.events(key_id=created.id, type="api_key.revoked").events
    assert (event.org_id, event.actor.subject) == (created.org_id, "auth0|olivia")


def test_many_keys(operator: ManagementClient, owner: ManagementClient) -> None:
    """Keys are listed over all organizations, and revoked by a preview and its start."""
    keys = [owner.create("one of many") for _ in range(3)]
    page = operator.operator.list(limit=2, org_id=keys[0].org_id)
    assert [key.id for key in page.api_keys] == [keys[2].id, keys[1].id]
    assert page.next is not None
    (organization,) = operator.operator.organizations(external_id="org_owner").organizations
    assert organization.id == keys[0].org_id
    assert organization in operator.operator.organizations().organizations
    preview = operator.operator.preview_revocation(org_id=organization.id, created_by="auth0|owner")
    assert (preview.status, preview.keys) == ("previewed", organization.active_keys)
    assert operator.operator.revocation(preview.id) == preview
    assert operator.operator.start_revocation(preview.id).revoked == preview.keys
    assert not owner.list(status="active").api_keys


def test_verifiers(operator: ManagementClient) -> None:
    """A verifier is created with a credential that does not show itself, listed, and revoked."""
    created = operator.operator.create_verifier("api-1")
    assert created.credential.reveal() not in repr(created)
    assert [each.name for each in operator.operator.verifiers()] == ["api-1"]
    assert operator.operator.revoke_verifier("api-1").revoked_at is not None
    with pytest.raises(Refused, match="no such"):
        operator.operator.revoke_verifier("a/b")


def test_asynchronous(service: LiveService, issuer: DevIssuer) -> None:
    """The asynchronous client has the same operations as coroutines."""

    async def work() -> Any:
        async with AsyncManagementClient(service.base_url, issuer.token("org_operators", **OPERATE)) as client:
            return await client.operator.organizations(limit=1)

    assert asyncio.run(work()).organizations is not None


def test_an_id_that_is_none(operator: ManagementClient) -> None:
    """A text that is no UUID is not sent; it could lead to another route."""
    with pytest.raises(KeywrightError):
        operator.operator.get("../verifiers")


def test_figures(operator: ManagementClient, owner: ManagementClient) -> None:
    """Each of the figures is read into its class, with the parameters of the query."""
    owner.create("counted")
    figures = operator.operator
    verdicts = figures.verdict_figures(per="hour")
    assert (verdicts.per, len(verdicts.periods)) == ("hour", 48)
    top = figures.top_figures(hours=2, limit=1)
    assert (top.since.minute, top.keys) == (0, ())
    assert len(figures.key_figures().since_last_use) == 7
    delays = figures.revocation_figures(hours=3)
    assert (delays.until - delays.since).total_seconds() == 3 * 3600
    (session,) = figures.verifier_figures().sessions
    assert session.kind == "server"
    with pytest.raises(Refused):
        figures.top_figures(limit=51)


async def test_figures_on_an_event_loop(service: LiveService, issuer: DevIssuer) -> None:
    """The asynchronous client reads the same."""
    async with AsyncManagementClient(service.base_url, issuer.token("org_operators", **OPERATE)) as client:
        assert len((await client.operator.verdict_figures()).periods) == 60
        assert (await client.operator.verifier_figures()).more is False
