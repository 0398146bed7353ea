"""Runs a history: a service on several nodes, processes that verify, a customer, and what is done to all of them."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self

from tests.history import nodes_child, sdk_child
from tests.history.checker import History, Window
from tests.history.child import recorded
from tests.history.cut import Cut, Cutter
from tests.history.delays import Delays, Watched
from tests.history.load import Load
from tests.history.managing import Customer
from tests.history.nodes import Node
from tests.live import clean_environment

RECORD_BYTES = 23
WAYS = ("tasks", "threads", "agent")
"""How the processes beside the nodes verify; see `sdk_child.Orders`."""
RECOVERY_SECONDS = 3.0
"""How long after it is mended the system may still be in trouble."""
CALM_SECONDS = 1.0
"""How long it is left in peace after that, so that trouble that stays shows."""
START_SECONDS = 180.0
_NEARLY = 0.8
"""The share of the operations at which it is not worth the time to do everything to the system once more."""
_ROOT = Path(__file__).parent.parent.parent


class Child:
    """A process that verifies; see `child.Keys` for what it is told."""

    def __init__(self, module: str, orders: nodes_child.Orders | sdk_child.Orders, folder: Path, name: str) -> None:
        self.recording = Path(orders.recording)
        self.said = folder / f"{name}.err"
        self._module = module
        self._orders = orders
        self._process: asyncio.subprocess.Process | None = None
        self._ended = False

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process."""
        assert self._process is not None
        return self._process

    async def __aenter__(self) -> Self:
        with self.said.open("wb") as said:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                stdin=asyncio.subprocess.PIPE,
                stderr=said,
                cwd=_ROOT,
                env=clean_environment(),
            )
        self.tell(json.dumps(asdict(self._orders)))
        return self

    def tell(self, line: str) -> None:
        """Write it a line; one that is stopped reads it later."""
        assert self.process.stdin is not None
        if self.process.returncode is None and not self._ended:
            self.process.stdin.write(line.encode() + b"\n")

    async def end(self) -> None:
        """Have it write what is left, and wait for its end; it is told nothing more."""
        self.tell("end")
        self._ended = True
        code = await asyncio.wait_for(self.process.wait(), START_SECONDS)
        assert code == 0, f"{self._module} ended with {code}:\n{self.said.read_text()[-4000:]}"

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()


@dataclass(eq=False)
class Sdk:
    """A process with a verifier in it, or an agent, and the proxy between it and its node."""

    name: str
    node: Node
    cutter: Cutter
    child: Child

    def stop(self) -> None:
        """Stop the process (SIGSTOP), until `go_on`."""
        self.child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self.child.process.send_signal(signal.SIGCONT)


class Run:
    """
    A system under way, and what was done to it so far.

    Args:
        nodes: The service, running.
        sdks: The processes with verifiers in them, running.
        customer: At work.
    """

    def __init__(self, nodes: Sequence[Node], sdks: Sequence[Sdk], customer: Customer) -> None:
        self.nodes = nodes
        self.sdks = sdks
        self.customer = customer
        self.windows: list[Window] = []

    @property
    def everybody(self) -> list[str]:
        """The names of all that verify."""
        return self.names_of_nodes + self.names_of_sdks()

    @property
    def names_of_nodes(self) -> list[str]:
        """The names of all nodes."""
        return [node.name for node in self.nodes]

    def names_of_sdks(self, node: Node | None = None) -> list[str]:
        """The names of the verifiers, all or those of one node."""
        return [sdk.name for sdk in self.sdks if node in (None, sdk.node)]

    def another_node(self, node: Node) -> Node:
        """Give a node that is not *node*."""
        return next(other for other in self.nodes if other is not node)

    @asynccontextmanager
    async def disturbed(self, what: str, names: Iterable[str], *, away: Iterable[str] = ()) -> AsyncIterator[None]:
        """
        Do something to the system, in the block, and wait until it must have recovered.

        Args:
            what: What is done.
            names: Who may meet errors, besides those of *away*.
            away: Who can ask nobody, and so may give stale verdicts.
        """
        start = time.monotonic()
        yield
        end = time.monotonic() + RECOVERY_SECONDS
        self.windows.append(Window(start, end, frozenset(away), away=True, what=what))
        self.windows.append(Window(start, end, frozenset(names), what=what))
        await asyncio.sleep(RECOVERY_SECONDS + CALM_SECONDS)


Nemesis = Callable[[Run, int], Awaitable[None]]
"""Does something to a running system; the number of the round chooses to whom."""


