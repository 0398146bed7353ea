"""
Revocations at a bad moment: while a node starts, and while a lock of the database keeps them waiting.

Each nemesis has the customer create keys of its own, waits until the verifiers know them, and then revokes all of them.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg

from tests.history.cut import Cut
from tests.history.managing import Customer, Kept
from tests.history.running import Nemesis, Run

IN_A_BURST = 100
"""Fewer than a process that verifies knows, see `child.MOST_PASSING`."""
BURST_SECONDS = 1.3
"""Longer than the end of a start takes, from the first connection that is accepted until the changes are followed."""
BEHIND_A_LOCK = 6
"""Fewer than a node has connections to PostgreSQL: ten would keep whatever else it is asked waiting, too."""
LOCK_SECONDS = 2.0
KNOWN_AFTER_SECONDS = 2.5
"""When nearly all new keys have been verified by everybody; see `running.Load`."""
_WRITE_PATIENCE_SECONDS = 10.0

GiveWay = Callable[[], Awaitable[None]]
"""Lets somebody else write for a moment, where nobody can."""
Lock = Callable[[Sequence[Kept]], AbstractAsyncContextManager[GiveWay]]
"""Keeps revocations of keys waiting for as long as the block lasts."""


async def burst(customer: Customer, keys: Sequence[Kept], node: str, *, with_receipts: bool = True) -> None:
    """Revoke keys through a node, at equal distances within `BURST_SECONDS`; wait until all are acknowledged."""
    async with asyncio.TaskGroup() as revoking:
        for key in keys:
            revoking.create_task(customer.revoke(key, node, with_receipts=with_receipts))
            await asyncio.sleep(BURST_SECONDS / len(keys))


async def revoke_while_a_node_starts(running: Run, turn: int) -> None:
    """Kill the node of a verifier, start it again, and meanwhile revoke through another node."""
    sdk = running.sdks[turn % len(running.sdks)]
    node, other = sdk.node, running.another_node(sdk.node)
    keys = await running.customer.keep(IN_A_BURST)
    await asyncio.sleep(KNOWN_AFTER_SECONDS)
    what = f"revoked through {other.name} while {node.name} started"
    async with running.disturbed(what, [node.name], away=running.names_of_sdks(node)):
        await node.kill()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(node.start())
            # So that the start ends within the burst.
            await asyncio.sleep(max(0.0, node.start_seconds - 0.8 * BURST_SECONDS))
            await burst(running.customer, keys, other.name)


def revoke_while_a_verifier_connects(lock: Lock) -> Nemesis:
    """
    Make a nemesis that keeps revocations waiting while a new verifier connects and comes to know the keys.

    Its feed is stalled when they go on: it believes the old state for the bound, and receipts are read at once.
    """

    async def nemesis(running: Run, turn: int) -> None:
        sdk = running.sdks[turn % len(running.sdks)]
        other = running.another_node(sdk.node)
        keys = await running.customer.keep(BEHIND_A_LOCK)
        sdk.child.tell("rest")
        await asyncio.sleep(KNOWN_AFTER_SECONDS)
        what = f"{sdk.name} connected while revocations waited"
        async with running.disturbed(what, running.names_of_nodes), asyncio.TaskGroup() as revoking:
            async with lock(keys) as give_way:
                for key in keys:
                    revoking.create_task(running.customer.revoke(key, other.name))
                await asyncio.sleep(0.2 * LOCK_SECONDS)
                sdk.child.tell("work")
                await asyncio.sleep(0.2 * LOCK_SECONDS)
                await give_way()
                await asyncio.sleep(0.6 * LOCK_SECONDS)
                await sdk.cutter.set(Cut.FEED_STALLED)
            await asyncio.sleep(LOCK_SECONDS)
            await sdk.cutter.set(Cut.NOTHING)

    return nemesis


def cut_off_after_waiting_revocations(lock: Lock, *, seconds: float = 8.0) -> Nemesis:
    """
    Make a nemesis that keeps revocations waiting, and cuts a verifier off for *seconds* when they go on.

    It serves what it knows for its outage time, counted from the end of the waiting and not from its beginning.
    """

    async def nemesis(running: Run, turn: int) -> None:
        sdk = running.sdks[turn % len(running.sdks)]
        other = running.another_node(sdk.node)
        keys = await running.customer.keep(BEHIND_A_LOCK)
        await asyncio.sleep(KNOWN_AFTER_SECONDS)
        what = f"{sdk.name} cut off after revocations had waited"
        async with running.disturbed(what, running.names_of_nodes, away=[sdk.name]), asyncio.TaskGroup() as revoking:
            async with lock(keys):
                for key in keys:
                    revoking.create_task(running.customer.revoke(key, other.name))
                await asyncio.sleep(LOCK_SECONDS)
                await sdk.cutter.set(Cut.DROPPED)
            await asyncio.sleep(seconds)
            await sdk.cutter.set(Cut.NOTHING)

    return nemesis


def row_lock(dsn: str) -> Lock:
    """Make a lock on the rows of the keys, in a connection of its own to PostgreSQL."""

    @asynccontextmanager
    async def locked(keys: Sequence[Kept]) -> AsyncIterator[GiveWay]:
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                ids = [key.id for key in keys]
                await connection.execute("SELECT 1 FROM api_keys WHERE id = ANY($1::uuid[]) FOR UPDATE", ids)
                yield _nobody_waits
        finally:
            await connection.close()

    return locked


async def _nobody_waits() -> None:
    """Do nothing: only the keys are locked."""


def write_lock(path: Path) -> Lock:
    """Make a lock on a SQLite file: nobody writes, and all else goes on."""

    @asynccontextmanager
    async def locked(_: Sequence[Kept]) -> AsyncIterator[GiveWay]:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)

        async def give_way() -> None:
            connection.execute("ROLLBACK")
            await asyncio.to_thread(_begin, connection)

        try:
            await asyncio.to_thread(_begin, connection)
            yield give_way
        finally:
            connection.close()

    return locked


def _begin(connection: sqlite3.Connection) -> None:
    """Wait for the lock; all who wait for it look once a millisecond, so that one of them comes before this does."""
    deadline = time.monotonic() + _WRITE_PATIENCE_SECONDS
    while True:
        time.sleep(0.002)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            assert time.monotonic() < deadline
        else:
            return
