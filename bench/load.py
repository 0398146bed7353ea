"""
A load generator: the same requests over and over, on a number of connections that each wait for their answer.

It parses no more of an answer than its status and its length, so that on two cores it is the server that is measured.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Result:
    """What a run measured; `latencies` in seconds, sorted."""

    seconds: float
    latencies: list[float]
    statuses: dict[int, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency in milliseconds below which *share* of the answers came."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


class _Connection(asyncio.Protocol):
    def __init__(
        self, requests: Iterator[bytes], until: float, latencies: list[float], statuses: dict[int, int]
    ) -> None:
        self._requests = requests
        self._until = until
        self._latencies = latencies
        self._statuses = statuses
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = received[:head_end].lower()
        if not _is_whole(received, head, head_end + 4):
            return
        now = time.perf_counter()
        self._received = b""
        self._latencies.append(now - self._started)
        status = int(head[9:12])
        self._statuses[status] = self._statuses.get(status, 0) + 1
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _is_whole(received: bytes, head: bytes, body_start: int) -> bool:
    field = head.find(b"content-length:")
    if field < 0:
        return b"transfer-encoding:" not in head or received.endswith(b"0\r\n\r\n")
    return len(received) >= body_start + int(head[field + 15 :].split(b"\r\n", 1)[0])


async def run(base_url: str, requests: bytes | Sequence[bytes], *, connections: int, seconds: float) -> Result:
    """Send *requests*, one or several in turn, from *connections* connections for *seconds*."""
    url = urlsplit(base_url)
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    turn = itertools.cycle([requests] if isinstance(requests, bytes) else requests)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: _Connection(turn, started + seconds, latencies, statuses), url.hostname, url.port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in opened))
    return Result(time.perf_counter() - started, sorted(latencies), statuses)


def request_bytes(method: str, path: str, token: str | None, body: bytes = b"", **headers: str) -> bytes:
    """Write one request; *headers* by name, with underscores for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
