"""
Whether the time of a refusal tells anything of the keys that there are, beyond what the answer says.

    make timing
    make timing ARGS="--measurements 2000"

After dudect (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017): texts of several classes, all
answered `not_found`, are verified in random order, and Welch's t-test compares each class with texts that never were a
key; once for all times, and once for those below each of several percentiles, because what a machine does besides
makes long tails. The largest |t| counts: from 4.5 on there is a difference.

The controls hold the measurement itself to account: two halves of one class must not differ; texts that are no keys
are refused before the look-up, by design, and must differ; and so must texts that a look-up compares, character by
character, until one differs.

A deleted key may differ: whoever has its text, all of it, may learn that it was a key once. Ends with 1 if another
class differs, or a control does not do what it must.
"""

import argparse
import asyncio
import json
import math
import os
import random
import socket
import sys
import time
from bisect import bisect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from keywright.dev.issuer import DevIssuer
from keywright.keys import format as text_format
from keywright.keys.cache import KeyCache
from keywright.keys.format import Kind, Parts, digest
from keywright.keys.verdict import NO_REQUIREMENTS
from keywright.service.checking.verification import Verification
from keywright.storage.engine import open_store
from tests.history.nodes import create_verifier
from tests.live import bearer, environment, start_service

KEYS = "/api/v2/api-keys"
VERIFY = f"{KEYS}/verify"
IN_A_CLASS = 400
STORED = 4 * IN_A_CLASS
NEAR_BITS = 20
PERCENTILES = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25)
LIMIT = 4.5
ENOUGH = 100
NANO = 1e9

UNKNOWN, AGAIN, WRONG, NEAR, DELETED, JUNK = (
    "never a key",
    "never a key, other half",
    "a key with its last bits changed",
    f"digest shares {NEAR_BITS} bits with a key's",
    "a deleted key",
    "no key at all",
)
LETTERS = f"{WRONG}, compared by characters"
MUST_DIFFER = (JUNK, LETTERS)
_NOT_FOUND = b'{"valid":false,"code":"not_found","api_key":null}'

Texts = Mapping[str, Sequence[str]]
Times = Mapping[str, Sequence[float]]


class Found(NamedTuple):
    """What a comparison of two classes found: the t that is largest, and the difference of medians in seconds."""

    t: float
    difference: float

    @property
    def differs(self) -> bool:
        """Whether there is a difference."""
        return abs(self.t) >= LIMIT


def compare(one: Sequence[float], other: Sequence[float]) -> Found:
    """Compare the times of two classes at every percentile; `difference` is between the two medians, *one* first."""
    pooled = sorted([*one, *other])
    largest = 0.0
    for share in PERCENTILES:
        limit = pooled[min(len(pooled) - 1, int(len(pooled) * share))]
        below = [[x for x in sample if x <= limit] for sample in (one, other)]
        if min(map(len, below)) < ENOUGH:
            # One of them is so much faster that only its times are left.
            continue
        largest = max(largest, _welch(*below), key=abs)
    return Found(largest, _median(one) - _median(other))


def _welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Give Welch's t."""
    means, errors = [], []
    for sample in (one, other):
        mean = math.fsum(sample) / len(sample)
        means.append(mean)
        errors.append(math.fsum((x - mean) ** 2 for x in sample) / (len(sample) - 1) / len(sample))
    return (means[0] - means[1]) / math.sqrt(sum(errors))


