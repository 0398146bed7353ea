"""A revocation of many keys survives: the service is killed in the middle of it, over and over, on both stores."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from keywright.dev.issuer import DevIssuer
from keywright.service.management.ports import NewApiKey
from keywright.service.principal import Organization
from keywright.storage.engine import open_store
from keywright.storage.migrate import migrate
from tests.conftest import database_url
from tests.live import PATIENCE_SECONDS, LiveService, bearer, environment, start_service
from tests.storage.chain import assert_chains
from tests.storage.making import Database, new_key

pytestmark = pytest.mark.early

KEYS = 2000
BULK = "/api/v2/operator/bulk-revocations"
OPERATOR = "org_operators"


async def store_keys(url: str, organization: Organization) -> list[NewApiKey]:
    """Store many keys of an organization, and one of another."""
    store = open_store(url)
    made = [new_key(organization) for _ in range(KEYS)]
    other = new_key(Organization.named(organization.issuer, "org_other"))
    try:
        await store.create(made[0])
        await asyncio.gather(*(store.create(each) for each in (*made[1:], other)))
    finally:
        await store.close()
    return [*made, other]


def revoked(database: Database) -> int:
    return int(database.query("SELECT count(*) AS n FROM api_keys WHERE revoked_at IS NOT NULL")[0]["n"])


def wait_for_progress(database: Database, before: int) -> int:
    """Wait until more keys are revoked than *before*, and give their number."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (now := revoked(database)) == before:
        assert time.monotonic() < deadline, f"stopped at {before}"
        time.sleep(0.005)
    return now


async def check_chains(url: str) -> None:
    store = open_store(url)
    try:
        await assert_chains(store, Database(url))
    finally:
        await store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed(kind: str, issuer: DevIssuer, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """However often all processes are killed, each key is revoked once, with one event, and one receipt covers all."""
    url = database_url(kind, tmp_path, request)
    migrate(url)
    made = asyncio.run(store_keys(url, Organization.named(issuer.url, "org_victim")))
    database = Database(url)
    env = environment(issuer, database_url=url, operator_org=OPERATOR)
    headers = bearer(issuer, OPERATOR, permissions=["operate:api_keys"], subject="auth0|olivia", expires_in=3600)

    def http_of(service: LiveService) -> httpx.Client:
        return httpx.Client(base_url=service.base_url, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS)

    service = start_service(env)
    with http_of(service) as http:
        preview = http.post(BULK, json={"org_id": str(made[0].api_key.org_id), "reason": "key_compromise"}).json()
        assert preview["keys"] == KEYS
        started = http.put(f"{BULK}/{preview['id']}/start").json()
    service.kill()
    done = revoked(database)
    assert done >= started["revoked"] == 500
    while done < KEYS:
        service = start_service(env)
        done = wait_for_progress(database, done)
        service.kill()
    with start_service(env) as service, http_of(service) as http:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := http.get(f"{BULK}/{preview['id']}").json())["status"] != "done" or (
            found["receipt"]["confirmed"] == 0
        ):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        assert found["revoked"] == KEYS
    events = [row for row in database.table("events") if row["type"] == "api_key.revoked"]
    keys = {each.api_key.id for each in made[:-1]}
    assert len(events) == KEYS
    assert {row["key_id"] for row in events} == keys
    assert {row["id"] for row in database.table("api_keys") if row["revoked_at"] is not None} == keys
    assert {row["subject"] for row in events} == {"auth0|olivia"}
    asyncio.run(check_chains(url))
