"""
What it costs to check a known key inside an API server, beside a bare SHA-256 and one look into a dict.

    python -m bench.inprocess [--rounds 200]

Nanoseconds a call; the cost of reading the clock, measured in the same run, is taken off. The reference does what no
checker can do without: it hashes the text as `keys.digest` does and looks the digest up. "In turn" asks for the same
keys over and over with the same words; "at random" picks among more keys than the verifier keeps verdicts ready for.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from bench import figures as told
from bench.figures import Section, Table
from keywright.client import AsyncVerifier, Verifier
from keywright.keys.digest import digest
from keywright.keys.pair import mint, mint_credential

KEYS = 20_000
IN_TURN = 1000
BEAT_SECONDS = 0.2
FEED = "/api/v2/verifier/feed"
SAYS = f"""\
Nanoseconds a call; the cost of reading the clock, measured in the same run, is taken off. The reference is what no
checker can do without: SHA-256 of the text as `keys.digest` does it, and one look into a dict. "In turn": the same
{IN_TURN:,} keys over and over, asked with the same words; "at random": among {KEYS:,}, more than the verifier keeps
verdicts ready for."""


class Service(httpx.AsyncBaseTransport):
    """A service in the same process that knows every key and never changes one."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        if request.url.path == FEED:
            return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Beats())
        if request.method == "POST" and "verify" in request.url.path.rsplit("/", 1)[-1]:
            return httpx.Response(200, json=_ANSWER)
        return httpx.Response(204)


class _Beats(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        began = time.monotonic()
        yield _event("hello", cursor=0, time=time.time(), elapsed=0.0, age=0.0, bound=1.0)
        while True:
            yield _event("beat", cursor=0, elapsed=time.monotonic() - began, age=0.0)
            await asyncio.sleep(BEAT_SECONDS)


_SHOWN = {
    "id": str(uuid4()),
    "org_id": str(uuid4()),
    "name": "n",
    "environment": "live",
    "scopes": ["a:read", "b:read"],
}
_ANSWER = {
    "valid": True,
    "code": "valid",
    "api_key": {**_SHOWN, "expires_at": None},
    "facts": {"revoked": False, "expires_at": None},
}


def _event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class Figures(NamedTuple):
    """Nanoseconds a call."""

    p50: float
    p99: float


def measure(call: Callable[[str], Any], texts: Sequence[str], overhead: float) -> Figures:
    """Call with each text and time each call."""
    clock = time.perf_counter_ns
    taken = []
    for text in texts:
        started = clock()
        call(text)
        taken.append(clock() - started)
    taken.sort()
    return Figures(taken[len(taken) // 2] - overhead, taken[int(len(taken) * 0.99)] - overhead)


async def measure_followed(call: Callable[[str], Any], texts: Sequence[str], overhead: float) -> Figures:
    """Measure, and again where a busy machine kept the feed away meanwhile: nothing is answered from memory then."""
    while True:
        measure(call, texts[:2000], overhead)
        figures = measure(call, texts, overhead)
        followed = call(texts[0]) is not None
        await asyncio.sleep(BEAT_SECONDS / 4)
        if followed:
            return figures


def nothing(text: str) -> None:
    """Be called."""


async def measure_all(texts: list[str], rounds: int) -> Table:
    """Measure both verifiers and the reference."""
    table = Table("One call", ("keys", "call", "p50 ns", "p99 ns", "× reference"))
    held = {digest(text): number for number, text in enumerate(texts)}

    def reference(text: str) -> int | None:
        return held.get(digest(text))

    options: dict[str, Any] = {"transport": Service()}
    credential = mint_credential(os.urandom(32), brand="kw").reveal()
    orders = {
        f"{IN_TURN:,} keys in turn": texts[:IN_TURN] * rounds,
        f"{len(texts):,} keys at random": random.choices(texts, k=IN_TURN * rounds),
    }
    with Verifier("http://localhost", credential, **options) as verifier:
        async with AsyncVerifier("http://localhost", credential, **options) as async_verifier:
            while not (async_verifier.following and verifier.following):
                await asyncio.sleep(0.01)
            for text in texts:
                assert await async_verifier.verify(text)
                assert await asyncio.to_thread(verifier.verify, text)
            calls: dict[str, Callable[[str], Any]] = {
                "reference": reference,
                "Verifier.verify_now": verifier.verify_now,
                "AsyncVerifier.verify_now": async_verifier.verify_now,
                "... with scopes, address and agent": lambda text: async_verifier.verify_now(
                    text, scopes=("a:read",), client_ip="192.0.2.7", user_agent="python-httpx/0.28.1"
                ),
                "Verifier.verify": verifier.verify,
            }
            for order, sequence in orders.items():
                base = 0.0
                for name, call in calls.items():
                    # The feed is heard on this loop.
                    await asyncio.sleep(2 * BEAT_SECONDS)
                    overhead = measure(nothing, sequence[:10_000], 0).p50
                    # In pieces, so that the feed is heard in between, as it is in a server.
                    pieces = [sequence[start : start + 20_000] for start in range(0, len(sequence), 20_000)]
                    figures = [await measure_followed(call, piece, overhead) for piece in pieces]
                    p50, p99 = (sorted(column)[len(figures) // 2] for column in zip(*figures, strict=True))
                    base = base or p50
                    table.rows.append((order, name, p50, p99, p50 / base))
    return table


def main() -> None:
    """Measure and print."""
    arguments = told.arguments(__doc__, rounds=200)
    texts = [mint(os.urandom(32), brand="kw", environment="live").private.reveal() for _ in range(KEYS)]
    table = asyncio.run(measure_all(texts, arguments.rounds))
    told.publish(Section("Checking a known key in process", SAYS, [table]), arguments.json)


if __name__ == "__main__":
    main()
