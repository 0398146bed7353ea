"""What is done to three PostgreSQL servers while keys are created, checked and revoked: see `running.Nemesis`."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.ha.patroni import Member, PatroniCluster
from tests.history.checker import History
from tests.history.running import Nemesis, Run

_FILLER_BYTES = 1 << 20
_TWO_AT_ONCE_SECONDS = 8.0


class Failovers:
    """
    Nemeses of one cluster, which keep what they did.

    Each lasts until another server, or the same one again, takes writes, and all three servers run as before.
    """

    def __init__(self, cluster: PatroniCluster) -> None:
        self._cluster = cluster
        self.done: list[tuple[str, float, float]] = []
        """What was done, when it began, and when the cluster was whole again."""

    async def switch_over(self, run: Run, turn: int) -> None:
        """Have the primary hand over, as for maintenance."""
        await self._do(run, "switched over", self._cluster.switch_over)

    async def kill_the_primary(self, run: Run, turn: int) -> None:
        """Kill the primary and its Patroni, and start them again once another one has taken over."""
        await self._do(run, "killed the primary", self._kill)

    async def stop_the_primary(self, run: Run, turn: int) -> None:
        """Stop the primary and its Patroni as a partition does: nobody answers, and connections stay open."""
        await self._do(run, "cut the primary off", self._stop)

    async def stop_the_guard(self, run: Run, turn: int) -> None:
        """
        Stop the primary's Patroni alone: the server goes on answering while another one takes over.

        The last node is started anew meanwhile, and finds the new primary, so that there is somebody who acknowledges
        changes of which the former one knows nothing. To come first: that node tries the first member last.
        """
        former = self._primary()
        what = "left a former primary running"
        async with self._done(run, what):
            former.signal_patroni(signal.SIGSTOP)
            try:
                await asyncio.to_thread(self._await_another, former)
                await run.nodes[-1].kill()
                await run.nodes[-1].start()
                # Now there are two that take connections, and one of them does not know.
                (answer,) = await asyncio.to_thread(self._cluster.execute, "SELECT pg_is_in_recovery()", member=former)
                assert answer == (False,)
                await asyncio.sleep(_TWO_AT_ONCE_SECONDS)
            finally:
                former.signal_patroni(signal.SIGCONT)

    async def promote_a_lagging_standby(self, run: Run, turn: int) -> None:
        """Let the standby that confirms writes apply none of them for a while, and then kill the primary."""
        await self._do(run, "promoted a lagging standby", self._lag)

    def fill_the_disk(self, files: Callable[[Member], Path]) -> Nemesis:
        """Make a nemesis that fills the file system of the primary, and then gives the room back."""

        async def fill(run: Run, turn: int) -> None:
            await self._do(run, "filled the primary's disk", lambda: self._fill(files))

        return fill

    async def _do(self, run: Run, what: str, work: Callable[[], Any]) -> None:
        async with self._done(run, what):
            await asyncio.to_thread(work)

    @asynccontextmanager
    async def _done(self, run: Run, what: str) -> AsyncIterator[None]:
        """Do something in the block, wait until the cluster is whole again, and note it."""
        async with run.disturbed(what, (), away=run.everybody):
            began = time.monotonic()
            yield
            await asyncio.to_thread(self._cluster.await_whole)
            self.done.append((what, began, time.monotonic()))
            print(f"{what}: whole after {time.monotonic() - began:.1f} s", flush=True)

    def _primary(self) -> Member:
        leader = self._cluster.leader()
        assert leader is not None
        return leader

    def _await_another(self, former: Member) -> None:
        self._cluster.wait_for(lambda: self._cluster.another_leader(former) is not None)

    def _kill(self) -> None:
        former = self._primary()
        former.kill()
        self._await_another(former)
        former.start()

    def _stop(self) -> None:
        former = self._primary()
        former.stop()
        try:
            self._await_another(former)
        finally:
            former.go_on()

    def _lag(self) -> None:
        former, standby = self._primary(), self._cluster.synchronous_standby()
        assert standby is not None
        self._cluster.execute("SELECT pg_wal_replay_pause()", member=standby)
        time.sleep(4)
        former.kill()
        self._await_another(former)
        assert self._cluster.leader() is standby
        former.start()

    def _fill(self, files: Callable[[Member], Path]) -> None:
        full = self._primary()
        filler = files(full) / "filler"
        with filling(filler):
            time.sleep(10)


@contextmanager
def filling(path: Path) -> Iterator[None]:
    """Fill a file system with a file, for as long as the block lasts."""
    piece = b"x" * _FILLER_BYTES
    try:
        with path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(piece)
            except OSError:
                pass
        yield
    finally:
        path.unlink(missing_ok=True)


def without_writes(history: History, done: Sequence[tuple[str, float, float]]) -> Iterator[str]:
    """Say for each thing that was done how long no change was acknowledged then, and how long no key was accepted."""
    changed = sorted(change.end for change in history.changes if change.acknowledged)
    accepted = sorted(verify.end for verify in history.verifies if verify.outcome == 0)
    fresh = sorted(verify.end for verify in history.verifies if verify.outcome == 0 and not verify.stale)
    for what, began, ended in done:
        writes, fresh_ones, any_ones = (_longest_gap(ends, began, ended) for ends in (changed, fresh, accepted))
        yield (
            f"{what}: no write for {writes:.1f} s; no key accepted but as stale for {fresh_ones:.1f} s,"
            f" none at all for {any_ones:.1f} s"
        )


def _longest_gap(moments: Sequence[float], began: float, ended: float) -> float:
    inside = [began, *(moment for moment in moments if began < moment < ended), ended]
    return max(later - earlier for earlier, later in pairwise(inside))
