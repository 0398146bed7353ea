"""
The change feed for verifiers (Server-Sent Events), their acknowledgements, and the usage that they report.

The promise of the feed, on which verdicts of in-process verifiers depend: all changes acknowledged before the time in
an event were sent before that event. The time is `elapsed - age`, in seconds after the request arrived, so that no two
clocks have to agree.

A feed begins at a position in the process's change log and sends all changes after it, in the same order. It reads no
database itself: the change follower is the only reader, so no change can be lost between two readers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from keywright.api.feed_stream import FeedParts, acknowledge, open_stream
from keywright.api.http.bodies import Body, BodyInput, ParsedBody
from keywright.api.http.principal import note_source
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import HeaderInput, Input, InputReader, Query, Trust, operation
from keywright.api.verifier_reports import batch_of, believed, verdicts_of, version_of
from keywright.contract.feed import FEED
from keywright.keys.format import digest as digest_of
from keywright.keys.verdict import Code, KeyFacts
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.checking.verdicts import Caller
from keywright.service.faults import Fault
from keywright.service.verifier_sessions import Session
from keywright.service.verifiers import Verifier

PREFIX = "/api/v2/verifier"
CURSOR = "^[0-9]{1,18}(-[0-9a-f]{8})?$"
_MOST_SEQ = 2**62
_MOST_REPORTED = 1000
_MOST_USAGE_BYTES = 512 * 1024


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
    """
    The changes that a session has applied, and with `closed` its end.

    `to` is its cursor: it has applied all changes up to it. `after` is the cursor that it acknowledged before. `seqs`
    are the numbers of others.
    """

    model_config = ConfigDict(extra="forbid")

    session: UUID
    seqs: list[Annotated[int, Field(ge=0, lt=_MOST_SEQ)]] = Field(default=[], max_length=10_000)
    after: str | None = Field(default=None, pattern=CURSOR)
    to: str | None = Field(default=None, pattern=CURSOR)
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
        """Note up to where a session has applied the changes; `closed` ends it."""
        body = ack.model
        await acknowledge(self._parts, body.session, body.seqs, body.after, body.to)
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


def _usage_record(
    known: Mapping[bytes, KeyFacts], reported: UsageRecordBody, verifier: str, now: datetime
) -> HourlyUsage | None:
    digest = bytes.fromhex(reported.digest)
    facts = known.get(digest)
    if facts is None:
        return None
    return HourlyUsage(
        key_id=facts.id,
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
