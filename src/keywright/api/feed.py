"""
The feed of changes for verifiers (Server-Sent Events), their confirmations, and the uses they report.

The feed's promise, on which verifiers stake their answers: whatever was acknowledged before the moment that an event
names has been sent before that event. The moment is told as `elapsed - age`, seconds after the request arrived, so that
no clock has to agree with another.

A feed begins at a position in the log of the process's own follower and sends everything behind it, in the follower's
order. It reads nothing itself: a change cannot fall between two readings, for there is one.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from keywright.api.bodies import as_model, read_json_bytes
from keywright.api.callers import Callers
from keywright.api.problems import Refusal
from keywright.keys.digest import digest as digest_of
from keywright.keys.known import BOUND_SECONDS
from keywright.service.checking_ports import Change, CheckingStore, Session, Sighting, UsageBatch, Verifier
from keywright.service.faults import StorageUnavailable
from keywright.service.following import Following
from keywright.service.limits import Seconds
from keywright.service.ports import Clock
from keywright.service.presence import RENEW_EVERY_SECONDS, Presence
from keywright.service.verdicts import Caller

PREFIX = "/api/v2/verifier"
CURSOR = "^[0-9]{1,18}(-[0-9a-f]{8})?$"
BEAT_SECONDS = 0.2
# Clocks run at slightly different rates; a stream that ends now and then never lets them drift apart by much.
LONGEST_STREAM_SECONDS = 300.0
# A process that starts begins to follow within some milliseconds; one that cannot has nothing to send.
BEGIN_PATIENCE_SECONDS = 2.0
_MOST_SEQ = 2**62
_MOST_REPORTED = 1000
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
    cursor: str | None = Field(default=None, pattern=CURSOR)


class AckBody(BaseModel):
    """What a session has dropped."""

    model_config = ConfigDict(extra="forbid")

    session: UUID
    seqs: list[Annotated[int, Field(ge=0, lt=_MOST_SEQ)]] = Field(max_length=10_000)
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
    batch: int = Field(ge=1, lt=_MOST_SEQ)
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
    last_event_id: Annotated[str | None, Header(pattern=CURSOR)] = None,
) -> Response:
    """Send the changes as they happen, and a beat when nothing does."""
    parts = _parts(request)
    arrived = parts.monotonic()
    session = Session(
        id=query.session,
        verifier_id=subscriber.verifier.id,
        name=query.name,
        outage_seconds=query.outage_seconds,
    )
    stream = await open_stream(parts, session, subscriber.credential_digest, arrived)
    return StreamingResponse(
        stream.events(query.cursor if last_event_id is None else last_event_id),
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
    if body.closed:
        await parts.presence.close(body.session, subscriber.verifier.id)
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


async def open_stream(
    parts: FeedParts,
    session: Session,
    credential: bytes,
    arrived: float,
    *,
    patience: float = BEGIN_PATIENCE_SECONDS,
) -> "Stream":
    """
    Prepare a feed for a session, once receipts know of it.

    Args:
        credential: The digest of the credential that it was opened with.
        arrived: When the request arrived, by the monotonic clock of *parts*.
        patience: Seconds to wait until this process follows the changes.

    Raises:
        StorageUnavailable: This process does not follow the changes itself, or the session could not be stored.
    """
    try:
        async with asyncio.timeout(patience):
            await parts.following.begun()
    except TimeoutError:
        raise StorageUnavailable("the changes are not followed yet") from None
    await parts.presence.renew(session)
    return Stream(parts, session, credential, arrived)


class Stream:
    """One feed to one session; made by `open_stream`."""

    def __init__(self, parts: FeedParts, session: Session, credential: bytes, arrived: float) -> None:
        self._parts = parts
        self._following = parts.following
        self._session = session
        self._credential = credential
        self._arrived = arrived
        self._covered = -inf
        self._position = 0
        self._renew_at = arrived + RENEW_EVERY_SECONDS

    async def events(self, cursor: str | None) -> AsyncIterator[bytes]:
        """
        Give the events of the stream, until it has lasted long enough or the verifier was revoked.

        It ends, too, when the log has forgotten what was not sent yet.
        """
        beginning = self._begin(cursor)
        if beginning is None:
            return
        yield beginning
        while self._parts.monotonic() - self._arrived < LONGEST_STREAM_SECONDS:
            event = await self._next()
            if event is None:
                return
            yield event
            await self._renew()

    def _begin(self, cursor: str | None) -> bytes | None:
        """Take a position in the log, and give what comes before it; None when the verifier was revoked just now."""
        log = self._following.log
        recent = log.recent()
        if self._ends(recent):
            return None
        missed = None if cursor is None else log.missed(cursor)
        self._position = log.end
        self._cover()
        hello = self._event("hello", time=self._parts.clock().timestamp(), bound=BOUND_SECONDS, cursor=log.cursor)
        if missed is None:
            # Nobody can say what was missed. The recent changes are sent to be confirmed.
            return self._event("reset") + hello + self._drop(recent)
        return hello + self._drop(missed)

    async def _next(self) -> bytes | None:
        """Wait for changes, or for the time of a beat; None when the stream cannot go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await self._following.news(self._position)
        changes = self._following.log.after(self._position)
        if changes is None or self._ends(changes):
            return None
        self._position += len(changes)
        self._cover()
        return self._drop(changes) if changes else self._event("beat", cursor=self._following.log.cursor)

    def _ends(self, changes: Sequence[Change]) -> bool:
        """Tell whether the verifier itself is among the changes: it is revoked then, for good."""
        return any(self._credential in change.digests for change in changes)

    def _cover(self) -> None:
        """Take over how far the follower has come; all that it has read is before the position by now."""
        if self._following.since is not None:
            self._covered = max(self._covered, self._following.since)

    def _drop(self, changes: Sequence[Change]) -> bytes:
        digests = [digest.hex() for change in changes for digest in change.digests]
        seqs = [change.seq for change in changes]
        return self._event("drop", id=self._following.log.cursor, digests=digests, seqs=seqs)

    def _event(self, kind: str, *, id: str | None = None, **data: Any) -> bytes:  # noqa: A002 - the field's name
        now = self._parts.monotonic()
        data |= {"elapsed": round(now - self._arrived, 6), "age": round(now - self._covered, 6)}
        number = "" if id is None else f"id: {id}\n"
        return f"event: {kind}\n{number}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()

    async def _renew(self) -> None:
        now = self._parts.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + RENEW_EVERY_SECONDS
            await self._parts.presence.renew(self._session)
