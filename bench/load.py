"""
A load generator: one request over and over, on a number of connections that each wait for their answer.

It parses no more of an answer than its status and its length, so that on two cores it is the server that is measured.
"""

import asyncio
import time
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
    def __init__(self, request: bytes, until: float, latencies: list[float], statuses: dict[int, int]) -> None:
        self._request = request
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
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = received[:head_end].lower()
        field = head.find(b"content-length:")
        length = 0 if field < 0 else int(head[field + 15 :].split(b"\r\n", 1)[0])
        if len(received) < head_end + 4 + length:
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


async def run(base_url: str, request: bytes, *, connections: int, seconds: float) -> Result:
    """Send *request* from *connections* connections for *seconds*."""
    url = urlsplit(base_url)
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: _Connection(request, started + seconds, latencies, statuses), url.hostname, url.port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in opened))
    return Result(time.perf_counter() - started, sorted(latencies), statuses)


def request_bytes(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    """Write one request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
