"""
The change feed for verifiers (Server-Sent Events), their acknowledgements, and the usage that they report.

The promise of the feed, on which verdicts of in-process verifiers depend: all changes acknowledged before the time in
an event were sent before that event. The time is `elapsed - age`, in seconds after the request arrived, so that no two
clocks have to agree.

A feed begins at a position in the process's change log and sends all changes after it, in the same order. It reads no
database itself: the change follower is the only reader, so no change can be lost between two readers.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from math import inf
from typing import Annotated, Any, NamedTuple, Protocol
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from keywright.api.http.bodies import Body, BodyInput, ParsedBody
from keywright.api.http.principal import note_source
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import HeaderInput, Input, InputReader, Query, Trust, operation
from keywright.api.verifier_reports import batch_of, believed, verdicts_of, version_of
from keywright.keys.cache import BOUND_SECONDS
from keywright.keys.format import digest as digest_of
from keywright.keys.verdict import Code, KeyFacts
from keywright.service.change_feed import Change
from keywright.service.change_follower import ChangeFollower
from keywright.service.change_log import ORIGIN
from keywright.service.checking.ports import CheckingStore, HourlyUsage, Seconds, UsageBatch
from keywright.service.checking.verdicts import Caller
from keywright.service.faults import Fault, StorageUnavailable
from keywright.service.figures.ports import VerdictStore
from keywright.service.ports import Clock
from keywright.service.verifier_sessions import RENEW_EVERY_SECONDS, Session, SessionStore
from keywright.service.verifiers import Verifier

PREFIX = "/api/v2/verifier"
FEED = f"{PREFIX}/feed"
CURSOR = "^[0-9]{1,18}(-[0-9a-f]{8})?$"
BEAT_SECONDS = 0.2
# Clocks have slightly different rates; the end of a stream bounds their drift.
LONGEST_STREAM_SECONDS = 300.0
# A new process begins to follow within some milliseconds; one that cannot follow has nothing to send.
BEGIN_PATIENCE_SECONDS = 2.0
MOST_EVENT_BYTES = 4096
"""The longest event. More changes are sent as several events, of which the last one promises that all are there."""

# What an event has beside its digests and numbers: the names of its fields, a cursor, two times.
_ENVELOPE_BYTES = 256
_DIGEST_BYTES = 67
_MOST_SEQ = 2**62
_MOST_REPORTED = 1000
_MOST_USAGE_BYTES = 512 * 1024


class FeedStore(CheckingStore, SessionStore, VerdictStore, Protocol):
    """The store of verifier sessions, and of the usage and the verdicts that verifiers report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedParts:
    """The parts of the feed; the same for every request."""

    store: FeedStore
    follower: ChangeFollower
    clock: Clock
    monotonic: Seconds


@dataclass(frozen=True, slots=True)
class _Subscriber:
    """The calling verifier, and the digest of its credential."""

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
    """The changes that a session has applied, by their numbers; `closed` ends the session."""

    model_config = ConfigDict(extra="forbid")

    session: UUID
    seqs: list[Annotated[int, Field(ge=0, lt=_MOST_SEQ)]] = Field(max_length=10_000)
    closed: bool = False


def _is_known(code: Code) -> Code:
    """Refuse `not_found`: nobody's key was presented."""
    if code is Code.NOT_FOUND:
        raise ValueError("a text that is no key is reported by nobody")
    return code


class UsageRecordBody(BaseModel):
    """
    One usage record, added up by the verifier that decided: uses, or refusals with one `code`.

    In-process verifiers of earlier versions report uses alone, without a code.
    """

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    hour: AwareDatetime
    network: str | None = Field(pattern=r"^[0-9a-f.:/]{1,64}$")
    agent: str | None = Field(pattern=r"^[A-Za-z0-9._+-]{1,64}$")
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    count: int = Field(ge=1, le=10**12)
    code: Annotated[Code, AfterValidator(_is_known)] = Code.VALID


class UsageBody(BaseModel):
    """A batch of usage records; `batch` numbers those of the session, from 1, and the same number is counted once."""

    model_config = ConfigDict(extra="forbid")

    session: UUID
    batch: int = Field(ge=1, lt=_MOST_SEQ)
    usage: list[UsageRecordBody] = Field(max_length=_MOST_REPORTED)


