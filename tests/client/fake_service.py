"""
A small Keywright service for verifiers, over real HTTP on loopback, that behaves as badly as a test tells it to.

    with fake_service() as service:
        key = service.create(scopes=["reports:read"])
        Verifier(service.url, service.credential)

It keeps keys in a dict and tells of changes as the real one does. What can be scripted: answers of any status
(`canned`), answers that wait (`held`), connections that are reset (`away`) or cut (`cut_feeds`), a feed that says
nothing (`muted`), a process that is stopped (`paused`), a lost place, answers from memory.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from math import inf
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from keywright.keys.format import digest
from keywright.keys.pair import mint, mint_credential
from keywright.keys.rate_limits import RateLimit
from tests.listening import serving

VERIFY = "/api/v2/api-keys/verify"
FEED = "/api/v2/verifier/feed"
ACK = "/api/v2/verifier/ack"
USAGE = "/api/v2/verifier/usage"
FACTS = "/api/v2/verifier/facts"
PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Canned:
    """An answer given in place of the real one."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FakeKey:
    """A key of the service."""

    text: str
    shown: dict[str, Any]
    expires_at: float | None
    revoked: bool = False
    retires_at: float | None = None
    allowed_ips: tuple[str, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    long_metadata: dict[str, Any] | None = None
    more_facts: dict[str, Any] = field(default_factory=dict)

    def answer(self, now: float) -> dict[str, Any]:
        """Give the answer to a verification that asks for nothing."""
        replaced, expired = (end is not None and end <= now for end in (self.retires_at, self.expires_at))
        code = "replaced" if replaced else "revoked" if self.revoked else "expired" if expired else "valid"
        facts = {
            "revoked": self.revoked,
            "expires_at": self.expires_at,
            "retires_at": self.retires_at,
            "allowed_ips": self.allowed_ips,
            "rate_limits": self.rate_limits,
            **self.more_facts,
        }
        shown = self.shown if self.long_metadata is not None else {**self.shown, "metadata": self.metadata}
        return {"valid": code == "valid", "code": code, "api_key": shown, "facts": facts}


class _Closed(Exception):
    """The connection is over."""


class FakeService:
    """The service; see the module. Its attributes may be changed at any time, from the test's thread."""

    def __init__(self) -> None:
        self.credential = mint_credential(os.urandom(32), brand="kw").reveal()
        self.url = ""
        self.seen: list[Seen] = []
        # What was reported of uses, and taken.
        self.sightings: list[dict[str, Any]] = []
        self.batches: dict[str, int] = {}
        self.knows_refusals = True
        self.canned: dict[str, Canned] = {}
        self.away = False
        self.muted = False
        self.from_memory = False
        self.age = 0.0
        # When it lost its database, on the monotonic clock: it reads no changes from then on, and sends events still.
        self.lost_database_at = inf
        self.more_facts: dict[str, Any] = {}
        # What the service adds to an answer when it counts limits itself.
        self.counted: dict[str, Any] = {}
        self.beat_seconds = 0.02
        self.stream_seconds = 300.0
        # Addresses whose guesses are limited; how many connections to break instead of answering; called at a goodbye.
        self.limited: set[str] = set()
        self.drop_next = 0
        self.at_goodbye: Callable[[], object] = lambda: None
        self.confirmed: set[int] = set()
        # The time over which acknowledgements are spread, and whether changes are to be acknowledged by the position.
        self.within = 0.0
        self.by_position = False
        self.keys: dict[bytes, FakeKey] = {}
        self._trail: list[bytes] = []
        self._first_place = 0
        self._feeds: set[asyncio.StreamWriter] = set()
        self._gates: dict[str, asyncio.Event] = {}
        self._going = asyncio.Event()
        self._going.set()
        self._loop: asyncio.AbstractEventLoop | None = None

    # Keys.

    def create(
        self,
        *,
        environment: str = "live",
        scopes: tuple[str, ...] = (),
        expires_at: float | None = None,
        name: str = "Billing export",
        org_id: UUID | None = None,
        **more: Any,
    ) -> str:
        """Make a key; give its text. *more* is what else `FakeKey` holds."""
        text = mint(os.urandom(32), brand="kw", environment=environment).private.reveal()
        shown = {
            "id": str(uuid4()),
            "org_id": str(org_id or uuid4()),
            "name": name,
            "environment": environment,
            "scopes": list(scopes),
            "expires_at": None if expires_at is None else _iso(expires_at),
        }
        self.keys[digest(text)] = FakeKey(text, shown, expires_at, **more)
        return text

    def revoke(self, text: str) -> int:
        """Revoke a key and tell of it; give the number of the change."""
        self.keys[digest(text)].revoked = True
        self._trail.append(digest(text))
        return len(self._trail)

    def delete(self, text: str) -> int:
        """Delete a key and tell of it; give the number of the change."""
        del self.keys[digest(text)]
        self._trail.append(digest(text))
        return len(self._trail)

    # Misbehaviour.

    @contextmanager
    def held(self, path: str) -> Iterator[None]:
        """Keep answers for *path* back meanwhile; they are worked out before, and sent after."""
        gate = self._gates[path] = asyncio.Event()
        try:
            yield
        finally:
            del self._gates[path]
            self._call(gate.set)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do nothing at all meanwhile, as a process that was sent SIGSTOP; connections stay open."""
        self._call(self._going.clear)
        try:
            yield
        finally:
            self._call(self._going.set)

    def cut_feeds(self) -> None:
        """Reset the connections of all feeds."""

        def cut() -> None:
            for writer in list(self._feeds):
                _reset(writer)

        self._call(cut)

    def lose_place(self) -> None:
        """Forget the past: who asks for what came after it is told to forget everything."""
        self._first_place = len(self._trail)

    # What was seen.

    def asked(self, path: str) -> list[Seen]:
        """Give the requests for *path*."""
        return [seen for seen in self.seen if seen.path == path]

    @property
    def feeds(self) -> int:
        """How many feeds are open."""
        return len(self._feeds)

    # The server.

    def _call(self, what: Callable[[], None]) -> None:
        done: Future[None] = Future()

        def run() -> None:
            what()
            done.set_result(None)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(run)
        done.result(PATIENCE_SECONDS)

    async def serve(self, ready: "Future[None]", end: asyncio.Event) -> None:
        """Serve until *end*."""
        self._loop = asyncio.get_running_loop()
        async with serving(self._serve) as port:
            self.url = f"http://127.0.0.1:{port}"
            ready.set_result(None)
            await end.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._connection(reader, writer)
        except (OSError, _Closed, asyncio.IncompleteReadError):
            pass
        finally:
            self._feeds.discard(writer)
            _reset(writer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            if self.away:
                raise _Closed
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            arrival = time.monotonic()
            first, *lines = head.split("\r\n")
            _, target, _ = first.split(" ")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name
            }
            raw = await reader.readexactly(int(headers.get("content-length", "0")))
            await self._going.wait()
            if self.away:
                raise _Closed
            url = urlsplit(target)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            seen = Seen(url.path, query, headers, json.loads(raw) if raw else None)
            self.seen.append(seen)
            if url.path != FEED and self.drop_next:
                self.drop_next -= 1
                raise _Closed
            if url.path == FEED and url.path not in self.canned:
                await self._feed(seen, arrival, writer)
                return
            await self._send(writer, *self._answer(seen), path=url.path)

    def _answer(self, seen: Seen) -> tuple[int, Any, Mapping[str, str]]:
        canned = self.canned.get(seen.path)
        if canned is not None:
            return canned.status, canned.body, canned.headers
        if seen.headers.get("authorization") != f"Bearer {self.credential}":
            return 401, problem("invalid_token", "The verifier credential is unknown or was revoked."), {}
        if seen.path == VERIFY:
            return 200, self._verify(seen), {"Cache-Control": "no-store"}
        if seen.path == FACTS:
            return 200, {"results": list(map(self._facts, seen.body["digests"]))}, {}
        if seen.path == ACK:
            return self._acknowledged(seen.body)
        if seen.path == USAGE:
            if not self.knows_refusals and any("code" in one for one in seen.body["usage"]):
                return 422, problem("validation_failed", "Extra inputs are not permitted."), {}
            session, batch = seen.body["session"], seen.body["batch"]
            if self.batches.get(session, 0) < batch:
                self.batches[session] = batch
                self.sightings += seen.body["usage"]
            return 204, None, {}
        return 404, problem("not_found", "There is no such resource."), {}

    def _acknowledged(self, body: dict[str, Any]) -> tuple[int, Any, Mapping[str, str]]:
        self.confirmed.update(body["seqs"])
        if "to" in body:
            self.confirmed.update(range(int(body["after"]) + 1, int(body["to"]) + 1))
        if body.get("closed"):
            self.at_goodbye()
        return 204, None, {}

    def _verify(self, seen: Seen) -> dict[str, Any]:
        if seen.body.get("client_ip") in self.limited:
            return {"valid": False, "code": "rate_limited", "api_key": None}
        key = self.keys.get(digest(seen.body["key"]))
        if key is None:
            return {"valid": False, "code": "not_found", "api_key": None}
        answer = key.answer(time.time())
        if self.from_memory:
            answer["stale"] = True
        if "keywright-facts" in seen.headers:
            answer["facts"] |= self.more_facts
            return answer
        del answer["facts"]
        if "include" in seen.body:
            answer["api_key"] = {**key.shown, "metadata": key.long_metadata or key.metadata}
        if key.rate_limits:
            answer |= self.counted
        if answer["valid"] and not set(seen.body.get("scopes", ())) <= set(key.shown["scopes"]):
            answer |= {"valid": False, "code": "insufficient_scope"}
        return answer

    def _facts(self, text: str) -> dict[str, Any]:
        key = self.keys.get(bytes.fromhex(text))
        if key is None:
            return {"valid": False, "code": "not_found", "api_key": None}
        answer = key.answer(time.time())
        answer["facts"] |= self.more_facts
        return answer

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, body: Any, headers: Mapping[str, str], *, path: str
    ) -> None:
        gate = self._gates.get(path)
        if gate is not None:
            await gate.wait()
        await self._going.wait()
        if self.away:
            raise _Closed
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in {"Content-Type": "application/json", **headers}.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await writer.drain()

    async def _feed(self, seen: Seen, arrival: float, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        self._feeds.add(writer)
        began, now = time.monotonic(), len(self._trail)
        place = int(seen.query.get("cursor", now))
        times = self._times(arrival, began)
        if "cursor" not in seen.query or not self._first_place <= place <= now:
            place = now
            await self._event(writer, "reset", times)
        hello = {"cursor": str(place), "time": time.time(), "bound": 1.0, **times}
        await self._event(writer, "hello", hello)
        if place < now:
            place = await self._drop(writer, place, times)
        while time.monotonic() - arrival < self.stream_seconds and not self.away:
            began = time.monotonic()
            times = self._times(arrival, began)
            if len(self._trail) > place:
                place = await self._drop(writer, place, times)
            await self._event(writer, "beat", {"cursor": str(place), **times})
            await asyncio.sleep(self.beat_seconds)
            while self.muted:  # noqa: ASYNC110  (asked by another thread)
                await asyncio.sleep(self.beat_seconds)

    async def _drop(self, writer: asyncio.StreamWriter, place: int, times: dict[str, float]) -> int:
        news = self._trail[place:]
        seqs = list(range(place + 1, place + 1 + len(news)))
        named = [] if self.by_position else seqs
        drop = {"digests": [changed.hex() for changed in news], "seqs": named, "within": self.within, **times}
        await self._event(writer, "drop", drop, place + len(news))
        return place + len(news)

    def _times(self, arrival: float, began: float) -> dict[str, float]:
        now = time.monotonic()
        return {"elapsed": now - arrival, "age": now - min(began, self.lost_database_at) + self.age}

    async def _event(self, writer: asyncio.StreamWriter, name: str, data: Any, place: int | None = None) -> None:
        await self._going.wait()
        if writer.is_closing():
            raise _Closed
        mark = "" if place is None else f"id: {place}\n"
        writer.write(f"event: {name}\n{mark}data: {json.dumps(data)}\n\n".encode())
        await writer.drain()


@contextmanager
def fake_service() -> Iterator[FakeService]:
    """Run a service in a thread."""
    service = FakeService()
    ready: Future[None] = Future()
    loops: list[asyncio.AbstractEventLoop] = []
    end = asyncio.Event()

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        await service.serve(ready, end)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="fake service")
    thread.start()
    try:
        ready.result(PATIENCE_SECONDS)
        yield service
    finally:
        with contextlib.suppress(IndexError):
            loops[0].call_soon_threadsafe(end.set)
        thread.join(PATIENCE_SECONDS)


def problem(code: str, detail: Any = "A sentence.") -> dict[str, Any]:
    """Write what the service says in place of an answer."""
    return {"type": "about:blank", "detail": detail, "code": code, "request_id": "req-12345678"}


def eventually(holds: Callable[[], Any], what: str = "it") -> None:
    """Wait until *holds* gives something true; fail when it does not in good time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.005)


async def eventually_async(holds: Callable[[], Any], what: str = "it") -> None:
    """Do as `eventually`, on an event loop."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come about"
        await asyncio.sleep(0.005)


def _reset(writer: asyncio.StreamWriter) -> None:
    # With a linger of nothing, closing sends RST: what the peer has not read is lost, as when a machine dies.
    peer = writer.get_extra_info("socket")
    if peer is not None and peer.fileno() >= 0:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