async def run(
    *,
    nodes: Sequence[Node],
    credentials: Sequence[str],
    token: str,
    nemeses: Sequence[Nemesis],
    load: Load,
    outage_seconds: tuple[int, int],
    folder: Path,
    database_pids: Callable[[], Iterable[int]] = tuple,
    ways: Sequence[str] = WAYS,
) -> tuple[History, list[str]]:
    """
    Let everything run until there are enough operations and every nemesis had its turn.

    Args:
        nodes: The service; started and ended here.
        credentials: Of verifiers: for the calls to nodes, and for those of *ways*, as many as there are.
        token: The customer's.
        outage_seconds: Of the nodes, and of the verifiers in processes of their own.
        folder: For recordings.
        database_pids: Gives the processes of the database, where it has any.

    Returns:
        What was recorded, and what was odd besides.
    """
    async with AsyncExitStack() as held:
        for node in nodes:
            held.push_async_callback(node.end)
        await asyncio.gather(*(node.start() for node in nodes))
        at_nodes = await held.enter_async_context(_at_nodes(nodes, credentials[0], load, folder))
        sdks = [
            await held.enter_async_context(
                _sdk(place, way, nodes, credentials[1 + place], load, outage_seconds[1], folder)
            )
            for place, way in enumerate(ways[: len(credentials) - 1])
        ]
        children = [at_nodes, *(sdk.child for sdk in sdks)]

        def tell(line: str) -> None:
            for child in children:
                child.tell(line)

        addresses = {node.name: node.address for node in nodes}
        customer = Customer(addresses, token, tell, in_a_second=load.keys_in_a_second, idempotent=load.idempotent)
        running = Run(nodes, sdks, customer)
        delays = Delays(_watched(running, at_nodes, database_pids))
        at_work = [asyncio.ensure_future(customer.go_on()), asyncio.ensure_future(delays.go_on())]
        try:
            await _disturb(running, nemeses, load, children)
            # Before the customer: what is done of a change that he no longer waits for, nobody would have noted.
            for child in children:
                await child.end()
        finally:
            ended_early = [task for task in at_work if task.done()]
            for task in at_work:
                task.cancel()
            await asyncio.wait(at_work)
        assert not ended_early, ended_early
        share_of_others = delays.share_of_others()
    longest = {node.name: float(outage_seconds[0]) for node in nodes}
    # What one of these answers from memory may be its node's.
    longest |= {sdk.name: float(max(outage_seconds)) for sdk in sdks}
    names = [[node.name for node in nodes], *([sdk.name] for sdk in sdks)]
    verifies = [
        verify for child, told in zip(children, names, strict=True) for verify in recorded(child.recording, told)
    ]
    history = History(
        verifies=verifies,
        changes=customer.changes,
        receipts=customer.receipts,
        windows=running.windows,
        outage_seconds=longest,
        delays=delays.recorded,
        share_of_others=share_of_others,
    )
    return history, customer.oddities + [child.said.read_text() for child in children]


def _watched(running: Run, at_nodes: Child, database_pids: Callable[[], Iterable[int]]) -> list[Watched]:
    """Say of every process whose requests pass it: the customer's are those of the nodes that they go to."""
    everybody = frozenset(running.everybody)
    return [
        # This one: the customer, and the way between verifiers and nodes.
        Watched(everybody, lambda: [os.getpid()]),
        Watched(everybody, database_pids),
        Watched(frozenset(running.names_of_nodes), partial(_pids, at_nodes)),
        *(Watched(frozenset([sdk.name]), partial(_pids, sdk.child)) for sdk in running.sdks),
        *(Watched(frozenset([node.name, *running.names_of_sdks(node)]), node.pids) for node in running.nodes),
    ]


def _pids(child: Child) -> list[int]:
    return [child.process.pid]


async def _disturb(running: Run, nemeses: Sequence[Nemesis], load: Load, children: Sequence[Child]) -> None:
    # Until the first keys are verified everywhere.
    await _until(lambda: all(child.recording.exists() and child.recording.stat().st_size for child in children))
    turn = 0
    while turn == 0 or _operations(children) < load.operations * _NEARLY:
        for nemesis in nemeses:
            await nemesis(running, turn)
        turn += 1
    while _operations(children) < load.operations:  # noqa: ASYNC110 - see `_until`
        await asyncio.sleep(CALM_SECONDS)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not condition():  # noqa: ASYNC110 - it is other processes that are waited for
            await asyncio.sleep(0.1)


def _operations(children: Sequence[Child]) -> int:
    return sum(child.recording.stat().st_size for child in children) // RECORD_BYTES


