"""
The feed of changes for verifiers (Server-Sent Events), their confirmations, and the uses they report.

The feed's promise, on which verifiers stake their answers: whatever was acknowledged before the moment that an event
names has been sent before that event. The moment is told as `elapsed - age`, seconds after the request arrived, so that
no clock has to agree with another.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from keywright.api.bodies import as_model, read_json_bytes
from keywright.api.callers import Caller, Callers
from keywright.api.problems import Refusal
from keywright.keys.digest import digest as digest_of
from keywright.keys.known import BOUND_SECONDS
from keywright.service.checking_ports import Change, CheckingStore, Session, Sighting, UsageBatch, Verifier
from keywright.service.following import Following
from keywright.service.ports import Clock
from keywright.service.presence import RENEW_EVERY_SECONDS, Presence
from keywright.service.verification import Seconds

PREFIX = "/api/v2/verifier"
BEAT_SECONDS = 0.2
# Clocks run at slightly different rates; a stream that ends now and then never lets them drift apart by much.
LONGEST_STREAM_SECONDS = 300.0
_NEWEST = 2**62
_MOST_REPORTED = 1000
_MOST_CAUGHT_UP = 10_000
_MOST_USAGE_BYTES = 512 * 1024

router = APIRouter(prefix=PREFIX, tags=["Verifiers"], include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedParts:
    """What the feed needs; the same for every request."""

    callers: Callers
    store: CheckingStore
    following: Following
    presence: Presence
    clock: Clock
    monotonic: Seconds


@dataclass(frozen=True, slots=True)
class _Subscriber:
    """A verifier that calls, and the digest of the credential it called with."""

    verifier: Verifier
    credential_digest: bytes


class FeedQuery(BaseModel):
    """The parameters of a feed."""

    model_config = ConfigDict(extra="forbid")

    session: UUID
    name: str = Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")
    outage_seconds: int = Field(default=300, ge=0, le=86_400)
    cursor: int | None = Field(default=None, ge=0, lt=_NEWEST)


class AckBody(BaseModel):
    """What a session has dropped."""

    model_config = ConfigDict(extra="forbid")

    session: UUID
    seqs: list[Annotated[int, Field(ge=0, lt=_NEWEST)]] = Field(max_length=10_000)
    closed: bool = False


class SightingBody(BaseModel):
    """Uses of one key, added up by the verifier that saw them."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    hour: AwareDatetime
    network: str | None = Field(pattern=r"^[0-9a-f.:/]{1,64}$")
    agent: str | None = Field(pattern=r"^[A-Za-z0-9._+-]{1,64}$")
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    count: int = Field(ge=1, le=10**12)


class UsageBody(BaseModel):
    """A batch of uses; `batch` numbers those of the session, from 1, and the same number is counted once."""

    model_config = ConfigDict(extra="forbid")

    session: UUID
    batch: int = Field(ge=1, lt=_NEWEST)
    sightings: list[SightingBody] = Field(max_length=_MOST_REPORTED)


async def _subscriber(request: Request) -> _Subscriber:
    authorization = request.headers.getlist("authorization")
    caller: Caller = await _parts(request).callers.recognize(authorization)
    if caller.verifier is None:
        raise Refusal("verifier_required")
    return _Subscriber(caller.verifier, digest_of(authorization[0].split(" ")[1]))


def _parts(request: Request) -> FeedParts:
    parts: FeedParts = request.app.state.feed
    return parts


ByVerifier = Annotated[_Subscriber, Depends(_subscriber)]