class SubscriberInput(Input):
    """The calling verifier."""

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        async def read(request: Request) -> _Subscriber:
            authorization = request.headers.getlist("authorization")
            try:
                caller: Caller = await trust.callers.recognize(authorization)
            except (Refusal, Fault):
                note_source(request, trust)
                raise
            if caller.verifier is None:
                raise Refusal("verifier_required")
            return _Subscriber(caller.verifier, digest_of(authorization[0].split(" ")[1]))

        return InputReader(read)


ByVerifier = Annotated[_Subscriber, SubscriberInput()]


class FeedRoutes:
    """The routes of verifiers, `/api/v2/verifier/…`: feed, acknowledgements, usage."""

    def __init__(self, parts: FeedParts) -> None:
        self._parts = parts

    @operation("GET", FEED)
    async def feed(
        self,
        subscriber: ByVerifier,
        query: Query[FeedQuery],
        last_event_id: Annotated[str | None, Field(pattern=CURSOR), HeaderInput()],
        user_agent: Annotated[str | None, HeaderInput()],
    ) -> Response:
        """Send the changes as they happen, and a beat when there are none."""
        arrived = self._parts.monotonic()
        session = Session(
            id=query.session,
            verifier_id=subscriber.verifier.id,
            name=query.name,
            outage_seconds=query.outage_seconds,
            version=version_of(user_agent),
        )
        stream = await open_stream(self._parts, session, subscriber.credential_digest, arrived)
        return StreamingResponse(
            stream.events(query.cursor if last_event_id is None else last_event_id),
            media_type="text/event-stream",
            # nginx and others would otherwise hold events back until a buffer is full.
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @operation("POST", f"{PREFIX}/ack")
    async def ack(self, subscriber: ByVerifier, ack: Body[AckBody]) -> Response:
        """Note the changes that a session has applied; `closed` ends it."""
        body = ack.model
        if body.seqs:
            await self._parts.store.confirm(body.session, body.seqs)
        if body.closed:
            await self._parts.store.close_session(body.session, subscriber.verifier.id)
        return Response(status_code=204)

    @operation("POST", f"{PREFIX}/usage")
    async def usage(
        self, subscriber: ByVerifier, report: Annotated[ParsedBody[UsageBody], BodyInput(most=_MOST_USAGE_BYTES)]
    ) -> Response:
        """Add up the uses that a verifier accepted, and its refusals of keys."""
        body = report.model
        known = await self._parts.store.find_keys([bytes.fromhex(reported.digest) for reported in body.usage])
        now = self._parts.clock()
        found = [_usage_record(known, reported, subscriber.verifier.name, now) for reported in body.usage]
        records = [record for record in found if record is not None]
        await self._parts.store.add_usage(records, UsageBatch(body.session, body.batch))
        await self._parts.store.add_verdicts(verdicts_of(records, now), batch_of(body.session, body.batch))
        return Response(status_code=204)


class _Part(NamedTuple):
    """The digests of one event in hexadecimal, and the numbers of the changes of which it has the last digest."""

    digests: list[str]
    seqs: list[int]


def _parts(changes: Sequence[Change]) -> Iterator[_Part]:
    """Divide changes among events; one event without any change."""
    part, room = _Part([], []), MOST_EVENT_BYTES - _ENVELOPE_BYTES
    for change in changes:
        size = len(change.digests) * _DIGEST_BYTES + len(str(change.seq)) + 1
        if size > room:
            yield part
            part, room = _Part([], []), MOST_EVENT_BYTES - _ENVELOPE_BYTES
        part.digests.extend(digest.hex() for digest in change.digests)
        part.seqs.append(change.seq)
        room -= size
    yield part


def _usage_record(
    known: Mapping[bytes, KeyFacts], reported: UsageRecordBody, verifier: str, now: datetime
) -> HourlyUsage | None:
    digest = bytes.fromhex(reported.digest)
    facts = known.get(digest)
    if facts is None:
        return None
    return HourlyUsage(
        key_id=UUID(bytes=facts.id),
        digest=digest,
        hour=believed(reported.hour, now).astimezone(UTC).replace(minute=0, second=0, microsecond=0),
        network=reported.network,
        agent=reported.agent,
        verifier=verifier,
        first_seen=believed(reported.first_seen, now),
        last_seen=believed(reported.last_seen, now),
        count=reported.count,
        code=reported.code,
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
    Store the session, so that receipts name it, and prepare its stream.

    Args:
        parts: The parts of the feed.
        session: The verifier session.
        credential: The digest of the credential of the request.
        arrived: When the request arrived, by the monotonic clock of *parts*.
        patience: Seconds to wait until this process follows the changes.

    Raises:
        StorageUnavailable: This process does not follow the changes itself, or the session could not be stored.
    """
    try:
        async with asyncio.timeout(patience):
            await parts.follower.begun()
    except TimeoutError:
        raise StorageUnavailable("the changes are not followed yet") from None
    await parts.store.renew_session(session)
    return Stream(parts, session, credential, arrived)


class Stream:
    """One feed to one session; made by `open_stream`."""

    def __init__(self, parts: FeedParts, session: Session, credential: bytes, arrived: float) -> None:
        self._parts = parts
        self._follower = parts.follower
        self._session = session
        self._credential = credential
        self._arrived = arrived
        self._position = 0
        # Of the last event that was sent: a reader that has it has all changes up to the one, and before the other.
        self._cursor = ORIGIN
        self._promised = arrived - LONGEST_STREAM_SECONDS
        self._renew_at = arrived + RENEW_EVERY_SECONDS

    async def events(self, cursor: str | None) -> AsyncIterator[bytes]:
        """
        Give the events of the stream, for `LONGEST_STREAM_SECONDS` or until the verifier is revoked.

        It ends, too, when the change log has dropped changes that were not sent yet.
        """
        events = self._begin(cursor)
        while events is not None:
            for event in events:
                yield event
                await self._renew()
            if self._parts.monotonic() - self._arrived >= LONGEST_STREAM_SECONDS:
                return
            events = await self._next()

    def _begin(self, cursor: str | None) -> Iterator[bytes] | None:
        """Set the position in the change log, and give the events before it; None for a revoked verifier."""
        log = self._follower.log
        recent = log.recent()
        if self._ends(recent):
            return None
        missed = None if cursor is None else log.missed(cursor)
        self._position = log.end
        hello = self._event("hello", time=self._parts.clock().timestamp(), bound=BOUND_SECONDS, cursor=log.cursor)
        if missed is None:
            # It is unknown which changes were missed. The recent ones are sent to be acknowledged.
            self._cursor = log.cursor
            return chain((self._event("reset"), hello), self._drop(recent))
        self._cursor = cursor or ORIGIN
        return chain((hello,), self._drop(missed))

    async def _next(self) -> Iterator[bytes] | None:
        """Wait for changes, or for the time of a beat; None when the stream ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await self._follower.news(self._position)
        changes = self._follower.log.after(self._position)
        if changes is None or self._ends(changes):
            return None
        self._position += len(changes)
        return self._drop(changes) if changes else self._beat()

    def _ends(self, changes: Sequence[Change]) -> bool:
        """Tell whether the changes name the verifier itself: then it was revoked, for good."""
        return any(self._credential in change.digests for change in changes)

    @property
    def _covered(self) -> float:
        """
        The time before which all changes are sent once the current event is sent.

        It is the last sync of the change follower: the changes it has read are before the position, or in the event.
        """
        since = self._follower.since
        return -inf if since is None else since

    def _drop(self, changes: Sequence[Change]) -> Iterator[bytes]:
        """
        Give the events of changes, each of a bounded size.

        All but the last one have the cursor and the promise of the event before: the reader lacks changes still.
        """
        cursor, covered = self._follower.log.cursor, self._covered
        *first, last = _parts(changes)
        return chain((self._part(part) for part in first), self._last_part(last, cursor, covered))

    def _part(self, part: _Part) -> bytes:
        return self._event("drop", id=self._cursor, digests=part.digests, seqs=part.seqs)

    def _last_part(self, part: _Part, cursor: str, covered: float) -> Iterator[bytes]:
        self._cursor, self._promised = cursor, covered
        yield self._part(part)

    def _beat(self) -> Iterator[bytes]:
        self._cursor, self._promised = self._follower.log.cursor, self._covered
        yield self._event("beat", cursor=self._cursor)

    def _event(self, kind: str, *, id: str | None = None, **data: Any) -> bytes:  # noqa: A002 - the field's name
        now = self._parts.monotonic()
        data |= {"elapsed": round(now - self._arrived, 6), "age": round(now - self._promised, 6)}
        number = "" if id is None else f"id: {id}\n"
        return f"event: {kind}\n{number}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()

    async def _renew(self) -> None:
        now = self._parts.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + RENEW_EVERY_SECONDS
            await self._parts.store.renew_session(self._session)
