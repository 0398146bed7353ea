"""
The database goes away under load, and comes back: keys that are known go on working and say that they are stale, all
else is our own trouble (503), and nobody has to do anything for it to be over.

`KEYWRIGHT_TEST_OUTAGE_SECONDS` says for how long PostgreSQL is stopped; the promise is kept for 60 as for 12.
"""

import asyncio
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from keywright.dev.issuer import DevIssuer
from keywright.keys.cache import BOUND_SECONDS
from keywright.keys.pair import mint
from tests.history.nodes import Node, create_verifier
from tests.history.wire import Broken, Connection, Response
from tests.live import environment
from tests.postgres import PostgresCluster, migrated_database
from tests.waiting import until

# One after the other: each of them loads the machine by itself.
pytestmark = [pytest.mark.early, pytest.mark.xdist_group("trouble")]

OUTAGE_SECONDS = float(os.environ.get("KEYWRIGHT_TEST_OUTAGE_SECONDS", "12"))
KEYS = "/api/v2/api-keys"
VERIFY = f"{KEYS}/verify"
KNOWN, UNSEEN, UNKNOWN, LIST, CREATE, READY = "known", "unseen", "unknown", "list", "create", "readyz"
PAUSE_SECONDS = 0.02
CALM_SECONDS = 2.0
PATIENCE_SECONDS = 30.0


class Seen(NamedTuple):
    """A request of the load, when it began and ended, and how; no response where there was none."""

    start: float
    end: float
    kind: str
    response: Response | None

    @property
    def status(self) -> int:
        """The status; 0 without a response."""
        return 0 if self.response is None else self.response.status

    @property
    def code(self) -> str | None:
        """The code of a verdict or of an error."""
        found: str | None = None if self.response is None else self.response.json().get("code")
        return found

    @property
    def stale(self) -> bool:
        """Whether it says that it is stale, in the body and in the header."""
        if self.response is None or self.status != 200 or self.kind in (LIST, READY):
            return False
        said = self.response.json().get("stale", False)
        assert said is (self.response.headers.get("keywright-stale") == "true")
        return bool(said)


@dataclass
class Calls:
    """Calls one node as a verifier and as a customer."""

    node: Node
    credential: str
    token: str

    async def verify(self, key: str) -> Response:
        """Verify a key on a connection of its own."""
        return await self._once(self.credential, "POST", VERIFY, {"key": key})

    async def manage(self, method: str, path: str, body: Any = None) -> Response:
        """Do what a customer does."""
        return await self._once(self.token, method, path, body)

    async def new_key(self) -> dict[str, Any]:
        """Create a key."""
        created: dict[str, Any] = (await self.manage("POST", KEYS, {"name": "outage"})).json()
        return created

    def connection(self, bearer: str) -> Connection:
        """Give a connection for many calls."""
        return Connection(*self.node.address, {"Authorization": f"Bearer {bearer}"})

    async def _once(self, bearer: str, method: str, path: str, body: Any) -> Response:
        connection = self.connection(bearer)
        try:
            return await connection.request(method, path, body)
        finally:
            connection.close()


@dataclass
class Load:
    """Requests of every kind, over and over, and what became of them."""

    calls: Calls
    known: list[str]
    unseen: list[str]
    seen: list[Seen] = field(default_factory=list)

    async def go_on(self) -> None:
        """Ask until cancelled."""
        verify, manage = self.calls.credential, self.calls.token
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(self._repeat(KNOWN, verify, lambda: ("POST", VERIFY, {"key": _any(self.known)})))
            tasks.create_task(self._repeat(UNKNOWN, verify, lambda: ("POST", VERIFY, {"key": _nobodys_key()})))
            tasks.create_task(self._repeat(LIST, manage, lambda: ("GET", KEYS, None)))
            tasks.create_task(self._repeat(CREATE, manage, lambda: ("POST", KEYS, {"name": "load"})))
            tasks.create_task(self._repeat(READY, manage, lambda: ("GET", "/readyz", None)))

    async def ask_unseen(self) -> None:
        """Verify each of the keys that exist, and that the node has never seen."""
        connection = self.calls.connection(self.calls.credential)
        for key in self.unseen:
            await self._ask(UNSEEN, connection, "POST", VERIFY, {"key": key})
        connection.close()

    async def _repeat(self, kind: str, bearer: str, request: Callable[[], tuple[str, str, Any]]) -> None:
        connection = self.calls.connection(bearer)
        try:
            while True:
                await self._ask(kind, connection, *request())
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            connection.close()

    async def _ask(self, kind: str, connection: Connection, method: str, path: str, body: Any) -> None:
        start = time.monotonic()
        try:
            response = await connection.request(method, path, body, patience=PATIENCE_SECONDS)
        except Broken:
            response = None
        self.seen.append(Seen(start, time.monotonic(), kind, response))

    def between(self, start: float, end: float, *kinds: str) -> list[Seen]:
        """
        Give what was asked and answered between two moments, of these kinds.

        A request on its way when the state of the database changes may meet either state.
        """
        found = [seen for seen in self.seen if start < seen.start and seen.end < end and seen.kind in kinds]
        assert {seen.kind for seen in found} == set(kinds), "some were not asked at all"
        return found

    def works_since(self, start: float) -> bool:
        """Tell whether requests of every kind were answered, as they are when all is well, since a moment."""
        fine = {seen.kind for seen in self.seen if seen.start > start and seen.status in (200, 201) and not seen.stale}
        return fine >= {KNOWN, UNKNOWN, LIST, CREATE, READY}


