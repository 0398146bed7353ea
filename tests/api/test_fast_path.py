"""The fast path gives the answers of the application, and leaves the same state behind."""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any, Literal

import pytest
from uvicorn.server import ServerState

from keywright.api.http.bodies import MAX_BODY_BYTES
from keywright.api.server.counted import REQUEST_SECONDS
from keywright.api.verify.fast_path import MOST_HEADS, FastPath, FirstSight, RequestHead
from keywright.api.verify.forward_auth import Peer
from keywright.api.verify.responses import Headers
from keywright.api.verify.routes import ServiceApp
from keywright.app import create_app
from keywright.config import Settings
from keywright.keys.addresses import read_networks
from keywright.keys.cache import BOUND_SECONDS
from keywright.keys.pair import mint
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import NO_REQUIREMENTS
from tests.api.checking_plane import CREDENTIAL, FACTS, KEY, NOW_SECONDS, OTHER_KEY, PAIR, TOKEN, CheckingPlane
from tests.api.generated_requests import BATCH, VERIFY, Requests
from tests.api.protocol import KEEP_ALIVE_SECONDS, Application, Wire
from tests.api.raw import answers_in

CONNECTIONS = int(os.environ.get("CONNECTIONS", "2400"))
"""`CONNECTIONS=72000 pytest --timeout=0 tests/api/test_fast_path.py -k generated` compares 300,000 requests."""
DATE = (b"date", b"Wed, 25 Nov 2026 12:00:00 GMT")
KINDS: dict[str, dict[str, Any]] = {
    "limited": {"rate_limits": (RateLimit("minute", 5, 60), RateLimit("day", 100, 86_400))},
    "limited once": {"rate_limits": (RateLimit("second", 3, 1),)},
    "bound": {"networks": read_networks(("192.0.2.0/24", "2001:db8::/32"))},
    "revoked": {"revoked": True},
    "expired": {"expires_at": NOW_SECONDS},
    "expiring": {"expires_at": NOW_SECONDS + 1000},
    "retired": {"retires_at": NOW_SECONDS, "expires_at": NOW_SECONDS + 500},
    "going": {"retires_at": NOW_SECONDS + 5000, "name": 'Grüße "🔑"'},
    "foreign": {"org_id": b"x" * 16, "scopes": ()},
}
PAIRS = {kind: mint(kind.encode().ljust(32), brand="kw", environment="live") for kind in KINDS}
KEYS = (
    [KEY] * 4
    + [pair.private.reveal() for pair in PAIRS.values()]
    + [OTHER_KEY, "", "junk", KEY[:-1], "é", 'a"b', "a\\b"]
)
UNKNOWN_CREDENTIAL = CREDENTIAL.reveal()[:-1]


class Watched(FastPath):
    """Counts what it answers."""

    answered = 0

    def answer(
        self, head: RequestHead, body: bytes, default_headers: Headers, seen: FirstSight | None = None
    ) -> bytes | None:
        answer = super().answer(head, body, default_headers, seen)
        self.answered += answer is not None
        return answer


class Side(CheckingPlane):
    """A service with or without the fast path."""

    def __init__(self, *, with_fast_path: bool) -> None:
        super().__init__()
        self.store.facts |= {
            PAIRS[kind].private.digest: replace(FACTS, id=kind.encode().ljust(16), **change)
            for kind, change in KINDS.items()
        }
        self.fast_path = Watched(self.checker, self.callers)
        self.app = ServiceApp(
            Application(), self.checker, self.callers, fast_path=self.fast_path if with_fast_path else None
        )
        self.state = ServerState()
        self.state.default_headers = [DATE]

    async def know(self) -> None:
        """Come to hold what there is to hold."""
        self.follow()
        await self.verifiers.recognize(CREDENTIAL.reveal())
        for key in KEYS:
            verification = self.checker.verification
            verification.verify_now(key, NO_REQUIREMENTS) or await verification.verify_from_store(key, NO_REQUIREMENTS)

    async def converse(
        self, pieces: Sequence[bytes], rests: Sequence[bool], *, peer: Peer | None = None
    ) -> tuple[bytes, bool]:
        """Send *pieces*, come to rest after those that say so, and give what came back and whether that was the end."""
        wire = Wire(self.app, self.state)
        wire.protocol.client = peer
        for piece, rest in zip(pieces, rests, strict=True):
            wire.protocol.data_received(piece)
            # A loop does what is ready before it reads again; what takes longer may or may not be done by then.
            await asyncio.sleep(0)
            if rest:
                await wire.rest()
        await wire.rest()
        await wire.rest()
        closed = wire.transport.closed
        wire.protocol.connection_lost(None)
        await wire.rest()
        return wire.transport.written, closed

    def traces(self) -> dict[str, Any]:
        """Tell what conversations left behind."""
        return {
            "uses": dict(self.usage._sums),
            "spent": self.limiter.taken,
            "look-ups": self.store.look_ups,
            "failures": self.failures.buckets,
            "verdicts": dict(self.verdicts),
            "requests": self.state.total_requests,
            "held": set(self.cache._recent),
        }


