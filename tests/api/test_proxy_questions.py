"""A question that is answered from its bytes gets the answer of the application, and leaves the same state behind."""

import asyncio
import os
from random import Random
from typing import Literal

import pytest

from tests.api.checking_plane import CREDENTIAL, OTHER_KEY
from tests.api.mutated_heads import mutated
from tests.api.protocol import Wire
from tests.api.test_fast_path import KEYS, UNKNOWN_CREDENTIAL, as_compared
from tests.api.test_fast_path_forward_auth import PEERS, Door

# A run by hand takes more: PROXY_QUESTIONS=300000.
QUESTIONS = int(os.environ.get("PROXY_QUESTIONS", "6000"))
LINES = [
    "GET /forward-auth",
    "GET /forward-auth",
    "GET /forward-auth?proxy=nginx",
    "GET /forward-auth?scopes=orders:read,orders:write&environment=live",
    "GET /forward-auth?include=metadata",
    "GET /forward-auth?environment=sandbox&proxy=nginx",
    "GET /forward-auth?scopes=",
    "GET /ext-authz",
    "POST /ext-authz/orders/7?scopes=no:such",
    "HEAD /ext-authz/%2e%2e/a//b",
    "GET /ext-authz/forward-auth",
]
FORWARDED = [
    "198.51.100.7", "192.0.2.1", "203.0.113.9, 10.0.0.9", "192.0.2.9,10.0.0.1 , 10.9.9.9", "2001:DB8::1", "10.0.0.1",
    "::ffff:192.0.2.7", "nonsense", "", "a, ", "192.0.2.1,", "fe80::1%a", "01.2.3.4",
]  # fmt: skip
OTHERS = [
    "User-Agent: curl/8.1", "User-Agent: Mozilla/5.0 (X11)", "User-Agent: (", "User-Agent: \xa0a", "Accept: */*",
    "X-Forwarded-Uri: /orders/7?a=1", "X-Keywright-Require: scopes=orders:read", "X-Keywright-Require: environment=no",
    "X-Keywright-Require: a", "Content-Length: 0", "Connection: keep-alive", "Cookie: a=b", "X_API_Key: b",
]  # fmt: skip


def question(chance: Random) -> bytes:
    """Write the question of a proxy about a client and a key of any kind."""
    key = chance.choice([*KEYS, OTHER_KEY])
    lines = [
        "Host: a",
        f"X-Keywright-Verifier: {chance.choice([CREDENTIAL.reveal()] * 9 + [UNKNOWN_CREDENTIAL])}",
        chance.choice([f"Authorization: Bearer {key}", f"Authorization: bearer {key}", f"X-API-Key: {key}"]),
        *([f"X-Forwarded-For: {chance.choice(FORWARDED)}"] if chance.random() < 0.9 else []),
        *chance.sample(OTHERS, chance.choice([0, 1, 2, 4])),
    ]
    chance.shuffle(lines)
    return "\r\n".join([f"{chance.choice(LINES)} HTTP/1.1", *lines, "", ""]).encode("latin-1")


async def answer(door: Door, wire: Wire, data: bytes) -> tuple[bytes, bool]:
    """Give the answer to one request, and whether the connection ends with it; nothing for a part of one."""
    wire.transport.written = b""
    wire.protocol.data_received(data)
    for _ in range(60):
        if wire.transport.written:
            break
        await asyncio.sleep(0)
    # The verdicts of a turn are counted in the next one.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return as_compared(wire.transport.written), wire.transport.closed


@pytest.mark.parametrize("who", ["verifier", "open"])
async def test_mutated_questions(who: Literal["verifier", "open"]) -> None:
    """
    Thousands of changed heads are answered alike to the byte, from their bytes and by the application.

    And alike are the uses, limits, failures, look-ups and verdicts that were counted, and which connections ended.
    """
    chance = Random(20261202)
    doors = [Door(with_fast_path=True, who=who), Door(with_fast_path=False, who=who)]
    for door in doors:
        await door.know()
    for number in range(QUESTIONS // 2):
        data, peer = mutated(question(chance), chance), chance.choice(PEERS)
        if number % 50 == 0:
            for door in doors:
                door.time.seconds += 0.5
                door.follow()
        found = []
        for door in doors:
            wire = Wire(door.app, door.state)
            wire.protocol.client = peer
            found.append(await answer(door, wire, data))
            wire.protocol.connection_lost(None)
        assert found[0] == found[1], data
        if number % 50 == 0:
            assert doors[0].traces() == doors[1].traces(), data
    assert doors[0].traces() == doors[1].traces()
    assert doors[0].watched.passed > QUESTIONS / 20
