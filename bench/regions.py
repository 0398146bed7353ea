"""
Three regions, each with five agents behind a line of its own to one service: 60 ms in each direction, and one piece in
a hundred waits for 200 to 800 ms, with all behind it (`bench/line.py`). Making a connection takes no round trip here.

Quiet: keys are revoked one after another while every agent checks one of them and a key that stays, 20 times a second.
The delay is the time from the answer to a revocation to the first refusal by an agent; the promised bound is 1,000 ms.
"Behind" is how long ago the agent had all changes, once a second. "Asked" are checks of the key that stays which took a
round trip to the service, because the agent was behind by more than the bound. Then each line is cut, and broken once.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from inspect import cleandoc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench.figures import Cell, Section, Table
from bench.line import Line, Weather
from bench.processes import CORES, PATIENCE_SECONDS, started
from bench.rounds import Plan
from bench.service import API_KEYS, VERIFY, Tree

REGIONS, AGENTS = ("near Frankfurt", "near São Paulo", "near Sydney"), 5
REVOCATIONS = 10
CUT_SECONDS = 5.0
EVERY_SECONDS = 0.05
ASKED_SECONDS = 0.1
PLACE = "sqlite"
_LAG = re.compile(rb"^keywright_feed_lag_seconds ([0-9.e+-]+)$", re.MULTILINE)
HEADS = (
    "region", "revocations seen", "p50 ms", "p99 ms", "longest ms", "behind p50 s", "behind longest s", "checks",
    "asked %", "stale %", "503 %", "feeds opened anew",
)  # fmt: skip
AFTER_HEADS = (
    "region",
    "stalls",
    "stale %",
    "503 %",
    "s until fresh",
    "feeds opened anew",
    "after a break: s",
    "feeds",
)


@dataclass(slots=True)
class Found:
    """What the checks of one region came to."""

    delays: list[float] = field(default_factory=list)
    behind: list[float] = field(default_factory=list)
    checks: int = 0
    asked: int = 0
    stale: int = 0
    unavailable: int = 0

    def share(self, number: int) -> float:
        """Give a number of checks in per cent of all."""
        return 100 * number / max(self.checks, 1)


class Agent:
    """One agent, asked over one connection at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def request(self, method: str, target: str, content: bytes = b"") -> tuple[int, bytes]:
        """Send a request; give the status and the body of the answer."""
        while self._streams:
            # An agent closes what is idle, just when it is used again, too.
            with suppress(OSError, asyncio.IncompleteReadError):
                return await self._request(*self._streams.pop(), method, target, content)
        return await self._request(*await asyncio.open_unix_connection(self._path), method, target, content)

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, target: str, content: bytes
    ) -> tuple[int, bytes]:
        head = f"{method} {target} HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answered.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        self._streams.append((reader, writer))
        return int(answered.split(b" ")[1]), body

    async def check(self, text: str) -> tuple[int, dict[str, Any]]:
        """Check a key."""
        status, body = await self.request("POST", VERIFY, json.dumps({"key": text}).encode())
        return status, json.loads(body)

    async def ready(self) -> None:
        """Wait until all changes have arrived."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError, asyncio.IncompleteReadError):
                if (await self.request("GET", "/readyz"))[0] == 200:
                    return
            await asyncio.sleep(EVERY_SECONDS)
        raise RuntimeError("an agent did not become ready")

    async def behind(self) -> float:
        """Give how many seconds ago it had all changes."""
        found = _LAG.search((await self.request("GET", "/metrics"))[1])
        return float("nan") if found is None else float(found[1])


@dataclass(slots=True)
class Region:
    """A line, and the agents behind it."""

    name: str
    line: Line
    agents: list[Agent]

    async def watch(self, text: str, found: Found, over: asyncio.Event) -> None:
        """Check a key that stays with all agents until *over*, and note how far each is behind."""
        await asyncio.gather(*(self._watch(agent, text, found, over) for agent in self.agents))

    async def _watch(self, agent: Agent, text: str, found: Found, over: asyncio.Event) -> None:
        looked = 0.0
        while not over.is_set():
            began = time.monotonic()
            status, body = await agent.check(text)
            took = time.monotonic() - began
            found.checks += 1
            found.asked += status == 200 and took > ASKED_SECONDS
            found.stale += body.get("stale", False)
            found.unavailable += status == 503
            if began - looked > 1.0:
                looked = began
                found.behind.append(await agent.behind())
            await asyncio.sleep(random.uniform(0.5, 1.5) * EVERY_SECONDS)

    async def fresh(self, since: float) -> float:
        """Wait until every agent has all changes of the last second; give how long after *since* that was."""
        for agent in self.agents:
            while await agent.behind() > 1.0:
                await asyncio.sleep(EVERY_SECONDS)
        return time.monotonic() - since


def section(tree: Tree, plan: Plan) -> Section:
    """Measure, and give the section of the report."""
    quiet, after = Table("Quiet", HEADS), Table(f"A cut of {CUT_SECONDS:g} s, then a break", AFTER_HEADS)
    with tree.service(PLACE) as server, ExitStack() as held:
        asyncio.run(_Run(tree, server.url, held).run(plan.rounds * REVOCATIONS, quiet, after))
    for table in (quiet, after):
        for row in table.named():
            print("  " + ", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return Section("Far regions", cleandoc(__doc__), [quiet, after])


class _Run:
    """One run against one service."""

    def __init__(self, tree: Tree, url: str, held: ExitStack) -> None:
        self._tree = tree
        self._url = url
        self._held = held
        self._headers = {"Authorization": f"Bearer {tree.database(PLACE).token}"}

    async def run(self, revocations: int, quiet: Table, after: Table) -> None:
        """Measure, and fill the tables."""
        async with AsyncExitStack() as lines:
            regions = [await self._region(name, number, lines) for number, name in enumerate(REGIONS)]
            await asyncio.gather(*(agent.ready() for region in regions for agent in region.agents))
            async with httpx.AsyncClient(
                base_url=self._url, headers=self._headers, trust_env=False, timeout=60
            ) as client:
                stays = await _created(client)
                for region in regions:
                    for agent in region.agents:
                        await agent.check(stays)
                opened = [region.line.feeds for region in regions]
                found = await self._watched(
                    regions, stays, lambda each: self._revoke(client, regions, each, revocations)
                )
                quiet.rows.extend(
                    _quiet_row(region, of_it, region.line.feeds - before)
                    for region, of_it, before in zip(regions, found, opened, strict=True)
                )
                for region in regions:
                    after.rows.append(await self._troubled(region, stays))

    async def _region(self, name: str, number: int, lines: AsyncExitStack) -> Region:
        address = urlsplit(self._url)
        line = Line(address.hostname or "", address.port or 0, Weather(), seed=number)
        url = f"http://127.0.0.1:{await line.start()}"
        lines.push_async_callback(line.close)
        folder = self._tree.demo()[2]
        agents = []
        for place in range(AGENTS):
            path = folder / f"agent-{number}-{place}.sock"
            env = self._tree.environment(
                url=url, verifier=self._tree.database(PLACE).credential, agent_listen=f"unix:{path}",
                agent_name=f"agent-{number}-{place}", metrics="path", log_level="error",
            )  # fmt: skip
            command = [sys.executable, "-m", "keywright", "agent"]
            self._held.enter_context(started(command, env=env, cwd=folder, log=folder / "agents", cores=CORES))
            agents.append(Agent(path))
        return Region(name, line, agents)

    async def _watched(
        self, regions: Sequence[Region], stays: str, work: Callable[[Sequence[Found]], Awaitable[object]]
    ) -> list[Found]:
        """Do *work* while all agents of these regions check a key that stays."""
        found, over = [Found() for _ in regions], asyncio.Event()
        watching = [
            asyncio.create_task(region.watch(stays, of_it, over)) for region, of_it in zip(regions, found, strict=True)
        ]
        try:
            await work(found)
        finally:
            over.set()
            await asyncio.gather(*watching)
        return found

    async def _revoke(
        self, client: httpx.AsyncClient, regions: Sequence[Region], found: Sequence[Found], number: int
    ) -> None:
        for _ in range(number):
            created = (await client.post(API_KEYS, json={"name": "regions"})).raise_for_status().json()
            revoked: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            waiting = [
                asyncio.create_task(_refused(agent, created["private_key"], revoked, of_it))
                for region, of_it in zip(regions, found, strict=True)
                for agent in region.agents
            ]
            await asyncio.sleep(random.uniform(0.8, 1.2))
            (await client.put(f"{API_KEYS}/{created['id']}/revoke")).raise_for_status()
            revoked.set_result(time.monotonic())
            await asyncio.gather(*waiting)

    async def _troubled(self, region: Region, stays: str) -> list[Cell]:
        """Cut the line of a region, mend it, and break its connections later."""
        opened, stalls = region.line.feeds, region.line.stalls
        fresh: list[float] = []

        async def cut(_: Sequence[Found]) -> None:
            region.line.cut()
            await asyncio.sleep(CUT_SECONDS)
            region.line.mend()
            await asyncio.sleep(0)
            fresh.append(await region.fresh(time.monotonic()))

        (found,) = await self._watched([region], stays, cut)
        after_the_cut = region.line.feeds - opened
        region.line.reset()
        # The gauge is written once a second.
        await asyncio.sleep(1.0)
        fresh.append(1.0 + await region.fresh(time.monotonic()))
        broken = region.line.feeds - opened - after_the_cut
        shares = found.share(found.stale), found.share(found.unavailable)
        return [region.name, region.line.stalls - stalls, *shares, fresh[0], after_the_cut, fresh[1], broken]


async def _created(client: httpx.AsyncClient) -> str:
    text: str = (await client.post(API_KEYS, json={"name": "regions"})).raise_for_status().json()["private_key"]
    return text


async def _refused(agent: Agent, text: str, revoked: "asyncio.Future[float]", found: Found) -> None:
    """Check a key until it is refused, and note how long after its revocation that was."""
    while (await agent.check(text))[1].get("code") != "revoked":
        await asyncio.sleep(EVERY_SECONDS / 2)
    at = time.monotonic()
    found.delays.append(max(0.0, at - await revoked))


def _quiet_row(region: Region, found: Found, opened: int) -> list[Cell]:
    delays, behind = sorted(found.delays), sorted(found.behind)
    p50, p99 = (1000 * delays[int(len(delays) * share)] for share in (0.5, 0.99))
    return [
        region.name, len(delays), p50, p99, 1000 * delays[-1], behind[len(behind) // 2], behind[-1], found.checks,
        found.share(found.asked), found.share(found.stale), found.share(found.unavailable), opened,
    ]  # fmt: skip