def _any(keys: list[str]) -> str:
    return secrets.choice(keys)


def _nobodys_key() -> str:
    return mint(secrets.token_bytes(32), brand="kw", environment="live").private.reveal()


@asynccontextmanager
async def calling(
    cluster: PostgresCluster, issuer: DevIssuer, nodes: int, **settings: str
) -> AsyncIterator[list[Calls]]:
    """Run nodes on one database."""
    url = await asyncio.to_thread(migrated_database, cluster)
    credential = await asyncio.to_thread(create_verifier, url, "outage")
    env = environment(issuer, database_url=url, metrics="off", log_level="error", **settings)
    started = [Node(str(place), env) for place in range(nodes)]
    try:
        await asyncio.gather(*(node.start() for node in started))
        # From then on what is asked for outlasts an outage.
        await asyncio.gather(*(asyncio.to_thread(node.service.await_ready) for node in started))
        yield [Calls(node, credential, issuer.token("acme", expires_in=36_000)) for node in started]
    finally:
        await asyncio.gather(*(node.end() for node in started))


async def test_the_database_stops_under_load(own_cluster: PostgresCluster, issuer: DevIssuer) -> None:
    """While PostgreSQL is stopped what is known goes on, all else is a 503; once it is back all is well by itself."""
    async with calling(own_cluster, issuer, 1) as (calls,):
        known = [(await calls.new_key())["private_key"] for _ in range(20)]
        unseen = [(await calls.new_key())["private_key"] for _ in range(20)]
        for key in known:
            assert (await calls.verify(key)).json()["code"] == "valid"
        load = Load(calls, known, unseen)
        asking = asyncio.ensure_future(load.go_on())
        try:
            await asyncio.sleep(CALM_SECONDS)
            stopping = time.monotonic()
            await asyncio.to_thread(own_cluster.stop)
            stopped = time.monotonic()
            await asyncio.sleep(BOUND_SECONDS)
            await load.ask_unseen()
            await asyncio.sleep(max(0.0, stopped + OUTAGE_SECONDS - time.monotonic()))
            starting = time.monotonic()
            await asyncio.to_thread(own_cluster.start)
            await until(lambda: load.works_since(starting))
            recovered = time.monotonic()
            await asyncio.sleep(CALM_SECONDS)
            ended = time.monotonic()
        finally:
            asking.cancel()
            await asyncio.wait([asking])
    print(f"down for {starting - stopped:.1f} s, recovered {recovered - starting:.1f} s after the start began")
    print(Counter((seen.kind, seen.status, seen.stale) for seen in load.seen))

    # Known keys, at any time.
    assert {(seen.status, seen.code) for seen in load.between(0, ended, KNOWN)} == {(200, "valid")}
    assert all(seen.stale for seen in load.between(stopped + BOUND_SECONDS, starting, KNOWN))
    # Everything else, while it was down.
    others = load.between(stopped, starting, UNKNOWN, UNSEEN, LIST, CREATE)
    assert {(seen.status, seen.code) for seen in others} == {(503, "storage_unavailable")}
    assert all(int(seen.response.headers["retry-after"]) > 0 for seen in others if seen.response is not None)
    assert {seen.status for seen in load.between(stopped, starting, READY)} == {503}
    # Before and after it.
    for start, end in ((0, stopping), (recovered, ended)):
        calm = load.between(start, end, KNOWN, UNKNOWN, LIST, CREATE, READY)
        assert {seen.status for seen in calm} <= {200, 201}
        assert not any(seen.stale for seen in calm)
        assert {seen.code for seen in calm if seen.kind == UNKNOWN} == {"not_found"}


