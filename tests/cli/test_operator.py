"""`keywright operator …`, on a database that no service runs on."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keywright.keys.pair import mint
from keywright.keys.record import RevocationReason
from keywright.keys.verdict import Code
from keywright.service.figures.ports import VerdictCount
from keywright.service.management.audit_log import SERVICE, EventType
from keywright.service.management.ports import NewApiKey
from keywright.service.operator.ports import KEYS_IN_A_STEP
from keywright.storage.engine import open_store
from tests import forked
from tests.live import clean_environment
from tests.storage.checking_making import a_batch, a_session, an_hourly_usage
from tests.storage.making import Database, an_event, an_organization, migrated_file, new_id, new_key


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Give a migrated database."""
    return migrated_file(tmp_path / "keywright.db")


def store(database: Database, *made: NewApiKey) -> None:
    async def work() -> None:
        running = open_store(database.url)
        await asyncio.gather(*(running.create(each) for each in made))
        await running.close()

    asyncio.run(work())


def run(database: Database, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run `keywright operator`, with *given* on standard input."""
    env = clean_environment({"KEYWRIGHT_DATABASE_URL": database.url})
    return forked.command("operator", *words, env=env, given=given)


def answered(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_find(database: Database) -> None:
    """A key is found by its id, and by a leaked private key from standard input, which is not printed."""
    pair = mint(b"a" * 32, brand="kw", environment="live")
    made = new_key(an_organization())
    made = type(made)(
        organization=made.organization, api_key=made.api_key, secret_digest=pair.private.digest, event=made.event
    )
    store(database, made)
    found = answered(run(database, "find", str(made.api_key.id), "--json"))
    assert (found["id"], found["organization"]) == (str(made.api_key.id), str(made.organization.id))
    leaked = run(database, "find", given=f"{pair.private.reveal()}\n")
    assert str(made.api_key.id) in leaked.stdout
    assert pair.private.reveal() not in leaked.stdout + leaked.stderr
    assert run(database, "find", "nothing").returncode == 1


def test_revoke(database: Database) -> None:
    """A key of any organization is revoked, and the event names the service; an unknown one is an error."""
    made = new_key(an_organization())
    store(database, made)
    found = answered(run(database, "revoke", str(made.api_key.id), "--json"))
    assert found["status"] == "revoked"
    (event,) = (row for row in database.table("events") if row["type"] == "api_key.revoked")
    assert (event["subject"], event["data"]) == (SERVICE, {"reason": "key_compromise", "operator": True})
    assert run(database, "revoke", str(made.organization.id)).returncode == 1


def test_revoke_all(database: Database) -> None:
    """All keys of a creator are revoked before the command ends, in as many steps as it takes; others stay."""
    acme = an_organization()
    made = [new_key(acme, created_by="u") for _ in range(KEYS_IN_A_STEP + 1)]
    store(database, made[0])
    store(database, *made[1:], new_key(acme, created_by="other"))
    assert answered(run(database, "organizations", "--json")) == [
        {"id": str(acme.id), "external_id": acme.external_id, "keys": len(made) + 1}
    ]
    assert acme.external_id in run(database, "organizations").stdout
    done = answered(run(database, "revoke-all", "--created-by", "u", "--json"))
    assert (done["keys"], done["revoked"]) == (len(made), len(made))
    left = [row["created_by"] for row in database.table("api_keys") if row["revoked_at"] is None]
    assert left == ["other"]
    assert "Revoked 1 keys" in run(database, "revoke-all", "--org", str(acme.id)).stdout
    assert run(database, "revoke-all").returncode == 2
    assert run(database, "revoke-all", "--org", str(made[0].api_key.id)).returncode == 1


async def _used_and_revoked(database: Database, made: NewApiKey) -> None:
    """Use and revoke a key, have a session acknowledge that, and count the keys: what processes do."""
    running, session, worker = open_store(database.url), a_session(name="node:1", version="0.1.0"), new_id()
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await running.create(made)
    await running.renew_session(session)
    await running.add_verdicts([VerdictCount(datetime.now(UTC), "valid", 7)], a_batch())
    await running.add_usage([an_hourly_usage(made, hour=hour, count=7)], a_batch())
    await running.add_usage([an_hourly_usage(made, hour=hour, count=2, code=Code.REVOKED)], a_batch())
    await running.revoke(an_event(EventType.REVOKED, made.api_key), RevocationReason.UNSPECIFIED)
    (change,) = database.query("SELECT max(seq) AS seq FROM changes")
    await running.confirm(session.id, [int(change["seq"])])
    count = await running.claim_key_count(worker)
    assert count is not None
    counted = await running.count_keys(count, limit=10)
    await running.keep_key_count(worker, count, counted.numbers, None)
    await running.close()


def test_figures(database: Database) -> None:
    """The figures are those of the API as JSON, one or all of them, and tables for people."""
    made = new_key(an_organization(), name="billing")
    asyncio.run(_used_and_revoked(database, made))
    found = answered(run(database, "figures", "--json"))
    assert [each["verdicts"] for each in found["verdicts"]["periods"] if each["verdicts"]] == [{"valid": 7}]
    (key,) = found["top"]["keys"]
    assert (key["key_id"], key["uses"], key["refusals"]) == (str(made.api_key.id), 7, 2)
    assert found["keys"]["states"] == {"active": 0, "disabled": 0, "expired": 0, "revoked": 1}
    assert (found["revocations"]["revocations"], found["revocations"]["acknowledgements"]) == (1, 1)
    assert [each["name"] for each in found["verifiers"]["sessions"]] == ["node:1"]
    top = answered(run(database, "figures", "top", "--hours", "1", "--limit", "1", "--json"))
    assert top["refused_keys"] == [key]
    shown = run(database, "figures")
    assert shown.returncode == 0, shown.stderr
    for text in ("valid", "billing", "node:1", "Acknowledgements", made.organization.external_id):
        assert text in shown.stdout


def test_misused_figures(database: Database) -> None:
    """A name, a period or a number that there is not is an error of its use."""
    for words in (("nothing",), ("verdicts", "--per", "week"), ("top", "--hours", "0"), ("top", "--limit", "51")):
        assert run(database, "figures", *words).returncode == 2