@asynccontextmanager
async def _at_nodes(nodes: Sequence[Node], credential: str, load: Load, folder: Path) -> AsyncIterator[Child]:
    orders = nodes_child.Orders(
        nodes=[(node.name, *node.address) for node in nodes],
        credential=credential,
        recording=str(folder / "nodes.recording"),
        singles=load.singles,
        batches=load.batches,
        in_a_batch=load.in_a_batch,
        single_pause=load.single_pause,
        batch_pause=load.batch_pause,
    )
    async with Child(nodes_child.__name__, orders, folder, "nodes") as child:
        yield child


@asynccontextmanager
async def _sdk(
    place: int, way: str, nodes: Sequence[Node], credential: str, load: Load, outage_seconds: int, folder: Path
) -> AsyncIterator[Sdk]:
    node, name = nodes[place % len(nodes)], f"{way}-{place}"
    cutter = Cutter(*node.address)
    async with cutter.forwarding() as url:
        orders = sdk_child.Orders(
            name=name,
            url=url,
            credential=credential,
            recording=str(folder / f"{name}.recording"),
            way=way,
            at_once=load.sdk_at_once,
            pause=load.sdk_pause,
            outage_seconds=outage_seconds,
        )
        async with Child(sdk_child.__name__, orders, folder, name) as child:
            yield Sdk(name, node, cutter, child)


async def stall_feeds(running: Run, turn: int, *, seconds: float = 3.0) -> None:
    """Stall the feeds, and nothing else: nobody may meet an error, nor give a stale verdict."""
    for sdk in running.sdks:
        await sdk.cutter.set(Cut.FEED_STALLED)
    await asyncio.sleep(seconds)
    for sdk in running.sdks:
        await sdk.cutter.set(Cut.NOTHING)
    await asyncio.sleep(CALM_SECONDS)


async def cut_verifiers_off(running: Run, turn: int, *, seconds: float = 6.5) -> None:
    """Cut all verifiers off altogether, one by silence and one by ended connections; then the other way round."""
    names = running.names_of_sdks()
    async with running.disturbed("cut off", names, away=names):
        for place, sdk in enumerate(running.sdks):
            await sdk.cutter.set((Cut.STALLED, Cut.DROPPED)[(turn + place) % 2])
        await asyncio.sleep(seconds)
        for sdk in running.sdks:
            await sdk.cutter.set(Cut.NOTHING)


async def kill_a_node(running: Run, turn: int) -> None:
    """Kill a node, and start it again."""
    node = running.nodes[turn % len(running.nodes)]
    async with running.disturbed(f"killed {node.name}", [node.name], away=running.names_of_sdks(node)):
        await node.kill()
        await node.start()


async def kill_another_node(running: Run, turn: int) -> None:
    """Kill the last node when the first one had been killed, and so on."""
    await kill_a_node(running, turn + len(running.nodes) - 1)


async def stop_a_node_and_a_verifier(running: Run, turn: int, *, seconds: float = 10.0) -> None:
    """Stop a node, and the verifier of another one, as a suspended machine is."""
    node = running.nodes[(turn + 1) % len(running.nodes)]
    sdk = next(sdk for sdk in running.sdks if sdk.node is not node)
    what = f"stopped {node.name} and {sdk.name}"
    async with running.disturbed(what, [node.name, sdk.name], away=running.names_of_sdks(node)):
        node.stop()
        sdk.stop()
        try:
            await asyncio.sleep(seconds)
        finally:
            node.go_on()
            sdk.go_on()


async def kill_a_worker(running: Run, turn: int) -> None:
    """Kill one of the processes of the first node; its supervisor starts another."""
    node = running.nodes[0]
    before = set(node.worker_pids())
    async with running.disturbed("killed a worker", [node.name, *running.names_of_sdks(node)]):
        os.kill(min(before), signal.SIGKILL)
        await _until(lambda: bool(set(node.worker_pids()) - before))


async def stop_a_worker_and_a_verifier(running: Run, turn: int, *, seconds: float = 10.0) -> None:
    """Stop one of the processes of the first node, and a verifier."""
    node, sdk = running.nodes[0], running.sdks[turn % len(running.sdks)]
    pid = node.worker_pids()[turn % 2]
    names, away = [node.name, sdk.name], running.names_of_sdks(node)
    async with running.disturbed(f"stopped a worker and {sdk.name}", names, away=away):
        os.kill(pid, signal.SIGSTOP)
        sdk.stop()
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
            sdk.go_on()
