"""
Start a node many times while keys are revoked through another one, and count what a verifier at it missed.

    python -m tests.history.starts --engine sqlite --starts 200

Two nodes on one database, and a verifier at the second one that knows every key. In each round the second node is
killed and started again, and meanwhile all keys are revoked through the first one. From the bound on, counted from the
acknowledgement of each revocation, the verifier has to refuse the key. Ends with 1 when it accepted any.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from keywright.client.verifier import AsyncVerifier, Timing
from keywright.dev.issuer import DevIssuer
from keywright.keys.cache import BOUND_SECONDS
from tests.history.managing import Customer, Kept
from tests.history.nodes import Node, create_verifier
from tests.history.revoking import BURST_SECONDS, burst
from tests.live import environment
from tests.postgres import migrated_database, running_cluster

AT_ONCE = 20
SHORT_PAUSES = Timing(answer=10.0, longest_pause=0.1, silence=BOUND_SECONDS)
"""
The feed is asked for ten times a second, and waits for the node's first word no longer than it could make use of it: so
it is followed as soon as the node is there.
"""
MARGIN_SECONDS = 0.1
_LONGEST_ROUND_SECONDS = 120.0
_GLANCE_SECONDS = 0.02


@dataclass(slots=True)
class Counts:
    """What was seen so far."""

    starts: int = 0
    revoked: int = 0
    known: int = 0
    """Of the revoked keys, those that the verifier knew when the node was killed."""
    accepted: int = 0
    """Of the revoked keys, those that the verifier accepted beyond the bound."""

    def __str__(self) -> str:
        return (
            f"{self.starts} starts, {self.revoked} keys revoked ({self.known} known to the verifier), "
            f"{self.accepted} accepted beyond the bound"
        )


class Starts:
    """
    Two nodes, a customer of both, and a verifier at the second one.

    Args:
        keys: How many to revoke in each round.
    """

    def __init__(self, customer: Customer, nodes: Sequence[Node], verifier: AsyncVerifier, *, keys: int) -> None:
        self.counts = Counts()
        self._customer = customer
        self._stays, self._starts = nodes
        self._verifier = verifier
        self._keys = keys

    async def round(self) -> None:
        """Start the second node once, and count."""
        async with asyncio.timeout(_LONGEST_ROUND_SECONDS):
            await self._followed()
            keys = await self._customer.keep(self._keys)
            await self._accepted(keys)
            self.counts.known += sum(self._verifier.verify_now(key.text) is not None for key in keys)
            await self._start(keys)
            # Only then: a key that is asked for is not answered from what a stream has missed.
            await self._followed()
            await asyncio.sleep(BOUND_SECONDS + MARGIN_SECONDS)
            self.counts.accepted += await self._accepted(keys)
        self.counts.starts += 1
        self.counts.revoked += len(keys)

    async def _start(self, keys: Sequence[Kept]) -> None:
        await self._starts.kill()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._starts.start())
            # So that the start ends within the burst.
            await asyncio.sleep(max(0.0, self._starts.start_seconds - 0.8 * BURST_SECONDS))
            await burst(self._customer, keys, self._stays.name, with_receipts=False)

    async def _followed(self) -> None:
        while not self._verifier.following:  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(_GLANCE_SECONDS)

    async def _accepted(self, keys: Sequence[Kept]) -> int:
        """Have the verifier decide, a few at once; give how many it accepts, while the node answers."""
        verdicts = []
        for place in range(0, len(keys), AT_ONCE):
            some = keys[place : place + AT_ONCE]
            verdicts += await asyncio.gather(*(self._verifier.verify(key.text) for key in some))
        # A stale accept is none of these: the node did not answer, and the bound is another one then.
        return sum(verdict.valid and not verdict.stale for verdict in verdicts)


async def count(url: str, *, starts: int, keys: int, workers: int) -> Counts:
    """Start a node so many times; tell standard output of each tenth time, and of each that found something."""
    async with AsyncExitStack() as held:
        issuer = held.enter_context(DevIssuer())
        credential = await asyncio.to_thread(create_verifier, url, "starts")
        settings = environment(issuer, database_url=url, metrics="off", log_level="warning")
        nodes = [Node("stays", settings), Node("starts", settings, workers=workers)]
        for node in nodes:
            held.push_async_callback(node.end)
            await node.start()
        token = issuer.token("acme", expires_in=36_000)
        customer = Customer({node.name: node.address for node in nodes}, token, lambda _: None)
        held.push_async_callback(customer.leave)
        verifier = await held.enter_async_context(
            AsyncVerifier("http://{}:{}".format(*nodes[1].address), credential, timing=SHORT_PAUSES)
        )
        rounds = Starts(customer, nodes, verifier, keys=keys)
        for number in range(1, starts + 1):
            before = rounds.counts.accepted
            await rounds.round()
            if number % 10 == 0 or rounds.counts.accepted > before:
                print(rounds.counts, flush=True)
        return rounds.counts


@contextmanager
def database(engine: str) -> Iterator[str]:
    """Provide an empty database for as long as the block lasts."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="keywright-starts-") as folder:
            yield f"sqlite:///{Path(folder, 'keywright.db')}"
        return
    with running_cluster() as cluster:
        yield migrated_database(cluster)


def main(arguments: Sequence[str]) -> int:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.history.starts", description=__doc__.strip().split("\n")[0])
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--starts", type=int, default=200, help="how often to start the node (200)")
    parser.add_argument("--keys", type=int, default=100, help="how many keys to revoke during each start (100)")
    parser.add_argument("--workers", type=int, default=1, help="how many processes the node has that starts (1)")
    chosen = parser.parse_args(arguments)
    # That the feed is cut off is no news where its node is killed again and again.
    logging.getLogger("keywright.client").setLevel(logging.ERROR)
    began = time.monotonic()
    with database(chosen.engine) as url:
        counts = asyncio.run(count(url, starts=chosen.starts, keys=chosen.keys, workers=chosen.workers))
    print(f"{chosen.engine}: {counts}, in {time.monotonic() - began:.0f} s")
    return 1 if counts.accepted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