def as_compared(received: bytes) -> bytes:
    """Leave out the ids of requests."""
    return re.sub(rb"[0-9a-f]{32}|[0-9a-f]{16}-[0-9a-f]{8}", b"#", received)


@pytest.fixture
async def side() -> Side:
    side = Side(with_fast_path=True)
    await side.know()
    return side


def request(*, target: str = VERIFY, **asked: Any) -> bytes:
    """A request as most clients send it."""
    body = json.dumps({"key": KEY, **asked} if target == VERIFY else asked).encode()
    lines = [
        f"POST {target} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {CREDENTIAL.reveal()}",
        "Content-Type: application/json", f"Content-Length: {len(body)}",
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


def in_two(whole: bytes) -> tuple[bytes, bytes]:
    """A request's head and its body."""
    head, end, body = whole.partition(b"\r\n\r\n")
    return head + end, body


def take_all(wire: Wire) -> None:
    """Take what was answered, as a client does."""
    wire.transport.take(wire.transport.unsent)


def codes(wire: Wire) -> list[str]:
    """Give what was answered, by the codes."""
    return [json.loads(answer.body)["code"] for answer in answers_in(wire.transport.written)]


async def test_generated_requests() -> None:
    """
    More than ten thousand requests, in pieces or in a line, good, odd or broken, are answered alike to the byte.

    And alike are the uses, limits, failures, look-ups and verdicts that were counted, and which connections ended.
    """
    chance = Random(20261125)
    made = 0
    requests = Requests(chance, KEYS, [CREDENTIAL.reveal()] * 8 + [UNKNOWN_CREDENTIAL, TOKEN])
    with_it, without = Side(with_fast_path=True), Side(with_fast_path=False)
    for side in (with_it, without):
        await side.know()
    for _ in range(CONNECTIONS):
        number, pieces = requests.connection()
        # After a look-up one side answers earlier, and what follows finds another state of the connection.
        looks_up = OTHER_KEY.encode() in b"".join(pieces)
        rests = [chance.random() < 0.7 or looks_up for _ in pieces]
        made += number
        change = chance.random()
        seconds = chance.choice([0.0, 0.5, 2.0, 10.0])
        found = []
        for side in (with_it, without):
            side.time.seconds += seconds
            side.store.away = change < 0.05
            side.limiter.far = 0.05 < change < 0.1
            if change > 0.1:
                side.follow()
            received, closed = await side.converse(pieces, rests)
            if side.store.away:
                # The application repeats a look-up that has failed.
                side.store.look_ups = 0
            found.append((as_compared(received), closed, side.traces()))
        assert found[0] == found[1], pieces
    assert made > 4 * CONNECTIONS
    assert with_it.fast_path.answered > made / 20


@pytest.mark.parametrize("pieces", [[request()], [*in_two(request())]], ids=["whole", "head and body"])
async def test_answered_at_once(side: Side, pieces: list[bytes]) -> None:
    """A cached key is answered in the same turn of the loop, whether the body comes with the head or after it."""
    wire = Wire(side.app, side.state)
    for _ in range(3):
        for piece in pieces:
            wire.protocol.data_received(piece)
    assert codes(wire) == ["valid"] * 3
    assert side.fast_path.answered == 3


async def test_a_page_is_answered_by_the_application(side: Side) -> None:
    """A request with `Origin` goes to the application, which adds the headers that a page of another origin needs."""
    wire = Wire(side.app, side.state)
    for _ in range(2):
        await wire.receive(request().replace(b"Host:", b"Origin: null\r\nHost:"))
    assert codes(wire) == ["valid", "valid"]
    assert side.fast_path.answered == 0


async def test_what_is_cached_ends_with_the_key(side: Side) -> None:
    """A key that expires is refused from that moment on, though it was good a moment before in the same words."""
    presented = PAIRS["expiring"].private.reveal()
    wire = Wire(side.app, side.state)
    for _ in range(2):
        await wire.receive(request(key=presented))
    side.epoch.seconds = NOW_SECONDS + 1000
    for _ in range(2):
        await wire.receive(request(key=presented))
    assert codes(wire) == ["valid", "valid", "expired", "expired"]
    assert side.fast_path.answered == 2


async def test_a_head_of_its_own(side: Side) -> None:
    """A request with headers that no other has is answered at once, too."""
    wire = Wire(side.app, side.state)
    for number in range(50):
        head, body = in_two(request())
        await wire.receive(head[:-2] + f"X-Request-Id: {number}\r\nAccept: */*\r\n\r\n".encode() + body)
        take_all(wire)
    assert codes(wire) == ["valid"] * 50
    assert side.fast_path.answered == 50


async def test_the_heads_that_are_kept(side: Side) -> None:
    """Only heads of good verifiers are kept, a bounded number, until any cached verifier changes."""
    fast_path = side.fast_path
    for number in range(2 * MOST_HEADS):
        head, body = in_two(request())
        assert fast_path.head_of(head[:-2] + f"X-Request-Id: {number}\r\n\r\n".encode() + body) is not None
    assert 0 < len(fast_path._heads) <= MOST_HEADS
    side.verifier_cache.drop([CREDENTIAL.digest])
    assert fast_path.head_of(request()) is None
    assert fast_path._heads == fast_path._senders._known == {}
    unknown = request().replace(CREDENTIAL.reveal().encode(), UNKNOWN_CREDENTIAL.encode())
    assert fast_path.head_of(unknown) is None
    assert fast_path._heads == fast_path._senders._known == {}


async def test_a_verifier_that_is_revoked_between_head_and_body(side: Side) -> None:
    """A request whose head came before the revocation of its verifier is refused, whoever asked meanwhile."""
    wire, other = Wire(side.app, side.state), Wire(side.app, side.state)
    head, body = in_two(request())
    await wire.receive(head)
    side.store.verifier_by_digest.clear()
    side.verifier_cache.drop([CREDENTIAL.digest])
    await other.receive(request())
    await wire.receive(body)
    assert codes(wire) == codes(other) == ["invalid_token"]
    assert side.fast_path.answered == 0


async def test_batches_take_turns(side: Side) -> None:
    """However many batches come at once, the loop goes round between any two: whatever else is due gets its turn."""
    wires = [Wire(side.app, side.state) for _ in range(10)]
    batch = request(target=BATCH, keys=[{"key": KEY}] * 20)
    for wire in wires:
        wire.protocol.data_received(batch)
    answered = [0]
    while answered[-1] < len(wires):
        await asyncio.sleep(0)
        answered.append(sum(wire.transport.written != b"" for wire in wires))
    assert max(later - earlier for earlier, later in pairwise(answered)) == 1


async def test_what_changed_is_not_answered_at_once(side: Side) -> None:
    """A key or a verifier that was dropped is looked up again, whatever was answered before."""
    wire = Wire(side.app, side.state)
    await wire.receive(request())
    side.store.facts[PAIR.private.digest] = replace(FACTS, revoked=True)
    side.cache.drop([PAIR.private.digest])
    await wire.receive(request())
    side.store.verifier_by_digest.clear()
    side.verifier_cache.drop([CREDENTIAL.digest])
    await wire.receive(request())
    assert codes(wire) == ["valid", "revoked", "invalid_token"]
    assert side.fast_path.answered == 1


async def test_what_is_held_counts_only_while_changes_are_followed(side: Side) -> None:
    """Once the changes were not followed for the bound, nothing is answered at once any more."""
    wire = Wire(side.app, side.state)
    side.time.seconds += BOUND_SECONDS
    await wire.receive(request())
    side.time.seconds += 0.001
    await wire.receive(request())
    assert codes(wire) == ["valid", "valid"]
    assert side.fast_path.answered == 1


async def test_verifiers_count_only_while_changes_are_followed(side: Side) -> None:
    """No request is answered, or waits for its key, for a verifier in a cache that is not fresh, though keys are."""
    fast_path = side.fast_path
    whole = request()
    head, body = fast_path.head_of(whole), in_two(whole)[1]
    assert head is not None
    side.time.seconds += BOUND_SECONDS + 0.001
    side.cache.synced(side.time())
    assert fast_path.answer(head, body, []) is None
    side.cache.drop([PAIR.private.digest])
    assert fast_path.look_up(head, body) is None
    side.verifier_cache.synced(side.time())
    seen = fast_path.look_up(head, body)
    assert seen is not None
    seen.found.cancel()
    unknown = FirstSight(seen.request, seen.presented, asyncio.get_running_loop().create_future())
    unknown.found.set_result(None)
    side.time.seconds += BOUND_SECONDS + 0.001
    assert (fast_path.answer_seen(head, seen, []), fast_path.answer_seen(head, unknown, [])) == (None, None)
    side.verifier_cache.synced(side.time())
    assert fast_path.look_up(head, body) is None


@pytest.mark.parametrize(("length", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)])
async def test_the_longest_body(side: Side, length: int, status: int) -> None:
    """A body in one piece with its head is no longer than any other body may be."""
    head, body = in_two(request())
    head = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % length)
    received, _ = await side.converse([head + body.ljust(length)], [True])
    assert [answer.status for answer in answers_in(received)] == [status]


