"""
What counting rate limits costs: `PYTHONPATH=src python -m bench.limits`.

In memory, nanoseconds of processor time for each request, beside a look into a dictionary. Through a Redis of its own
on this machine, with one process: checks a second by 1 and by 64 tasks, beside bare calls of the same script, sent as
many at a time as there are tasks, with nothing worked out of the answers; and the processor time that either takes of
its process, which other work on the machine does not change. Medians; 1000 keys in turn.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import hiredis
import uvloop

from keywright.keys.rate_limiter import InMemoryRateLimiter
from keywright.keys.rate_limits import RateLimit
from keywright.rate_limiting import script, url
from keywright.rate_limiting.shared import SharedLimiter
from keywright.service.checking.local_rate_limiter import LocalRateLimiter
from tests.redis_server import RedisServer, start_redis

KEYS = [number.to_bytes(16, "big") for number in range(1000)]
LIMITS = tuple(RateLimit(f"limit-{number}", 1000, 60) for number in range(4))
TASKS = (1, 64)
RUNS = 5
ROUNDS = 20
CHECKS = {1: 5_000, 64: 40_000}


class Figures(NamedTuple):
    """Checks a second, and microseconds of processor time for each."""

    rate: float
    busy: float


def main() -> None:
    """Measure and print two tables."""
    print("| in memory | ns |\n|---|---|")
    held = dict.fromkeys(KEYS, 0)
    print(f"| a look into a dictionary | {_nanoseconds(held.get):,.0f} |")
    for count in (1, 4):
        print(f"| {count} of {count} limits spent | {_nanoseconds(_spending(LIMITS[:count])):,.0f} |")
    server = start_redis()
    try:
        print("\n| through Redis | tasks | checks/s | bare calls/s | ratio | processor µs | bare µs |")
        print("|---|---|---|---|---|---|---|")
        for count in (1, 4):
            for tasks in TASKS:
                print(_compared(server, LIMITS[:count], tasks))
    finally:
        server.remove()


def _compared(server: RedisServer, limits: Sequence[RateLimit], tasks: int) -> str:
    checks, bare = [], []
    for _ in range(RUNS):
        # In turn, so that whatever else the machine does falls on both.
        checks.append(uvloop.run(_through_the_limiter(server, limits, tasks)))
        bare.append(uvloop.run(_bare(server, limits, tasks)))
    rate, busy = (statistics.median(column) for column in zip(*checks, strict=True))
    bare_rate, bare_busy = (statistics.median(column) for column in zip(*bare, strict=True))
    rates = f"{rate:,.0f} | {bare_rate:,.0f} | {rate / bare_rate:.2f}"
    return f"| {len(limits)} of {len(limits)} limits spent | {tasks} | {rates} | {busy:.1f} | {bare_busy:.1f} |"


class _Watch:
    """Takes the time of a number of checks."""

    def __init__(self) -> None:
        self._began, self._busy = time.perf_counter(), time.process_time()

    def read(self, checks: int) -> Figures:
        return Figures(
            checks / (time.perf_counter() - self._began), (time.process_time() - self._busy) / checks * 1_000_000
        )


def _nanoseconds(call: Callable[[bytes], object]) -> float:
    figures = []
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        for key_id in KEYS:
            call(key_id)
        figures.append((time.thread_time_ns() - began) / len(KEYS))
    return statistics.median(figures)


def _spending(limits: Sequence[RateLimit]) -> Callable[[bytes], object]:
    book, clock = InMemoryRateLimiter(len(KEYS)), time.monotonic
    return lambda key_id: book.acquire(key_id, limits, clock(), 1)


async def _through_the_limiter(server: RedisServer, limits: Sequence[RateLimit], tasks: int) -> Figures:
    uncounted: list[int] = []
    limiter = SharedLimiter(
        url.read(server.url),
        LocalRateLimiter(monotonic=time.monotonic, capacity=len(KEYS)),
        monotonic=time.monotonic,
        on_uncounted=lambda: uncounted.append(1),
        patience=10,
    )

    async def check(first: int) -> None:
        for number in range(first, CHECKS[tasks], tasks):
            await limiter.acquire(KEYS[number % len(KEYS)], limits, 1)

    await limiter.start()
    watch = _Watch()
    await asyncio.gather(*(check(first) for first in range(tasks)))
    figures = watch.read(CHECKS[tasks])
    await limiter.close()
    assert not uncounted, "Redis was lost on the way"
    return figures


async def _bare(server: RedisServer, limits: Sequence[RateLimit], tasks: int) -> Figures:
    server.execute("SCRIPT", "LOAD", script.TEXT)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    parser = hiredis.Reader()
    watch = _Watch()
    for first in range(0, CHECKS[tasks], tasks):
        calls = [
            ("EVALSHA", script.DIGEST, *script.arguments(KEYS[number % len(KEYS)], limits, 1))
            for number in range(first, first + tasks)
        ]
        writer.write(b"".join(map(hiredis.pack_command, calls)))
        for _ in calls:
            while (answer := parser.gets()) is False:
                parser.feed(await reader.read(65536))
            assert isinstance(answer, bytes), answer
    figures = watch.read(CHECKS[tasks])
    writer.close()
    await writer.wait_closed()
    return figures


if __name__ == "__main__":
    main()
