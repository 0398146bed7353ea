"""
Replicated PostgreSQL: while the primary is switched, killed and cut off, nothing acknowledged is lost, no revoked key
is accepted past the bound, and nobody has to restart anything.

`make ha` does all of it, for longer: `KEYWRIGHT_HA=whole`. Without it, the two failovers that differ most.
"""

import asyncio
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from keywright.dev.issuer import DevIssuer
from keywright.storage.migrate import migrate
from tests.ha.failovers import Failovers, without_writes
from tests.ha.patroni import PatroniCluster, running
from tests.history import running as history
from tests.history.checker import Deed, History, summary, violations
from tests.history.load import Load
from tests.history.nodes import Node, create_verifier
from tests.live import environment
from tests.provision import unavailable

# By itself, as the other runs that load a machine.
pytestmark = [pytest.mark.early, pytest.mark.xdist_group("trouble")]

WHOLE = os.environ.get("KEYWRIGHT_HA") == "whole"
OUTAGE_SECONDS = (60, 60)
LOAD = Load(
    operations=1,
    keys_in_a_second=6,
    singles=2,
    batches=1,
    in_a_batch=10,
    batch_pause=0.05,
    sdk_at_once=3,
    idempotent=True,
)
DISK_BYTES = 400 << 20


def test_failovers(issuer: DevIssuer, tmp_path: Path) -> None:
    """Killed, and left running without knowing it: a former primary costs no write and admits nobody."""
    # Patroni's own times, shorter than those of the documentation: what is waited for here is waited for often.
    with running(ttl=7, loop_wait=1) as cluster:
        failovers = Failovers(cluster)
        nemeses = [failovers.stop_the_guard, failovers.kill_the_primary]
        judge(*_recorded(cluster, failovers, nemeses, issuer, tmp_path), failovers, cluster)


@pytest.mark.skipif(not WHOLE, reason="takes minutes: make ha")
@pytest.mark.timeout(1800)
def test_every_failover(issuer: DevIssuer, tmp_path: Path) -> None:
    """The same through every kind of failover, with the times of Patroni that the documentation recommends."""
    with ExitStack() as held:
        disks = [held.enter_context(small_disk()) for _ in range(3)]
        cluster = held.enter_context(running(data_folders=disks))
        failovers = Failovers(cluster)
        nemeses = [
            failovers.stop_the_guard,
            failovers.switch_over,
            failovers.kill_the_primary,
            failovers.stop_the_primary,
            failovers.promote_a_lagging_standby,
            failovers.fill_the_disk(lambda member: member.data),
            failovers.switch_over,
        ]
        judge(*_recorded(cluster, failovers, nemeses, issuer, tmp_path), failovers, cluster)


def _recorded(
    cluster: PatroniCluster,
    failovers: Failovers,
    nemeses: list[history.Nemesis],
    issuer: DevIssuer,
    folder: Path,
) -> tuple[History, list[str]]:
    migrate(cluster.url)
    settings = environment(
        issuer,
        database_url=cluster.url,
        metrics="off",
        log_level="warning",
        outage_seconds=str(OUTAGE_SECONDS[0]),
    )
    backwards = cluster.url_of(cluster.members[::-1])
    return asyncio.run(
        history.run(
            nodes=[Node("a", settings), Node("b", {**settings, "KEYWRIGHT_DATABASE_URL": backwards})],
            credentials=[create_verifier(cluster.url, name) for name in ("calls", "one", "two")],
            token=issuer.token("acme", expires_in=36_000),
            nemeses=nemeses,
            load=LOAD,
            outage_seconds=OUTAGE_SECONDS,
            folder=folder,
            database_pids=cluster.pids,
            ways=("agent", "agent"),
        )
    )


def judge(told: History, said: list[str], failovers: Failovers, cluster: PatroniCluster) -> None:
    """Assert that the history has no violation, and that the database has all that was acknowledged, once."""
    print(summary(told), *without_writes(told, failovers.done), sep="\n")
    found = violations(told)
    counts = Counter(violation.rule for violation in found)
    assert not found, f"{counts}\n" + "\n".join(map(str, [*found[:30], *said]))
    acknowledged = {change.key for change in told.changes if change.deed is Deed.CREATE and change.acknowledged}
    stored = Counter(name for (name,) in cluster.execute("SELECT name FROM api_keys"))
    lost = {f"key {number}" for number in acknowledged} - stored.keys()
    assert not lost, f"acknowledged, and not there: {sorted(lost)}"
    twice = {name for name, number in stored.items() if number > 1}
    assert not twice, f"created twice by one request that was sent again: {sorted(twice)}"
    # Not an empty proof: everybody went on checking, and keys ended before, during and after.
    assert min(summary(told).soon_after_end.values()) > 0
    assert len(told.changes) > 10 * len(failovers.done)


@contextmanager
def small_disk() -> Iterator[Path]:
    """Provide a file system of its own in memory, of `DISK_BYTES`."""
    folder = Path(tempfile.mkdtemp(prefix="kw-disk-", dir="/tmp"))
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
        if mounted.returncode:
            unavailable("a file system in memory", "sudo make ha")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False, capture_output=True)
        folder.rmdir()
