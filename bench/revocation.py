"""
How long a revoked key goes on passing: from the acknowledgement of the revocation to the first refusal, by path.

    python -m bench.revocation [--revocations 200]

The key is in use all the time, so whoever checks it holds it; the revocation comes at a random moment. The time ends
when the first refusal has arrived, so the question that was answered with it is in it. Nodes are services of their own
on one database, workers are processes of one service.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import NamedTuple

from bench import figures
from bench.figures import Section, Table
from keywright.client import AsyncVerifier
from keywright.dev.issuer import DevIssuer
from keywright.keys.cache import BOUND_SECONDS
from tests.history.nodes import Node, create_verifier
from tests.history.wire import Connection
from tests.live import environment
from tests.postgres import migrated_database, start_cluster

KEYS = "/api/v2/api-keys"
POLL_SECONDS = 0.0005
LONGEST_WAIT_SECONDS = 0.1
MOST_TRIES = 200
SAYS = f"""\
The key is in use all the time, so whoever checks it holds it; it is asked about again {1000 * POLL_SECONDS:g} ms after
each answer, and that and the answer are in the time. Nodes are services of their own on one database, workers are
processes of one service. The promised bound is {1000 * BOUND_SECONDS:g} ms; a longer time ends the measurement."""

Check = Callable[[str], Awaitable[bool]]
"""Tells whether a key passes."""


class Path(NamedTuple):
    """A way from a revocation to whoever has to learn of it."""

    name: str
    revoke_through: Connection
    passes: Check


class Delays(NamedTuple):
    """Seconds, sorted."""

    seconds: Sequence[float]

    def percentile(self, share: float) -> float:
        """Give milliseconds."""
        return 1000 * self.seconds[min(len(self.seconds) - 1, int(len(self.seconds) * share))]


class Callers:
    """Makes connections as a verifier and as a customer."""

    def __init__(self, credential: str, token: str) -> None:
        self._credential = credential
        self._token = token

    def verifying(self, node: Node) -> Connection:
        """Connect as a verifier."""
        return Connection(*node.address, {"Authorization": f"Bearer {self._credential}"})

    def managing(self, node: Node) -> Connection:
        """Connect as a customer."""
        return Connection(*node.address, {"Authorization": f"Bearer {self._token}"})

    async def of_two_workers(self, node: Node) -> tuple[Connection, Connection]:
        """Connect as a customer to one worker, and as a verifier to another."""
        managing = self.managing(node)
        for _ in range(MOST_TRIES):
            verifying = self.verifying(node)
            if await are_of_two_workers(managing, verifying):
                return managing, verifying
            verifying.close()
        raise RuntimeError("every connection went to the same worker")


async def are_of_two_workers(managing: Connection, verifying: Connection) -> bool:
    """Tell whether two connections go to different workers."""
    return await _worker(managing) != await _worker(verifying)


async def _worker(connection: Connection) -> str:
    """Tell which worker answers on a connection: each begins its request ids with words of its own."""
    response = await connection.request("POST", f"{KEYS}/verify", {"key": "x"})
    return response.headers["x-request-id"].rpartition("-")[0]


def over_http(connection: Connection) -> Check:
    """Check keys by asking."""

    async def passes(key: str) -> bool:
        response = await connection.request("POST", f"{KEYS}/verify", {"key": key})
        assert response.status == 200, response
        return bool(response.json()["valid"])

    return passes


def in_process(verifier: AsyncVerifier) -> Check:
    """Check keys in this process."""

    async def passes(key: str) -> bool:
        return (await verifier.verify(key)).valid

    return passes


async def measure(path: Path, revocations: int) -> Delays:
    """Revoke as many keys."""
    return Delays(sorted([await _delay(path) for _ in range(revocations)]))


async def _delay(path: Path) -> float:
    created = (await path.revoke_through.request("POST", KEYS, {"name": "revocation"})).json()
    assert await path.passes(created["private_key"])
    refusal = asyncio.ensure_future(_first_refusal(path.passes, created["private_key"]))
    await asyncio.sleep(random.uniform(0.01, LONGEST_WAIT_SECONDS))
    assert not refusal.done()
    revoked = await path.revoke_through.request("PUT", f"{KEYS}/{created['id']}/revoke")
    acknowledged = time.monotonic()
    assert revoked.status == 200, revoked
    # One that was refused before its revocation was acknowledged did not pass for any time.
    return max(0.0, await refusal - acknowledged)


async def _first_refusal(passes: Check, key: str) -> float:
    while await passes(key):
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic()


async def paths_on(database: str, url: str, issuer: DevIssuer) -> AsyncGenerator[Path, None]:
    """Run what it takes on one database, and give one way after another."""
    env = environment(issuer, database_url=url, metrics="off", log_level="warning")
    credential = await asyncio.to_thread(create_verifier, url, "bench")
    callers = Callers(credential, issuer.token("acme", expires_in=36_000))
    async with AsyncExitStack() as held:
        one, two, workers = Node("one", env), Node("two", env), Node("workers", env, workers=2)
        nodes = (one, two, workers) if database == "PostgreSQL" else (one, workers)
        for node in nodes:
            held.push_async_callback(node.end)
            await node.start()
        verifier = await held.enter_async_context(AsyncVerifier(one.service.base_url, credential))
        yield Path(f"{database}: same process", callers.managing(one), over_http(callers.verifying(one)))
        managing, verifying = await callers.of_two_workers(workers)
        yield Path(f"{database}: other worker", managing, over_http(verifying))
        # Neither connection was lost and opened again meanwhile.
        assert await are_of_two_workers(managing, verifying)
        yield Path(f"{database}: SDK at the node that revokes", callers.managing(one), in_process(verifier))
        if database == "PostgreSQL":
            yield Path(f"{database}: other node", callers.managing(two), over_http(callers.verifying(one)))
            yield Path(f"{database}: SDK at another node", callers.managing(two), in_process(verifier))


async def main() -> None:
    """Measure and print a table."""
    arguments = figures.arguments(__doc__, revocations=200)
    revocations = arguments.revocations
    table = Table(
        "From the acknowledgement to the first refusal", ("path", "revocations", "p50 ms", "p99 ms", "max ms")
    )
    cluster = await asyncio.to_thread(start_cluster, fsync="on", full_page_writes="on")
    try:
        with tempfile.TemporaryDirectory() as folder, DevIssuer() as issuer:
            urls = {"SQLite": f"sqlite:///{folder}/keywright.db", "PostgreSQL": migrated_database(cluster)}
            for database, url in urls.items():
                async with aclosing(paths_on(database, url, issuer)) as paths:
                    async for path in paths:
                        delays = await measure(path, revocations)
                        percentiles = [delays.percentile(share) for share in (0.5, 0.99, 1.0)]
                        table.rows.append((path.name, revocations, *percentiles))
                        assert delays.seconds[-1] <= BOUND_SECONDS, "the bound is broken"
    finally:
        cluster.remove()
    figures.publish(Section("Revocation", SAYS, [table]), arguments.json)


if __name__ == "__main__":
    asyncio.run(main())