@router.get("/feed")
async def feed(
    request: Request,
    subscriber: ByVerifier,
    query: Annotated[FeedQuery, Query()],
    last_event_id: Annotated[str | None, Header(pattern="^[0-9]{1,18}$")] = None,
) -> Response:
    """Send the changes as they happen, and a beat when nothing does."""
    parts = _parts(request)
    arrived = parts.monotonic()
    cursor = query.cursor if last_event_id is None else int(last_event_id)
    now = parts.clock()
    session = Session(
        id=query.session,
        verifier_id=subscriber.verifier.id,
        name=query.name,
        outage_seconds=query.outage_seconds,
        connected_at=now,
        seen_at=now,
    )
    await parts.presence.renew(session)
    stream = _Stream(parts, session, subscriber.credential_digest, arrived)
    return StreamingResponse(
        stream.events(cursor),
        media_type="text/event-stream",
        # nginx and others would otherwise hold events back until a buffer is full.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.post("/ack", status_code=204)
async def ack(request: Request, subscriber: ByVerifier) -> Response:
    """Note what a session has dropped; `closed` ends it."""
    parts = _parts(request)
    body = as_model(AckBody, await read_json_bytes(request))
    await parts.presence.confirm(body.session, body.seqs)
    session = _streaming.get(body.session)
    if body.closed and session is not None:
        now = parts.clock()
        await parts.presence.renew(replace(session, seen_at=now, closed_at=now))
    return Response(status_code=204)


@router.post("/usage", status_code=204)
async def usage(request: Request, subscriber: ByVerifier) -> Response:
    """Add up the uses that a verifier saw."""
    parts = _parts(request)
    body = as_model(UsageBody, await read_json_bytes(request, most=_MOST_USAGE_BYTES))
    sightings = [await _sighting(parts, seen, subscriber.verifier.name) for seen in body.sightings]
    known = [sighting for sighting in sightings if sighting is not None]
    await parts.store.note_usage(known, UsageBatch(body.session, body.batch))
    return Response(status_code=204)


async def _sighting(parts: FeedParts, seen: SightingBody, verifier: str) -> Sighting | None:
    digest = bytes.fromhex(seen.digest)
    facts = await parts.store.find(digest)
    if facts is None:
        return None
    # A verifier whose clock is ahead must not move the last use into the future.
    now = parts.clock()
    return Sighting(
        key_id=UUID(bytes=facts.id),
        digest=digest,
        hour=min(seen.hour, now).replace(minute=0, second=0, microsecond=0),
        network=seen.network,
        agent=seen.agent,
        verifier=verifier,
        first_seen=min(seen.first_seen, now),
        last_seen=min(seen.last_seen, now),
        count=seen.count,
    )


# The sessions whose streams this process sends, so that a goodbye can be written down whole.
_streaming: dict[UUID, Session] = {}


class _Stream:
    """One feed to one session."""

    def __init__(self, parts: FeedParts, session: Session, credential: bytes, arrived: float) -> None:
        self._parts = parts
        self._session = session
        self._credential = credential
        self._arrived = arrived
        self._covered = arrived
        self._cursor = 0
        self._queue: asyncio.Queue[Sequence[Change]] = asyncio.Queue()
        self._renew_at = arrived + RENEW_EVERY_SECONDS

    async def events(self, cursor: int | None) -> AsyncIterator[bytes]:
        """Give the events of the stream, until it has lasted long enough or the verifier was revoked."""
        # Listening begins before the database is read, so that nothing falls between the two.
        stop_listening = self._parts.following.listen(self._queue.put_nowait)
        _streaming[self._session.id] = self._session
        try:
            yield await self._begin(cursor)
            while self._parts.monotonic() - self._arrived < LONGEST_STREAM_SECONDS:
                event = await self._next()
                if event is None:
                    return
                yield event
                await self._renew()
        finally:
            stop_listening()
            _streaming.pop(self._session.id, None)

    async def _begin(self, cursor: int | None) -> bytes:
        covered = self._parts.monotonic()
        changes, self._cursor = await self._parts.store.changes_after(_NEWEST if cursor is None else cursor)
        # Only now: had the database not answered, nothing would be covered.
        self._covered = covered
        hello: dict[str, Any] = {
            "time": self._parts.clock().timestamp(),
            "bound": BOUND_SECONDS,
            "cursor": self._cursor,
        }
        return self._catch_up(cursor, changes) + self._event("hello", **hello)

    def _catch_up(self, cursor: int | None, changes: Sequence[Change]) -> bytes:
        # Without a cursor nobody can say what was missed: look-ups may be under way that began before this stream. One
        # beyond the newest change is of a database that was restored since; one far behind is quicker to forget for.
        if cursor is None or cursor > self._cursor or len(changes) > _MOST_CAUGHT_UP:
            return self._event("reset")
        return self._drop(changes)

    async def _next(self) -> bytes | None:
        """Wait for changes, or for the time of a beat; None when the verifier itself is among the changes."""
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                changes = list(await self._queue.get())
        except TimeoutError:
            changes = []
        # Read before the queue is emptied: all that was read until then is in the queue by now.
        since = self._parts.following.since
        while not self._queue.empty():
            changes += self._queue.get_nowait()
        if since is not None:
            self._covered = max(self._covered, since)
        if any(self._credential in change.digests for change in changes):
            return None
        return self._drop(changes) if changes else self._event("beat", cursor=self._cursor)

    def _drop(self, changes: Sequence[Change]) -> bytes:
        self._cursor = max([self._cursor, *(change.seq for change in changes)])
        digests = [digest.hex() for change in changes for digest in change.digests]
        return self._event("drop", id=self._cursor, digests=digests, seqs=[change.seq for change in changes])

    def _event(self, kind: str, *, id: int | None = None, **data: Any) -> bytes:  # noqa: A002 - the field's name
        now = self._parts.monotonic()
        data |= {"elapsed": round(now - self._arrived, 6), "age": round(now - self._covered, 6)}
        number = "" if id is None else f"id: {id}\n"
        return f"event: {kind}\n{number}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()

    async def _renew(self) -> None:
        now = self._parts.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + RENEW_EVERY_SECONDS
            await self._parts.presence.renew(replace(self._session, seen_at=self._parts.clock()))
