"""
Whether the time of a refusal tells anything of the keys that there are, beyond what the answer says. After dudect
(Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017): texts of several classes, all answered
`not_found`, are verified in random order over one connection, and Welch's t-test compares each class with texts that
never were a key, at several percentiles, because what a machine does besides makes long tails. The largest |t| counts:
from 4.5 on there is a difference. The other half of one class must show none. "No key at all" must differ, for it is
refused before the look-up; a deleted key may, since only somebody who has all of its text learns of it.
"""

import json
import math
import os
import random
import socket
import statistics
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from inspect import cleandoc
from urllib.parse import urlsplit

import httpx

from bench.figures import Section, Table
from bench.rounds import Plan
from bench.service import API_KEYS, VERIFY, Tree

IN_A_CLASS = 400
A_SECOND = 2000
NEAR_BITS = 20
PERCENTILES = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25)
LIMIT = 4.5
ENOUGH = 100
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = "kw_sk_live_"
NEVER, DELETED, JUNK = "never a key", "a deleted key", "no key at all"
HEADS = ("class", "refusals", "median µs", "more than never a key, ns", "t", "differs")


def section(tree: Tree, plan: Plan) -> Section:
    """
    Measure, and give the section of the report.

    Raises:
        RuntimeError: A class differs that must not, or the other way round.
    """
    texts = _texts(tree)
    times = _measured(_refusal_of(tree), texts, int(A_SECOND * plan.rounds * plan.seconds))
    table = Table("By class", HEADS)
    wrong = []
    for name, sample in times.items():
        t, middle = largest_t(sample, times[NEVER]), statistics.median(sample)
        differs = abs(t) >= LIMIT
        more = 1e9 * (middle - statistics.median(times[NEVER]))
        table.rows.append((name, len(sample), 1e6 * middle, f"{more:+,.0f}", t, "yes" if differs else "no"))
        if name != DELETED and differs is not (name == JUNK):
            wrong.append(f"{name}: t = {t:.1f}")
    if wrong:
        raise RuntimeError("; ".join(wrong))
    return Section("Time of refusals", cleandoc(__doc__), [table])


def largest_t(one: Sequence[float], other: Sequence[float]) -> float:
    """Compare two classes at every percentile and give the t that is largest, by its amount."""
    pooled = sorted([*one, *other])
    largest = 0.0
    for share in PERCENTILES:
        limit = pooled[min(len(pooled) - 1, int(len(pooled) * share))]
        below = [[x for x in sample if x <= limit] for sample in (one, other)]
        # One of them may be so much faster that only its times are left.
        if min(map(len, below)) >= ENOUGH:
            largest = max(largest, _welch(*below), key=abs)
    return largest


def _welch(one: Sequence[float], other: Sequence[float]) -> float:
    errors = [statistics.variance(sample) / len(sample) for sample in (one, other)]
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(sum(errors))


def key_text(number: int) -> str:
    """Write the private key of a number below 2^256 as docs/reference/key-format.md says."""
    text = _PREFIX + _base62(number, 43)
    return text + _base62(zlib.crc32(text.encode()), 6)


def _base62(number: int, width: int) -> str:
    return "".join(_DIGITS[number // 62**place % 62] for place in reversed(range(width)))


def _random_text() -> str:
    return key_text(int.from_bytes(os.urandom(32), "big"))


def _last_bits_changed(text: str) -> str:
    body = text[len(_PREFIX) : -6]
    return key_text(sum(_DIGITS.index(digit) * 62**place for place, digit in enumerate(reversed(body))) ^ 0xFF)


def _texts(tree: Tree) -> Mapping[str, Sequence[str]]:
    stored = [line.split()[0] for line in tree.filled("sqlite").read_text().splitlines()]
    return {
        NEVER: [_random_text() for _ in range(IN_A_CLASS)],
        "never a key, other half": [_random_text() for _ in range(IN_A_CLASS)],
        "a key with its last bits changed": [_last_bits_changed(text) for text in stored[:IN_A_CLASS]],
        f"digest shares {NEAR_BITS} bits with a key's": _near(stored),
        DELETED: _deleted(tree),
        JUNK: [text[:-1] + ("0" if text[-1] != "0" else "1") for text in stored[:IN_A_CLASS]],
    }


def _near(stored: Sequence[str]) -> list[str]:
    known = set(map(_beginning, stored))
    found: list[str] = []
    while len(found) < IN_A_CLASS:
        text = _random_text()
        found += [text] * (_beginning(text) in known)
    return found


def _beginning(text: str) -> int:
    return int.from_bytes(sha256(b"keywright.v1\0" + text.encode()).digest(), "big") >> (256 - NEAR_BITS)


def _deleted(tree: Tree) -> list[str]:
    """Create keys, delete them, and give their texts."""
    headers = {"Authorization": f"Bearer {tree.database('sqlite').token}"}
    with httpx.Client(base_url=tree.running("sqlite").url, headers=headers, trust_env=False) as http:
        created = [http.post(API_KEYS, json={"name": "timing"}).raise_for_status().json() for _ in range(IN_A_CLASS)]
        for each in created:
            http.delete(f"{API_KEYS}/{each['id']}").raise_for_status()
    return [each["private_key"] for each in created]


def _refusal_of(tree: Tree) -> Callable[[str], None]:
    """Give a call that verifies a text and waits for its refusal."""
    place = urlsplit(tree.running("sqlite").url)
    connection = socket.create_connection((place.hostname, place.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = f"POST {VERIFY} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {tree.database('sqlite').credential}\r\n"

    def refused(text: str) -> None:
        body = json.dumps({"key": text})
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        connection.sendall((head + more).encode())
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(65536)
        assert b'"code":"not_found"' in received, received

    return refused


def _measured(
    call: Callable[[str], None], texts: Mapping[str, Sequence[str]], measurements: int
) -> Mapping[str, Sequence[float]]:
    order = [name for name in texts for _ in range(measurements)]
    random.shuffle(order)
    times: dict[str, list[float]] = {name: [] for name in texts}
    for name in order:
        text = random.choice(texts[name])
        began = time.perf_counter()
        call(text)
        times[name].append(time.perf_counter() - began)
    return times
