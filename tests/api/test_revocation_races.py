"""
Two races of revocation, on the whole application and on both engines, in an order that the tests decide.

A feed that opens before its process follows the changes, and a revocation whose write waits after its time was stamped.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
import pytest

from keywright.app import create_app
from keywright.config import Settings
from keywright.keys.format import digest
from keywright.keys.pair import mint_credential
from keywright.plugs import Plugs
from keywright.service.change_feed import ChangeFeed
from keywright.service.faults import StorageUnavailable
from keywright.service.principal import Organization, Principal
from keywright.service.verifiers import Verifier
from keywright.storage.engine import RunningStore, open_store
from keywright.storage.migrate import migrate
from tests.conftest import database_url
from tests.storage.making import NOON
from tests.waiting import until

CREDENTIAL = mint_credential(b"v" * 32, brand="kw")
KEYS = "/api/v2/api-keys"
PRINCIPAL = Principal(
    issuer="https://id.acme.example/",
    subject="auth0|ann",
    client_id=None,
    organization=Organization(UUID(int=1), "https://id.acme.example/", "acme"),
    granted=None,
)


class OneToken:
    """Takes every token for that of one user, whose issuer's keys are always at hand."""

    async def authenticate(self, token: str) -> Principal:
        return PRINCIPAL

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def present(self) -> bool:
        return True

    def age(self) -> float | None:
        return 0.0


class HeldStore:
    """
    A store whose calls wait for gates, or fail.

    `follow` and `revoke` wait until their gate is open, and say by an event that they were called. While `away` is
    set, nothing can be read or written.
    """

    def __init__(self, store: RunningStore) -> None:
        self.store = store
        self.may_follow, self.may_revoke, self.revoking = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.away = False

    async def follow(self) -> ChangeFeed:
        await self.may_follow.wait()
        return HeldTrail(self, await self.store.follow())  # type: ignore[return-value]

    async def revoke(self, *change: Any) -> Any:
        self.revoking.set()
        await self.may_revoke.wait()
        return await self.store.revoke(*change)

    def __getattr__(self, name: str) -> Any:
        if self.away and name not in ("start", "close"):
            raise StorageUnavailable("away")
        return getattr(self.store, name)


class HeldTrail:
    """The trail of a `HeldStore`, which fails with it."""

    def __init__(self, held: HeldStore, trail: ChangeFeed) -> None:
        self._held = held
        self._trail = trail

    async def read(self) -> Any:
        if self._held.away:
            raise StorageUnavailable("away")
        return await self._trail.read()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trail, name)