async def test_a_change_of_another_verifier(side: Side) -> None:
    """A head that was known is known again after another verifier changed."""
    assert await ask_twice(side) == 2
    other = b"o" * 32
    side.verifier_cache.end(side.verifier_cache.begin(other), side.store.verifier_by_digest[CREDENTIAL.digest])
    side.verifier_cache.drop([other])
    assert await ask_twice(side) == 4


async def ask_twice(side: Side) -> int:
    """Ask two times, and give how many requests the fast path has answered by now."""
    await side.converse([request()] * 2, [True, True])
    return side.fast_path.answered


async def test_a_mistake_of_ours(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong here is logged, and the application answers."""
    wire = Wire(side.app, side.state)
    monkeypatch.setattr(side.fast_path, "_now", None)
    await wire.receive(request())
    assert codes(wire) == ["valid"]
    assert side.fast_path.answered == 0


async def test_a_stop_between_head_and_body(side: Side) -> None:
    """A connection of which a head is there when the service stops is ended with the answer, and not before."""
    wire = Wire(side.app, side.state)
    head, body = in_two(request())
    await wire.receive(head)
    wire.protocol.shutdown()
    assert not wire.transport.closed
    await wire.receive(body)
    (answer,) = answers_in(wire.transport.written)
    assert answer.headers["connection"] == "close"
    assert wire.transport.closed


async def test_a_stop_at_rest(side: Side) -> None:
    """A connection on which all was answered is closed at once when the service stops."""
    wire = Wire(side.app, side.state)
    await wire.receive(request())
    wire.protocol.shutdown()
    assert wire.transport.closed


async def test_a_body_that_never_comes(side: Side) -> None:
    """A request has 30 seconds from its first byte, those in which its head was kept among them."""
    wire = Wire(side.app, side.state)
    head, body = in_two(request())
    await wire.receive(request())
    take_all(wire)
    wire.loop.pass_seconds(100)
    await wire.receive(head)
    wire.loop.pass_seconds(REQUEST_SECONDS - 1)
    await wire.receive(body[:1])
    wire.loop.pass_seconds(0.9)
    assert not wire.transport.closed
    wire.loop.pass_seconds(0.2)
    assert wire.transport.closed
    assert len(answers_in(wire.transport.written)) == 1


@pytest.mark.parametrize("with_fast_path", [True, False])
async def test_a_connection_that_is_left(with_fast_path: bool) -> None:
    """A connection is closed when nothing came on it for so long after the last answer, and not before."""
    side = Side(with_fast_path=with_fast_path)
    await side.know()
    wire = Wire(side.app, side.state)
    for _ in range(3):
        await wire.receive(request())
        take_all(wire)
        wire.loop.pass_seconds(KEEP_ALIVE_SECONDS - 1)
    assert not wire.transport.closed
    head, body = in_two(request())
    await wire.receive(head)
    wire.loop.pass_seconds(2)
    await wire.receive(body)
    take_all(wire)
    wire.loop.pass_seconds(KEEP_ALIVE_SECONDS - 0.1)
    assert not wire.transport.closed
    wire.loop.pass_seconds(0.2)
    assert wire.transport.closed
    assert codes(wire) == ["valid"] * 4


async def test_a_client_that_takes_no_answers(side: Side) -> None:
    """While a client does not take its answers, nothing more is written for it, nor answered."""
    wire = Wire(side.app, side.state)
    wire.protocol.pause_writing()
    await wire.receive(request())
    assert wire.transport.written == b""
    wire.protocol.resume_writing()
    await wire.rest()
    assert codes(wire) == ["valid"]


@pytest.mark.parametrize("options", [{"access_log": True}, {"limit_concurrency": 100}])
async def test_what_uvicorn_was_told_to_do(side: Side, options: dict[str, Any]) -> None:
    """Where uvicorn is to write an access log or to limit connections, every request takes its way."""
    wire = Wire(side.app, side.state, **options)
    await wire.receive(request())
    assert codes(wire) == ["valid"]
    assert side.fast_path.answered == 0


@pytest.mark.parametrize("setting", ["on", "off"])
def test_the_setting(setting: Literal["on", "off"]) -> None:
    """The fast path is used unless the settings switch it off."""
    app = create_app(Settings(issuer="https://id.acme.example/", audience="urn:acme", fast_path=setting))
    assert (app.fast_path is not None) is (setting == "on")
