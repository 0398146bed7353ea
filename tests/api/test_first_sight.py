"""Requests for keys that are not cached, which are answered after their look-up, mostly without the application."""

import asyncio
import json

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from keywright.api.verify.fast_path import FastPath
from keywright.api.verify.routes import ServiceApp
from keywright.keys.cache import BOUND_SECONDS
from keywright.service.checking.failure_limit import MOST_FAILURES
from keywright.service.checking.look_ups import LONGEST_QUEUE_OF_SHARE
from tests.api.checking_plane import CREDENTIAL, KEY, OTHER_KEY, PAIR, CheckingPlane
from tests.api.protocol import Application, Wire
from tests.api.raw import answers_in

VALID, NOT_FOUND = (200, "valid"), (200, "not_found")


class Counted(ServiceApp):
    """Counts the requests that come to the application."""

    requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        await super().__call__(scope, receive, send)


class Scene(CheckingPlane):
    """A service whose look-ups wait for `store.hold`."""

    def __init__(self) -> None:
        super().__init__()
        self.app = Counted(Application(), self.checker, self.callers, fast_path=FastPath(self.checker, self.callers))
        self.store.hold = self.hold = asyncio.Event()

    @property
    def looked_up(self) -> int:
        """How many look-ups of keys there were."""
        return sum(map(len, self.store.queries))

    async def connect(self) -> Wire:
        """Give a connection of a cached verifier, to a service that follows the changes."""
        await self.verifiers.recognize(CREDENTIAL.reveal())
        self.follow()
        return Wire(self.app, ServerState())

    async def answer(self, *wires: Wire) -> list[tuple[int, str]]:
        """Answer the look-ups, and give what was answered."""
        self.hold.set()
        for wire in wires:
            await wire.rest()
        written = b"".join(wire.transport.written for wire in wires)
        return [(answer.status, json.loads(answer.body)["code"]) for answer in answers_in(written)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def request(key: str, **options: object) -> bytes:
    """Write a plain request."""
    body = json.dumps({"key": key, **options})
    head = (
        "POST /api/v2/api-keys/verify HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {CREDENTIAL.reveal()}\r\nContent-Type: application/json\r\n"
    )
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(("key", "expected"), [(KEY, VALID), (OTHER_KEY, NOT_FOUND)])
@pytest.mark.parametrize("apart", [True, False])
async def test_a_first_sight(scene: Scene, key: str, expected: tuple[int, str], apart: bool) -> None:
    """A plain request for a key that is not cached takes one look-up, and nothing of the application."""
    wire = await scene.connect()
    whole = request(key, client_ip="192.0.2.1")
    body = whole.index(b"{")
    for piece in (whole[:body], whole[body:]) if apart else (whole,):
        await wire.receive(piece)
    assert await scene.answer(wire) == [expected]
    assert (scene.app.requests, scene.looked_up) == (0, 1)
    assert scene.verdicts == {expected[1]: 1}
    assert bool(scene.failures.buckets) is (expected is NOT_FOUND)
    # The connection serves the next request.
    await wire.receive(request(KEY))
    assert (await scene.answer(wire))[1:] == [VALID]


async def test_first_sights_share_a_query(scene: Scene) -> None:
    """Requests on several connections share one look-up of a key, and one query."""
    wires = [await scene.connect() for _ in range(10)]
    for wire, key in zip(wires, [KEY, OTHER_KEY] * 5, strict=True):
        wire.protocol.data_received(request(key))
    await wires[0].rest()
    assert await scene.answer(*wires) == [VALID, NOT_FOUND] * 5
    assert [len(query) for query in scene.store.queries] == [2]
    assert scene.app.requests == 0


async def test_a_refused_key(scene: Scene) -> None:
    """A key that is found and refused is refused by the application, without another look-up."""
    wire = await scene.connect()
    await wire.receive(request(KEY, environment="sandbox"))
    assert await scene.answer(wire) == [(200, "wrong_environment")]
    assert (scene.app.requests, scene.looked_up) == (1, 1)


async def test_more_bytes_while_a_request_waits(scene: Scene) -> None:
    """Requests that follow one that waits are answered after it, in their order; the look-up goes on for them."""
    wire = await scene.connect()
    await wire.receive(request(KEY))
    await wire.receive(request(KEY) + request("junk"))
    assert await scene.answer(wire) == [VALID, VALID, NOT_FOUND]
    assert scene.looked_up == 1


async def test_bytes_right_behind_the_answer(scene: Scene) -> None:
    """A request that arrives as the look-up of the one before ends is answered after it."""
    scene.hold.set()
    wire = await scene.connect()
    for _ in range(4):
        wire.protocol.data_received(request(OTHER_KEY))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await scene.answer(wire) == [NOT_FOUND] * 4
    assert scene.looked_up == 4


async def test_a_body_of_another_length(scene: Scene) -> None:
    """A body that is longer than announced is no first sight."""
    wire = await scene.connect()
    whole = request(KEY)
    end = whole.index(b"\r\n\r\n") + 4
    wire.protocol.data_received(whole[:end])
    await wire.receive(whole[end:] + request("junk"))
    assert await scene.answer(wire) == [VALID, NOT_FOUND]


async def test_a_connection_that_ends(scene: Scene) -> None:
    """The look-up of a client that went away is given up: nothing is counted, and nothing written."""
    wire = await scene.connect()
    await wire.receive(request(OTHER_KEY))
    wire.protocol.connection_lost(None)
    assert await scene.answer(wire) == []
    assert scene.verdicts == {}
    closing = await scene.connect()
    scene.hold.clear()
    await closing.receive(request(OTHER_KEY))
    closing.transport.close()
    assert await scene.answer(closing) == []
    assert scene.verdicts == {}


async def test_a_service_that_stops(scene: Scene) -> None:
    """A request that waits for its look-up is answered before the service ends."""
    wire = await scene.connect()
    await wire.receive(request(KEY))
    wire.protocol.shutdown()
    await wire.rest()
    assert await scene.answer(wire) == [VALID]
    assert scene.looked_up == 1


async def test_a_slow_look_up(scene: Scene) -> None:
    """The application takes a request over when the time of the connection is checked, and no request is lost."""
    wire = await scene.connect()
    await wire.receive(request(KEY))
    wire.loop.pass_seconds(60)
    assert await scene.answer(wire) == [VALID]


async def test_an_unavailable_database(scene: Scene) -> None:
    """A look-up that fails is answered as the application answers it."""
    wire = await scene.connect()
    scene.store.away = True
    await wire.receive(request(KEY))
    assert await scene.answer(wire) == [(503, "storage_unavailable")]
    scene.store.away = False
    await wire.receive(request(KEY))
    assert (await scene.answer(wire))[1:] == [VALID]


async def test_a_verifier_that_was_revoked_meanwhile(scene: Scene) -> None:
    """A verifier whose credential ends while its request waits is refused."""
    wires = [await scene.connect() for _ in range(2)]
    for wire, key in zip(wires, [KEY, OTHER_KEY], strict=True):
        await wire.receive(request(key))
    del scene.store.verifier_by_digest[CREDENTIAL.digest]
    scene.verifier_cache.drop([CREDENTIAL.digest])
    assert await scene.answer(*wires) == [(401, "invalid_token")] * 2
    assert scene.verdicts == {}


async def test_what_the_application_decides(scene: Scene) -> None:
    """The failure limit, a full queue, a cached key and a cache that is not fresh are for the application."""
    scene.hold.set()
    wire = await scene.connect()
    for _ in range(MOST_FAILURES):
        await wire.receive(request(OTHER_KEY, client_ip="192.0.2.1"))
    assert scene.app.requests == 0
    await wire.receive(request(KEY, client_ip="192.0.2.1"))
    assert (await scene.answer(wire))[-1] == (200, "rate_limited")
    await wire.receive(request("junk"))
    assert scene.app.requests == 2
    scene.time.seconds += BOUND_SECONDS + 1
    scene.verifier_cache.synced(scene.time())
    await wire.receive(request(KEY))
    assert ((await scene.answer(wire))[-1], scene.app.requests) == (VALID, 3)
    scene.follow()
    look_ups, first = scene.checker.verification._look_ups, PAIR.private.digest[0]
    for number in range(LONGEST_QUEUE_OF_SHARE):
        look_ups.find(bytes([first ^ 1]) + number.to_bytes(31, "big"), "edge", shared=True)
    wire.protocol.data_received(request(OTHER_KEY))
    await wire.rest()
    assert scene.app.requests == 4