@pytest.mark.parametrize("outage_seconds", [0, 2])
async def test_the_outage_time_is_over(own_cluster: PostgresCluster, issuer: DevIssuer, outage_seconds: int) -> None:
    """Known keys are served for as long as the operator allows, then they are a 503 like all else, until it is over."""
    async with calling(own_cluster, issuer, 1, outage_seconds=str(outage_seconds)) as (calls,):
        key = (await calls.new_key())["private_key"]
        answers: list[tuple[float, Response]] = []

        async def verify() -> tuple[int, bool]:
            answers.append((time.monotonic(), await calls.verify(key)))
            response = answers[-1][1]
            return response.status, response.status == 200 and response.json().get("stale", False)

        assert await verify() == (200, False)
        await asyncio.to_thread(own_cluster.stop)
        stopped = time.monotonic()
        await until(lambda: _comes(verify, (503, False)))
        assert await verify() == (503, False)
        stale = [start for start, response in answers if "keywright-stale" in response.headers]
        assert bool(stale) is (outage_seconds > 0)
        assert all(start < stopped + BOUND_SECONDS + outage_seconds for start in stale)
        refused = answers[-1][1]
        assert refused.json()["code"] == "storage_unavailable"
        assert int(refused.headers["retry-after"]) > 0
        await asyncio.to_thread(own_cluster.start)
        await until(lambda: _comes(verify, (200, False)))
        assert [await verify() for _ in range(20)] == [(200, False)] * 20


async def _comes(verify: Callable[[], Awaitable[tuple[int, bool]]], expected: tuple[int, bool]) -> bool:
    return await verify() == expected


async def test_a_revocation_that_the_outage_overtook(own_cluster: PostgresCluster, issuer: DevIssuer) -> None:
    """
    A node that could not hear of a revocation before the database went away accepts the key with the mark only, no
    longer than the receipt said, and no more once it can hear again.
    """
    async with calling(own_cluster, issuer, 2) as (hears, does_not_hear):
        key = await hears.new_key()
        path, text = f"{KEYS}/{key['id']}", key["private_key"]
        for calls in (hears, does_not_hear):
            assert (await calls.verify(text)).json()["code"] == "valid"
        does_not_hear.node.stop()
        try:
            # What it asked of the database before it was stopped is answered by then.
            await asyncio.sleep(CALM_SECONDS)
            assert (await hears.manage("PUT", f"{path}/revoke")).status == 200
            revoked = time.monotonic()
            await until(lambda: _confirmed(hears, path, 1))
            receipt = (await hears.manage("GET", f"{path}/revocation")).json()
            assert (await hears.verify(text)).json()["code"] == "revoked"
            await asyncio.to_thread(own_cluster.stop)
        finally:
            does_not_hear.node.go_on()
        # Longer than the bound, however quick all that was.
        await asyncio.sleep(max(0.0, revoked + BOUND_SECONDS - time.monotonic()))
        for _ in range(20):
            response = await does_not_hear.verify(text)
            assert response.json()["code"] == "valid"
            assert response.json()["stale"] is True
            assert response.headers["keywright-stale"] == "true"
            assert datetime.now(UTC) < datetime.fromisoformat(receipt["may_accept_until"])
            # Who has heard of it goes on refusing.
            assert (await hears.verify(text)).json()["code"] == "revoked"
            await asyncio.sleep(PAUSE_SECONDS)
        await asyncio.to_thread(own_cluster.start)
        await until(lambda: _refused(does_not_hear, text))
        for _ in range(20):
            for calls in (hears, does_not_hear):
                response = await calls.verify(text)
                assert (response.json()["code"], "stale" in response.json()) == ("revoked", False)
        await until(lambda: _confirmed(hears, path, 2))
        assert (await hears.manage("GET", f"{path}/revocation")).json()["may_accept_until"] is None


async def _refused(calls: Calls, text: str) -> bool:
    response = await calls.verify(text)
    return response.status == 200 and response.json()["code"] == "revoked" and "stale" not in response.json()


async def _confirmed(calls: Calls, path: str, processes: int) -> bool:
    response = await calls.manage("GET", f"{path}/revocation")
    return response.status == 200 and response.json()["confirmed"] == processes
