"""What is left when a process that writes is ended without warning."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from keywright.storage.engine import open_store
from tests.storage.chain import assert_chains
from tests.storage.contract import assert_trail_agrees
from tests.storage.making import NOON, Database

ROOT = Path(__file__).parents[2]
KILLS = 5


class Acknowledged(NamedTuple):
    """A secret, of a key that was created or rotated, and the request that it came of."""

    org_id: UUID
    key_id: UUID
    digest: bytes
    request_digest: bytes


async def test_killed_while_changing(database: Database) -> None:
    """
    Whatever was acknowledged before a SIGKILL is there, whole, however often it happens.

    Keys, secrets, events, their chains and the sealed answers of requests agree, also in what was never acknowledged.
    """
    acknowledged: list[Acknowledged] = []
    for number in range(KILLS):
        acknowledged += _change_and_kill(database.url, after=100 + 37 * number)
    store = open_store(database.url)
    try:
        for told in acknowledged:
            assert await store.get(told.org_id, told.key_id) is not None
            assert await store.sealed_answer(told.org_id, told.request_digest, NOON) is not None
        await assert_chains(store, database)
    finally:
        await store.close()
    keys = {row["secret_digest"]: row["key_id"] for row in database.table("api_key_secrets")}
    assert all(keys[told.digest] == told.key_id for told in acknowledged)
    # Each secret came of a request of its own.
    assert len(keys) == len(database.table("idempotent_answers"))
    assert_trail_agrees(database)


def _change_and_kill(url: str, *, after: int) -> list[Acknowledged]:
    """Have a process create and rotate keys, kill it after a while, and give all that it acknowledged."""
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
    return [
        Acknowledged(UUID(org_id), UUID(key_id), bytes.fromhex(digest), bytes.fromhex(request))
        for org_id, key_id, digest, request in whole
    ]