def _median(sample: Sequence[float]) -> float:
    return sorted(sample)[len(sample) // 2]


def texts_of(stored: Sequence[str], deleted: Sequence[str]) -> Texts:
    """Make as many texts of each class, of keys of which some are stored and some were deleted."""
    digests = sorted(map(digest, stored))
    near: list[str] = []
    while len(near) < IN_A_CLASS:
        text = _text(os.urandom(32))
        if _shares_bits(digests, digest(text)):
            near.append(text)
    return {
        UNKNOWN: [_text(os.urandom(32)) for _ in range(IN_A_CLASS)],
        AGAIN: [_text(os.urandom(32)) for _ in range(IN_A_CLASS)],
        WRONG: [_text(_last_bits_changed(text)) for text in stored[:IN_A_CLASS]],
        NEAR: near,
        DELETED: deleted,
        JUNK: [text[:-1] + ("0" if text[-1] != "0" else "1") for text in stored[:IN_A_CLASS]],
    }


def _text(payload: bytes) -> str:
    return text_format.encode(Parts(Kind.PRIVATE, "kw", "live", payload))


def _last_bits_changed(text: str) -> bytes:
    parts = text_format.decode(text)
    assert parts is not None
    return parts.payload[:-1] + bytes([parts.payload[-1] ^ 0xFF])


def _shares_bits(digests: Sequence[bytes], presented: bytes) -> bool:
    place = bisect(digests, presented)
    return any(
        int.from_bytes(near) >> (256 - NEAR_BITS) == int.from_bytes(presented) >> (256 - NEAR_BITS)
        for near in digests[max(0, place - 1) : place + 1]
    )


async def measure(calls: Mapping[str, Callable[[str], Awaitable[None]]], texts: Texts, measurements: int) -> Times:
    """Call with texts of all classes in random order, *measurements* of each, and give the times in seconds."""
    order = [name for name in calls for _ in range(measurements)]
    random.shuffle(order)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for name in order:
        # A copy, so that no text is nearer to the processor than another.
        text = "".join([*random.choice(texts[name])])
        call = calls[name]
        started = time.perf_counter()
        await call(text)
        times[name].append(time.perf_counter() - started)
    return times


async def in_this_process(database: str, texts: Texts, stored: Sequence[str], measurements: int) -> Times:
    """Measure the service's decision: shape, checksum, digest, memory, database."""
    store = open_store(database)
    await store.start()
    try:
        verification = Verification(
            store, KeyCache(1000), brand="kw", now=time.time, monotonic=time.monotonic, outage_seconds=0
        )
        ordered = sorted(stored)

        async def verify(text: str) -> None:
            verdict = verification.verify_now(text, NO_REQUIREMENTS) or await verification.verify_from_store(
                text, NO_REQUIREMENTS
            )
            assert verdict.facts is None

        async def compare_characters(text: str) -> None:
            nearest = ordered[bisect(ordered, text) - 1]
            place = 0
            while place < len(text) and text[place] == nearest[place]:
                place += 1
            await verify(text)

        calls: dict[str, Callable[[str], Awaitable[None]]] = dict.fromkeys(texts, verify)
        # Both sides of this control take the same way; only how soon a character differs is not the same.
        calls |= {f"{UNKNOWN}, compared by characters": compare_characters, LETTERS: compare_characters}
        more = {f"{UNKNOWN}, compared by characters": texts[UNKNOWN], LETTERS: texts[WRONG]}
        return await measure(calls, {**texts, **more}, measurements)
    finally:
        await store.close()


async def over_http(url: str, credential: str, texts: Texts, measurements: int) -> Times:
    """Measure what a caller sees, on one connection."""
    place = urlsplit(url)
    head = f"POST {VERIFY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {credential}\r\n"
    head += "Content-Type: application/json\r\n"
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        async def verify(text: str) -> None:
            body = json.dumps({"key": text})
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            received = b""
            while not received.endswith(_NOT_FOUND):
                received += connection.recv(65536)
                assert b"HTTP/1.1 200" in received, received

        return await measure(dict.fromkeys(texts, verify), texts, measurements)


def report(title: str, times: Times) -> bool:
    """Print a table, and tell whether everything is as it must be."""
    print(f"\n{title}, {len(times[UNKNOWN]):,} measurements of each class\n")
    print("| class | median µs | beside one that never was | largest t | verdict |")
    print("|---|---|---|---|---|")
    fine = True
    for name, sample in times.items():
        reference = f"{UNKNOWN}, compared by characters" if name == LETTERS else UNKNOWN
        if name in (UNKNOWN, f"{UNKNOWN}, compared by characters"):
            continue
        found = compare(sample, times[reference])
        expected = name == DELETED or found.differs is (name in MUST_DIFFER)
        fine = fine and expected
        verdict = ("differs" if found.differs else "no difference") + ("" if expected else ": NOT AS IT MUST BE")
        print(
            f"| {name} | {1e6 * _median(sample):.1f} | {NANO * found.difference:+,.0f} ns | {found.t:+.1f} "
            f"| {verdict} |",
            flush=True,
        )
    return fine


def _keys(url: str, headers: dict[str, str]) -> tuple[list[str], list[str]]:
    """Create keys, delete some of them, and give the texts of those that are left and of those that are gone."""
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
        created: list[dict[str, Any]] = [http.post(KEYS, json={"name": "timing"}).json() for _ in range(STORED)]
        for key in created[:IN_A_CLASS]:
            http.delete(f"{KEYS}/{key['id']}").raise_for_status()
    texts = [key["private_key"] for key in created]
    return texts[IN_A_CLASS:], texts[:IN_A_CLASS]


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measurements", type=int, default=20_000)
    measurements = parser.parse_args().measurements
    with ExitStack() as held:
        issuer = held.enter_context(DevIssuer())
        service = held.enter_context(start_service(environment(issuer, metrics="off", log_level="warning")))
        credential = create_verifier(service.database_url, "timing")
        stored, deleted = _keys(service.base_url, bearer(issuer, "acme"))
        texts = texts_of(stored, deleted)
        http_times = asyncio.run(over_http(service.base_url, credential, texts, measurements))
        times = asyncio.run(in_this_process(service.database_url, texts, stored, measurements))
        fine = [report("In the service's process", times), report("Over HTTP", http_times)]
    sys.exit(not all(fine))


if __name__ == "__main__":
    main()
