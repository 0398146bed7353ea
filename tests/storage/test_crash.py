"""What is left when a process that writes is ended without warning."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from keywright.storage.engine import open_store
from keywright.storage.migrate import migrate
from tests.postgres import migrated_database
from tests.storage.contract import assert_trail_agrees
from tests.storage.making import Database

ROOT = Path(__file__).parents[2]
KILLS = 5


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Give a migrated database of each engine."""
    if request.param == "postgresql":
        return Database(migrated_database(request.getfixturevalue("postgres_cluster")))
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    migrate(url)
    return Database(url)


async def test_killed_while_creating(database: Database) -> None:
    """Every key that was acknowledged before a SIGKILL is there, whole and with its event, however often it happens."""
    acknowledged: dict[UUID, tuple[UUID, str]] = {}
    for number in range(KILLS):
        acknowledged |= _create_and_kill(database.url, after=100 + 37 * number)
    store = open_store(database.url)
    try:
        for key_id, (org_id, _) in acknowledged.items():
            assert await store.get(org_id, key_id) is not None
    finally:
        await store.close()
    digests = {row["key_id"]: row["secret_digest"].hex() for row in database.table("api_key_secrets")}
    assert acknowledged.keys() <= digests.keys()
    assert all(digests[key_id] == digest for key_id, (_, digest) in acknowledged.items())
    assert_trail_agrees(database)


def _create_and_kill(url: str, *, after: int) -> dict[UUID, tuple[UUID, str]]:
    """Have a process create keys, kill it after it has acknowledged some, and give all that it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.creating_child", url],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    # The last line may have been cut off.
    whole = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return {UUID(key_id): (UUID(org_id), digest) for org_id, key_id, digest in whole}
