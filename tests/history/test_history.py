"""
The history of revocations: nothing that is revoked or deleted is accepted later than the bound, and nothing that was
created is lost, while nodes are killed, processes stopped, feeds cut and the database restarted.

`KEYWRIGHT_HISTORY_OPERATIONS` says how many verifications to record; `make history` asks for a million.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from keywright.dev.issuer import DevIssuer
from keywright.storage.migrate import migrate
from keywright.storage.url import PostgresUrl, read
from tests.history import revoking, running
from tests.history.checker import History, Summary, summary, violations
from tests.history.delays import family
from tests.history.nodes import Node, create_verifier
from tests.history.running import Load, Nemesis, Run
from tests.live import environment
from tests.postgres import migrated_database, start_cluster

# One after the other: each of them loads the machine by itself.
pytestmark = [pytest.mark.early, pytest.mark.xdist_group("trouble")]

OPERATIONS = int(os.environ.get("KEYWRIGHT_HISTORY_OPERATIONS", "100000"))
# Shorter than the outages, so that both what goes on and what ends is seen.
OUTAGE_SECONDS = (4, 5)
DOWN_SECONDS = 7.0
PATIENCE_SECONDS = 600 + OPERATIONS // 250

ON_POSTGRESQL: list[Nemesis] = [
    running.stall_feeds,
    running.kill_a_node,
    revoking.revoke_while_a_node_starts,
    running.kill_another_node,
    running.stop_a_node_and_a_verifier,
    running.cut_verifiers_off,
]
ON_SQLITE: list[Nemesis] = [
    running.stall_feeds,
    running.kill_a_worker,
    running.stop_a_worker_and_a_verifier,
    running.kill_a_node,
    revoking.revoke_while_a_node_starts,
]

QUIET_SHARE = 0.2
"""The share of the time of all cores that processes of others take at most on a quiet machine."""
MOST_DELAYED_SHARE = 0.2
"""
The share of the verifications of which errors are not judged at most on a quiet machine. Not none: a node that starts
takes the cores from all others.
"""


def behind(lock: revoking.Lock) -> list[Nemesis]:
    """
    Make what is done to a system while revocations wait for a lock.

    To come first: for some time after a process was killed, receipts count it among those who may believe.
    """
    return [revoking.revoke_while_a_verifier_connects(lock), revoking.cut_off_after_waiting_revocations(lock)]


def judge(history: History, said: list[str], operations: int) -> Summary:
    """Assert that a history holds enough, and no violation."""
    told = summary(history)
    print(told, f"{history.share_of_others:.2f} of the machine was taken by others.")
    found = violations(history)
    counts = Counter(violation.rule for violation in found)
    assert not found, f"{counts}\n" + "\n".join(map(str, [*found[:30], *said]))
    assert len(history.verifies) >= operations
    # No verifier may have been spared.
    assert set(told.soon_after_end) == set(history.outage_seconds)
    assert min(told.soon_after_end.values()) > operations // 200, told
    assert min(told.soon_after_creation.values()) > operations // 200, told
    # On a quiet machine errors are judged: what the system itself keeps waiting is no excuse.
    if history.share_of_others < QUIET_SHARE:
        assert told.delayed < MOST_DELAYED_SHARE * len(history.verifies), told
    return told


@pytest.mark.timeout(PATIENCE_SECONDS)
async def test_on_postgresql(issuer: DevIssuer, tmp_path: Path) -> None:
    """Three nodes and two verifiers on PostgreSQL keep every promise through every kind of trouble."""
    cluster = await asyncio.to_thread(start_cluster)
    try:
        url = await asyncio.to_thread(migrated_database, cluster)

        async def restart_the_database(run: Run, turn: int) -> None:
            async with run.disturbed("restarted PostgreSQL", (), away=run.everybody):
                await asyncio.to_thread(cluster.restart)

        async def crash_the_database(run: Run, turn: int) -> None:
            async with run.disturbed("crashed PostgreSQL", (), away=run.everybody):
                await asyncio.to_thread(cluster.stop, "immediate")
                await asyncio.sleep(DOWN_SECONDS)
                await asyncio.to_thread(cluster.start)

        address = read(url)
        assert isinstance(address, PostgresUrl)
        settings = environment(
            issuer, database_url=url, metrics="off", log_level="warning", outage_seconds=str(OUTAGE_SECONDS[0])
        )
        history, said = await running.run(
            nodes=[Node("a", settings), Node("b", settings), Node("c", settings, workers=2)],
            credentials=[await asyncio.to_thread(create_verifier, url, name) for name in ("calls", "one", "two")],
            token=issuer.token("acme", expires_in=36_000),
            nemeses=[
                *behind(revoking.row_lock(address.dsn)),
                *ON_POSTGRESQL,
                restart_the_database,
                crash_the_database,
            ],
            load=Load(operations=OPERATIONS),
            outage_seconds=OUTAGE_SECONDS,
            folder=tmp_path,
            database_pids=lambda: [] if (pid := cluster.pid()) is None else family(pid),
        )
    finally:
        await asyncio.to_thread(cluster.remove)
    told = judge(history, said, OPERATIONS)
    # The outages were outages: some went on by what they held, and then nobody did.
    assert told.stale_accepts_after_end > 0, told
    assert told.outcomes["unavailable"] > 0, told
    assert told.receipts > 0, told


@pytest.mark.timeout(PATIENCE_SECONDS)
async def test_on_sqlite(issuer: DevIssuer, tmp_path: Path) -> None:
    """Two nodes on one file, one with two processes, two verifiers and an agent keep every promise through it all."""
    path = tmp_path / "keywright.db"
    url = f"sqlite:///{path}"
    migrate(url)
    operations = OPERATIONS // 5
    settings = environment(
        issuer, database_url=url, metrics="off", log_level="warning", outage_seconds=str(OUTAGE_SECONDS[0])
    )
    history, said = await running.run(
        nodes=[Node("a", settings, workers=2), Node("b", settings)],
        credentials=[await asyncio.to_thread(create_verifier, url, name) for name in ("calls", "one", "two", "agent")],
        token=issuer.token("acme", expires_in=36_000),
        nemeses=[*behind(revoking.write_lock(path)), *ON_SQLITE],
        load=Load(operations=operations),
        outage_seconds=OUTAGE_SECONDS,
        folder=tmp_path,
    )
    judge(history, said, operations)
