"""The fast path in front of forward auth accepts only requests that the application accepts, too."""

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any, Literal

import pytest

from keywright.api.verify import forward_auth as forward_auth_module
from keywright.api.verify.fast_path import FastPath
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.proxy_clients import Peer
from keywright.api.verify.responses import Headers
from keywright.api.verify.routes import ServiceApp
from keywright.keys.addresses import Networks, proxy_networks
from keywright.keys.cache import BOUND_SECONDS
from keywright.keys.usage_records import Noted, UsageSource
from tests.api.checking_plane import CREDENTIAL, KEY, OTHER_KEY
from tests.api.generated_requests import ProxyRequests
from tests.api.protocol import Application, Wire
from tests.api.raw import answers_in
from tests.api.test_fast_path import KEYS, PAIRS, UNKNOWN_CREDENTIAL, Side, as_compared
from tests.service.fake_checking_store import NOW

CONNECTIONS = 1500
PEERS: list[Peer | None] = [("10.0.0.1", 5), ("10.0.0.1", 5), ("192.0.2.1", 5), ("::ffff:10.0.0.1", 5), None]


class Watched(FastPath):
    """Counts whom it lets through."""

    passed = 0

    def answer_proxy(self, data: bytes, peer: Peer | None, default_headers: Headers) -> bytes | None:
        answer = super().answer_proxy(data, peer, default_headers)
        self.passed += answer is not None
        return answer


class Door(Side):
    """Forward auth, with or without the fast path in front of it."""

    def __init__(
        self, *, with_fast_path: bool, who: Literal["verifier", "open"] = "verifier", admitted: Networks = ()
    ) -> None:
        super().__init__(with_fast_path=with_fast_path)
        trusted = proxy_networks(["10.0.0.0/8"])
        forward_auth = ForwardAuth(self.checker, self.verifiers, who=who, trusted=trusted, admitted=admitted)
        self.watched = Watched(self.checker, self.callers, forward_auth)
        self.app = ServiceApp(
            Application(),
            self.checker,
            self.callers,
            forward_auth=forward_auth,
            fast_path=self.watched if with_fast_path else None,
        )

    def traces(self) -> dict[str, Any]:
        """Tell what conversations left behind; the numbers of callers, which depend on the way, as their names."""
        book = self.usage
        noted = Noted(book._hour, book._sums, book._verifiers, book._callers)
        # A caller may have two numbers, whose sums are added up when they are stored.
        uses = Counter[UsageSource]()
        for place, found in book._sums.items():
            record = noted.record(place, found)
            uses[record.source] += record.uses
        return {**super().traces(), "uses": uses}


def question(*lines: str, target: str = "/forward-auth") -> bytes:
    """A question of a proxy that shows its credential."""
    shown = [f"GET {target} HTTP/1.1", "Host: localhost", f"X-Keywright-Verifier: {CREDENTIAL.reveal()}"]
    return "\r\n".join([*shown, *lines, "", ""]).encode()


def bearing(key: str, *lines: str, target: str = "/forward-auth") -> bytes:
    return question(f"Authorization: Bearer {key}", *lines, target=target)


def statuses(received: bytes) -> list[int]:
    return [answer.status for answer in answers_in(received)]


@pytest.fixture
async def door() -> Door:
    door = Door(with_fast_path=True)
    await door.know()
    return door


async def ask(door: Door, *questions: bytes) -> list[int]:
    """Ask one after the other on one connection, and give the statuses."""
    received, _ = await door.converse(questions, [True] * len(questions), peer=("10.0.0.1", 5))
    return statuses(received)


ADMITTED = proxy_networks(["192.0.2.0/24"])
"""Some of `PEERS`."""


@pytest.mark.parametrize(("who", "admitted"), [("verifier", ()), ("verifier", ADMITTED), ("open", ())])
async def test_generated_questions(who: Literal["verifier", "open"], admitted: Networks) -> None:
    """
    Thousands of questions, good, odd or broken, in pieces or in a line, are answered alike to the byte.

    And alike are the uses, limits, failures, look-ups and verdicts that were counted, and which connections ended.
    """
    chance = Random(20261126)
    made = 0
    # The way to know a proxy changes nothing else, so that fewer are enough.
    connections = CONNECTIONS // 5 if admitted else CONNECTIONS
    requests = ProxyRequests(chance, KEYS, [CREDENTIAL.reveal()] * 8 + [UNKNOWN_CREDENTIAL, "junk"])
    with_it, without = (Door(with_fast_path=fast, who=who, admitted=admitted) for fast in (True, False))
    for side in (with_it, without):
        await side.know()
    for _ in range(connections):
        number, pieces = requests.connection()
        rests = [chance.random() < 0.7 for _ in pieces]
        peer = chance.choice(PEERS)
        made += number
        change, seconds = chance.random(), chance.choice([0.0, 0.5, 2.0, 10.0])
        found = []
        for side in (with_it, without):
            side.time.seconds += seconds
            side.store.away = change < 0.05
            side.limiter.far = 0.05 < change < 0.1
            if change > 0.1:
                side.follow()
            received, closed = await side.converse(pieces, rests, peer=peer)
            found.append((as_compared(received), closed, side.traces()))
        assert found[0] == found[1], pieces
    assert with_it.watched.passed > made / 10


