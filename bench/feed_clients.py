"""
A load process: thousands of clients that follow the feed and acknowledge changes, each over connections of its own.

    python feed_clients.py HOST PORT CREDENTIAL CLIENTS

It prints `open` once every client is greeted. For each line on its input it prints one line of JSON: by digest,
the times at which the clients had the change, on the machine's monotonic clock, and how many feeds were opened anew.

A client does what a verifier does on the wire, and decodes only events with changes: real ones would take more of this
core than the service takes of the other. Where the service tells no time to spread acknowledgements over, they are sent
at once, by number.
"""

import asyncio
import json
import os
import random
import resource
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

_OPENED_AT_ONCE = 100


class Fleet:
    """All clients, and when each of them had which change."""

    def __init__(self, host: str, port: int, credential: str) -> None:
        self.host, self.port, self.credential = host, port, credential
        self.arrived: dict[str, list[float]] = defaultdict(list)
        self.repeated = 0
        self.opened_anew = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def head(self, method: str, path: str, length: int = 0) -> bytes:
        """Write the head of a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"Authorization: Bearer {self.credential}"]
        if length:
            lines += ["Content-Type: application/json", f"Content-Length: {length}"]
        return "\r\n".join([*lines, "", ""]).encode()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Client(asyncio.Protocol):
    """One client, over all of its streams."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.session = uuid.uuid4()
        self.greeted = asyncio.Event()
        self.cursor: str | None = None
        self.acknowledged: str | None = None
        self._seqs: list[int] = []
        self._waits = False
        self._rest = b""

    async def open(self) -> None:
        """Open a feed, and return once it is greeted."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self, self.fleet.host, self.fleet.port)
        path = f"/api/v2/verifier/feed?session={self.session}&name=client&outage_seconds=0"
        path += "" if self.cursor is None else f"&cursor={self.cursor}"
        transport.write(self.fleet.head("GET", path))
        await self.greeted.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Open another one."""
        self.fleet.opened_anew += 1
        self._rest = b""
        self.greeted.clear()
        self.fleet.start(self.open())

    def data_received(self, data: bytes) -> None:
        """Read events; a beat only as far as it is one."""
        now = time.monotonic()
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if b"event: beat" not in event:
                self._take(event.decode(), now)

    def _take(self, text: str, now: float) -> None:
        if "event: drop" in text:
            data = json.loads(text.partition("data: ")[2])
            for digest in data["digests"]:
                self.fleet.arrived[digest].append(now)
            self.cursor = text.partition("id: ")[2].partition("\n")[0]
            self._seqs += data["seqs"]
            if "within" not in data:
                self.fleet.start(self._acknowledge(0.0, by_position=False))
            elif not self._waits:
                self._waits = True
                self.fleet.start(self._acknowledge(random.uniform(0, data["within"]), by_position=True))
        elif "event: hello" in text:
            self.greeted.set()
            self.cursor = self.cursor or json.loads(text.partition("data: ")[2])["cursor"]
            self.acknowledged = self.acknowledged or self.cursor

    async def _acknowledge(self, seconds: float, *, by_position: bool) -> None:
        await asyncio.sleep(seconds)
        self._waits = False
        seqs, self._seqs = self._seqs, []
        body: dict[str, object] = {"session": str(self.session), "seqs": seqs}
        if by_position:
            body |= {"after": self.acknowledged, "to": self.cursor}
            self.acknowledged = self.cursor
        content = json.dumps(body).encode()
        while not await self._is_taken(content):
            self.fleet.repeated += 1
            await asyncio.sleep(random.uniform(1.0, 2.0))

    async def _is_taken(self, content: bytes) -> bool:
        try:
            reader, writer = await asyncio.open_connection(self.fleet.host, self.fleet.port)
            try:
                writer.write(self.fleet.head("POST", "/api/v2/verifier/ack", len(content)) + content)
                return (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return False


async def main(host: str, port: str, credential: str, clients: str) -> None:
    """Open all feeds, then answer each line of the input."""
    fleet = Fleet(host, int(port), credential)
    turns = asyncio.Semaphore(_OPENED_AT_ONCE)

    async def opened(client: Client) -> None:
        async with turns:
            await client.open()

    everyone = [Client(fleet) for _ in range(int(clients))]
    await asyncio.gather(*map(opened, everyone))
    print("open", flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        seen = {"arrived": fleet.arrived, "repeated": fleet.repeated, "opened_anew": fleet.opened_anew}
        print(json.dumps(seen), flush=True)
    # Not in order: thousands of tasks and connections would each complain of their end.
    os._exit(0)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(*sys.argv[1:]))