class Node:
    """One process of the service, and a client of it."""

    def __init__(self, url: str) -> None:
        settings = Settings(
            issuer=PRINCIPAL.issuer,
            audience="https://api.acme.example",
            database_url=url,  # type: ignore[arg-type]
        )
        self.app = create_app(settings, change=self._change)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://node", headers={"Authorization": "Bearer a.b.c"}
        )

    def _change(self, plugs: Plugs) -> Plugs:
        self.store = HeldStore(plugs.store)
        return replace(plugs, store=self.store, authenticator=OneToken(), signing_keys=OneToken())  # type: ignore[arg-type]

    async def ready(self) -> None:
        """Wait until it follows the changes."""
        await until(self._is_ready)

    async def _is_ready(self) -> bool:
        return (await self.http.get("/readyz")).status_code == 200

    async def code(self, key: str) -> str:
        """Have a key verified."""
        answer = await self.http.post(
            f"{KEYS}/verify", json={"key": key}, headers={"Authorization": f"Bearer {CREDENTIAL.reveal()}"}
        )
        assert answer.status_code == 200, answer.text
        code: str = answer.json()["code"]
        return code


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a migrated database with one verifier."""
    url = database_url(request.param, tmp_path, request)
    await asyncio.to_thread(migrate, url)
    store = open_store(url)
    await store.add_verifier(
        Verifier(id=UUID(int=7), name="billing-api", display=CREDENTIAL.display, created_at=NOON), CREDENTIAL.digest
    )
    await store.close()
    return url


@asynccontextmanager
async def serving(url: str, *, following: bool = True) -> AsyncIterator[Node]:
    """Start a node; without *following* its follower waits until the test lets it begin."""
    node = Node(url)
    if following:
        node.store.may_follow.set()
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(node.app({"type": "lifespan", "asgi": {"version": "3.0"}}, events.get, answers.put))
    await events.put({"type": "lifespan.startup"})
    assert (await answers.get())["type"] == "lifespan.startup.complete"
    try:
        yield node
    finally:
        node.store.may_follow.set()
        node.store.may_revoke.set()
        await events.put({"type": "lifespan.shutdown"})
        await life
        await node.http.aclose()


class Feed:
    """A feed of a node, read as an in-process verifier reads it."""

    def __init__(self, node: Node, cursor: str | None) -> None:
        self.dropped: set[str] = set()
        # Up to when the feed says that it has sent everything, by this machine's clock; None before it began.
        self.covers: float | None = None
        self.cursor = cursor
        self._node = node
        self._session = uuid4()
        self._asked_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        """Open a stream, and another one whenever it is refused, as the SDK does."""
        while True:
            query = f"session={self._session}&name=test" + (f"&cursor={self.cursor}" if self.cursor else "")
            headers = [(b"authorization", f"Bearer {CREDENTIAL.reveal()}".encode()), (b"host", b"node")]
            scope = {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
                "path": "/api/v2/verifier/feed", "raw_path": b"/api/v2/verifier/feed",
                "query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 1),
                "server": ("node", 80), "root_path": "",
            }  # fmt: skip
            self._asked_at = time.monotonic()
            await self._node.app(scope, asyncio.Queue[Any]().get, self._take)
            await asyncio.sleep(0.01)

    async def _take(self, message: Any) -> None:
        if message["type"] != "http.response.body" or not message["body"].startswith(b"event:"):
            return
        for block in message["body"].decode().strip().split("\n\n"):
            name, *_, data = block.split("\n")
            fields = json.loads(data.removeprefix("data: "))
            self.dropped |= set(fields.get("digests", ()))
            if name in ("event: drop", "event: beat"):
                self.covers = self._asked_at + fields["elapsed"] - fields["age"]


async def created(node: Node) -> tuple[str, str]:
    """Create a key, and give its id and its private key."""
    answer = await node.http.post(KEYS, json={"name": "a key"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["private_key"]


@pytest.mark.parametrize("cursor", [None, "0"], ids=["begins anew", "goes on"])
async def test_a_feed_that_opens_before_its_process_follows(url: str, cursor: str | None) -> None:
    """A change that is made while a process begins to follow the changes reaches the feeds that are open there."""
    async with serving(url) as other:
        await other.ready()
        other.store.may_revoke.set()
        key_id, key = await created(other)
        async with serving(url, following=False) as starting, Feed(starting, cursor) as feed:
            # A feed that does not wait for its process has begun by then.
            for _ in range(100):
                if feed.covers is None:
                    await asyncio.sleep(0.005)
            assert (await other.http.put(f"{KEYS}/{key_id}/revoke")).status_code == 200
            revoked = time.monotonic()
            starting.store.may_follow.set()
            await until(lambda: feed.covers is not None and feed.covers > revoked)
            assert digest(key).hex() in feed.dropped


async def test_a_feed_whose_process_lost_its_connection(url: str) -> None:
    """A change that is made while a process cannot follow the changes reaches its feeds once it can again."""
    async with serving(url) as other, serving(url) as cut:
        await other.ready()
        await cut.ready()
        other.store.may_revoke.set()
        keys = [await created(other) for _ in range(3)]
        async with Feed(cut, None) as feed:
            await until(lambda: feed.covers is not None)
            cut.store.away = True
            for key_id, _ in keys:
                assert (await other.http.put(f"{KEYS}/{key_id}/revoke")).status_code == 200
            revoked = time.monotonic()
            cut.store.away = False
            await until(lambda: feed.covers is not None and feed.covers > revoked)
            assert {digest(key).hex() for _, key in keys} <= feed.dropped


async def test_a_session_that_begins_while_a_revocation_waits(url: str) -> None:
    """A receipt names a process that began after a revocation was stamped and before it was committed."""
    async with serving(url) as revoking:
        await revoking.ready()
        key_id, key = await created(revoking)
        revocation = asyncio.create_task(revoking.http.put(f"{KEYS}/{key_id}/revoke"))
        await revoking.store.revoking.wait()
        async with serving(url) as late:
            await late.ready()
            assert await late.code(key) == "valid"
            late.store.away = True
            revoking.store.may_revoke.set()
            revoked_at = datetime.fromisoformat((await revocation).json()["revoked_at"])

            async def is_confirmed() -> bool:
                return bool((await revoking.http.get(f"{KEYS}/{key_id}/revocation")).json()["confirmed"])

            await until(is_confirmed)
            assert await late.code(key) == "valid"
            receipt = (await revoking.http.get(f"{KEYS}/{key_id}/revocation")).json()
            assert (receipt["confirmed"], receipt["pending"]) == (1, 1)
            # Names of machines and processes are the operator's.
            members = {"kind", "connected_at", "confirmed_at", "may_accept_until"}
            assert all(session.keys() == members for session in receipt["verifiers"])
            assert datetime.fromisoformat(receipt["may_accept_until"]) > revoked_at + timedelta(seconds=301)