@pytest.mark.parametrize(
    ("asked", "at_once"),
    [
        (bearing(KEY), True),
        (bearing(KEY, "X-Forwarded-For: 203.0.113.9", "User-Agent: curl/8.1"), True),
        (question(f"X-API-Key: {KEY}"), True),
        (bearing(KEY, target="/forward-auth?scopes=orders:read&proxy=nginx"), True),
        (bearing(PAIRS["limited"].private.reveal()), True),
        (bearing(KEY, target="/forward-auth/"), False),
        (bearing(KEY, target="/ext-authz"), True),
        (bearing(KEY, target="/ext-authz/orders/7?a=b"), True),
        (bearing(KEY, "Connection: close"), False),
        (bearing(KEY, "Content-Length: 0"), True),
        (bearing(KEY, "X-Long: " + "x" * 5000), False),
    ],
    ids=lambda value: value[:40].decode() if isinstance(value, bytes) else value,
)
async def test_let_through_at_once(door: Door, asked: bytes, at_once: bool) -> None:
    """A good key in a plain question is let through before the loop goes on; any other question takes its way."""
    wire = Wire(door.app, door.state)
    wire.protocol.data_received(asked)
    assert statuses(wire.transport.written) == ([200] if at_once else [])
    await wire.rest()
    assert statuses(wire.transport.written) == [200]
    assert door.watched.passed == at_once


async def test_who_is_not_let_through(door: Door) -> None:
    """The application refuses what the fast path does not accept, and every verdict is counted once."""
    revoked = PAIRS["revoked"].private.reveal()
    asked = [bearing(revoked), bearing("junk"), bearing(OTHER_KEY), question(), question(f"X-API-Key: {KEY},a")]
    assert await ask(door, *asked, bearing(KEY)) == [401, 401, 401, 401, 400, 200]
    await asyncio.sleep(0)
    assert door.verdicts == {"revoked": 1, "not_found": 2, "valid": 1}


@pytest.mark.parametrize("peer", [*PEERS, ("192.0.2.255", 5), ("192.0.3.0", 5), ("::ffff:192.0.2.9", 5)])
async def test_admitted_at_once(peer: Peer | None) -> None:
    """A proxy is admitted by its address alone, from the bytes of its question as by the application."""
    doors = [Door(with_fast_path=fast, admitted=ADMITTED) for fast in (True, False)]
    asked = f"GET /forward-auth HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nX-API-Key: {KEY}\r\n\r\n"
    found = []
    for door in doors:
        await door.know()
        received, _ = await door.converse([asked.encode()] * 2, [True] * 2, peer=peer)
        found.append((as_compared(received), door.traces()))
    assert found[0] == found[1]
    is_admitted = peer is not None and peer[0].removeprefix("::ffff:").startswith("192.0.2.")
    assert doors[0].watched.passed == (2 if is_admitted else 0)


@pytest.mark.parametrize("who", ["verifier", "open"])
async def test_agents_of_refused_keys(who: Literal["verifier", "open"]) -> None:
    """The user agents of clients without a key take no place; those of a refused key take none of accepted ones."""
    door = Door(with_fast_path=True, who=who)
    await door.know()
    asked = [bearing(key, f"User-Agent: agent-{number}") for number, key in enumerate(["junk", OTHER_KEY] * 5)]
    assert await ask(door, *asked) == [401] * 10
    assert (door.usage._callers, door.watched.passed) == ([], 0)
    revoked = PAIRS["revoked"].private.reveal()
    assert await ask(door, *(bearing(revoked, f"User-Agent: tool{number}") for number in range(3))) == [401] * 3
    assert (len(door.usage._callers), door.usage._refused_agents) == (3, 3)
    assert await ask(door, bearing(KEY, "User-Agent: curl/8.1")) == [200]
    assert {(each.code, each.agent) for each in (record.source for record in door.uses())} == {
        *(("revoked", f"tool{number}") for number in range(3)),
        ("valid", "curl"),
    }


async def test_a_limit_that_is_spent(door: Door) -> None:
    """A key is let through as often as its limits allow, and not once more."""
    asked = bearing(PAIRS["limited"].private.reveal())
    assert await ask(door, *[asked] * 7) == [200] * 5 + [429] * 2
    assert door.watched.passed == 5
    assert {record.source.code: record.uses for record in door.uses()} == {"valid": 5, "rate_limited": 2}


async def test_a_proxy_whose_verifier_was_revoked(door: Door) -> None:
    """A revoked verifier is cached as one that is revoked, and its proxy is refused each time."""
    (verifier,) = door.store.verifier_by_digest.values()
    door.store.verifier_by_digest[CREDENTIAL.digest] = replace(verifier, revoked_at=NOW)
    door.verifier_cache.drop([CREDENTIAL.digest])
    assert await ask(door, bearing(KEY), bearing(KEY)) == [401, 401]
    assert door.verifier_cache.get(CREDENTIAL.digest) is not None
    assert (door.watched.passed, len(door.usage)) == (0, 0)


async def test_a_proxy_whose_verifier_is_not_fresh(door: Door) -> None:
    """A verifier in a cache that is not fresh is looked up, though keys are fresh."""
    door.time.seconds += BOUND_SECONDS + 0.001
    door.cache.synced(door.time())
    assert await ask(door, bearing(KEY)) == [200]
    assert door.watched.passed == 0


async def test_what_changed(door: Door) -> None:
    """A key, and a proxy's credential, that was dropped is looked up again."""
    assert await ask(door, bearing(KEY)) == [200]
    door.store.facts.clear()
    door.cache.drop(list(door.cache._recent))
    assert await ask(door, bearing(KEY)) == [401]
    door.store.verifier_by_digest.clear()
    door.verifier_cache.drop([CREDENTIAL.digest])
    assert await ask(door, bearing(KEY)) == [401]
    assert door.watched.passed == 1


async def test_a_mistake_of_ours(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong here is logged, and the application answers."""

    def fail(_data: bytes) -> None:
        raise RuntimeError

    monkeypatch.setattr(forward_auth_module, "read_question", fail)
    assert await ask(door, bearing(KEY)) == [200]
    assert door.watched.passed == 0
