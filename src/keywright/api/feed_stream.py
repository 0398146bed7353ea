"""
One stream of the change feed to one verifier session: what it begins with, what it sends, and when it ends.

The changes of an event are written once for all streams that send the same ones; only its two times are of the stream.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import Any, Protocol
from uuid import UUID

from keywright.keys.cache import BOUND_SECONDS
from keywright.service.change_feed import Change
from keywright.service.change_follower import ChangeFollower
from keywright.service.change_log import ORIGIN, seq_of
from keywright.service.checking.ports import CheckingStore, Seconds
from keywright.service.faults import StorageUnavailable
from keywright.service.feeds import Fanout, SessionWrites
from keywright.service.figures.ports import VerdictStore
from keywright.service.ports import Clock
from keywright.service.verifier_sessions import RENEW_EVERY_SECONDS, Session, SessionStore

BEAT_SECONDS = 0.2
# Clocks have slightly different rates; the end of a stream bounds their drift.
LONGEST_STREAM_SECONDS = 300.0
# Streams that began together, after a restart, end over a fifth of their time and not at once.
_EARLIEST_END = 0.8
# A new process begins to follow within some milliseconds; one that cannot follow has nothing to send.
BEGIN_PATIENCE_SECONDS = 2.0
ACK_PATIENCE_SECONDS = 1.0
"""How long an acknowledgement waits until this process has read the changes that another one sent."""

MOST_EVENT_BYTES = 4096
"""The longest event. More changes are sent as several events, of which the last one promises that all are there."""

# What an event has beside its digests and numbers: the names of its fields, a cursor, three times.
_ENVELOPE_BYTES = 288
_DIGEST_BYTES = 67
_MOST_SHARED = 8


class FeedStore(CheckingStore, SessionStore, VerdictStore, Protocol):
    """The store of verifier sessions, and of the usage and the verdicts that verifiers report."""


_Part = str
"""The changes of one event: its members `digests` and `seqs`, written."""
_Sent = tuple[int, int, str, str]


@dataclass(slots=True, kw_only=True)
class FeedParts:
    """The parts of the feed; one for all streams of a process."""

    store: FeedStore
    follower: ChangeFollower
    clock: Clock
    monotonic: Seconds
    writes: SessionWrites = field(init=False)
    fanout: Fanout = field(init=False)
    _shared: dict[_Sent, list[_Part]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.fanout = Fanout(self.follower)
        self.writes = SessionWrites(self.store, lambda: self.fanout.collect)

    def parts(self, position: int, changes: Sequence[Change], former: str, cursor: str) -> list[_Part]:
        """
        Write changes for a stream that is at *position* of the log, and whose cursor moves from *former* to *cursor*.

        Changes that the cursor passes are acknowledged with it, the others by their numbers.
        """
        sent = position, len(changes), former, cursor
        if sent not in self._shared:
            if len(self._shared) >= _MOST_SHARED:
                self._shared.clear()
            passed = range(seq_of(former) + 1, seq_of(cursor) + 1)
            self._shared[sent] = list(_parts(changes, passed))
        return self._shared[sent]


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
    await parts.writes.renew(session)
    return Stream(parts, session, credential, arrived)


async def acknowledge(
    parts: FeedParts, session_id: UUID, seqs: Sequence[int], after: str | None = None, to: str | None = None
) -> None:
    """
    Store that a session has applied changes.

    Args:
        parts: The parts of the feed.
        session_id: The session.
        seqs: Changes by their numbers, whatever its position.
        after: The cursor up to which it acknowledged before.
        to: Its cursor: it has all changes up to it. None: it acknowledges nothing but *seqs*.

    Raises:
        StorageUnavailable: This process has not read so far, or nothing is stored.
    """
    passed = [] if to is None else await _passed(parts.follower, after, to)
    await parts.writes.acknowledge(session_id, list(dict.fromkeys((*seqs, *passed))))


async def _passed(follower: ChangeFollower, after: str | None, to: str) -> list[int]:
    """Give the numbers between two cursors; wait until this process has read what another one has sent."""
    try:
        async with asyncio.timeout(ACK_PATIENCE_SECONDS):
            while (seqs := follower.log.between(after, to)) is None:
                await follower.news(follower.log.end)
    except TimeoutError:
        raise StorageUnavailable("the changes are not read so far yet") from None
    return seqs


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
        share = session.id.int % 1000 / 1000
        self._end_at = arrived + LONGEST_STREAM_SECONDS * (_EARLIEST_END + (1 - _EARLIEST_END) * share)

    async def events(self, cursor: str | None) -> AsyncIterator[bytes]:
        """
        Give the events of the stream, for `LONGEST_STREAM_SECONDS` at most or until the verifier is revoked.

        It ends, too, when the change log has dropped changes that were not sent yet.
        """
        with self._parts.fanout.counted():
            events = self._begin(cursor)
            while events is not None:
                for event in events:
                    yield event
                    await self._renew()
                if self._parts.monotonic() >= self._end_at:
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
            return chain((self._event("reset"), hello), self._drop(list(_parts(recent, range(0)))))
        self._cursor = cursor or ORIGIN
        # Acknowledged by their numbers: some of them may be below the cursor.
        return chain((hello,), self._drop(list(_parts(missed, range(0)))))

    async def _next(self) -> Iterator[bytes] | None:
        """Wait for changes, or for the time of a beat; None when the stream ends."""
        await self._parts.fanout.news(self._position, BEAT_SECONDS)
        log, position = self._follower.log, self._position
        changes = log.after(position)
        if changes is None or self._ends(changes):
            return None
        if not changes:
            return self._beat()
        self._position += len(changes)
        return self._drop(self._parts.parts(position, changes, self._cursor, log.cursor))

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

    def _drop(self, parts: Sequence[_Part]) -> Iterator[bytes]:
        """
        Give the events of changes, each of a bounded size.

        All but the last one have the cursor and the promise of the event before: the reader lacks changes still.
        """
        cursor, covered = self._follower.log.cursor, self._covered
        *first, last = parts
        return chain((self._part(part) for part in first), self._last_part(last, cursor, covered))

    def _part(self, part: _Part) -> bytes:
        within = f'"within":{round(self._parts.fanout.spread, 3)}'
        return f"event: drop\nid: {self._cursor}\ndata: {{{part},{within},{self._times()}}}\n\n".encode()

    def _last_part(self, part: _Part, cursor: str, covered: float) -> Iterator[bytes]:
        self._cursor, self._promised = cursor, covered
        yield self._part(part)

    def _beat(self) -> Iterator[bytes]:
        self._cursor, self._promised = self._follower.log.cursor, self._covered
        yield f'event: beat\ndata: {{"cursor":"{self._cursor}",{self._times()}}}\n\n'.encode()

    def _times(self) -> str:
        now = self._parts.monotonic()
        return f'"elapsed":{round(now - self._arrived, 6)},"age":{round(now - self._promised, 6)}'

    def _event(self, kind: str, **data: Any) -> bytes:
        members = json.dumps(data, separators=(",", ":"))[1:-1]
        return f"event: {kind}\ndata: {{{members}{',' if data else ''}{self._times()}}}\n\n".encode()

    async def _renew(self) -> None:
        now = self._parts.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + RENEW_EVERY_SECONDS
            await self._parts.writes.renew(self._session)


def _parts(changes: Sequence[Change], passed: range) -> Iterator[_Part]:
    """Divide changes among events, one at least; the numbers in *passed* are left out."""
    digests: list[str] = []
    seqs: list[int] = []
    room = MOST_EVENT_BYTES - _ENVELOPE_BYTES
    for change in changes:
        size = len(change.digests) * _DIGEST_BYTES + len(str(change.seq)) + 1
        if size > room:
            yield _written(digests, seqs)
            digests, seqs, room = [], [], MOST_EVENT_BYTES - _ENVELOPE_BYTES
        digests.extend(digest.hex() for digest in change.digests)
        if change.seq not in passed:
            seqs.append(change.seq)
        room -= size
    yield _written(digests, seqs)


def _written(digests: Sequence[str], seqs: Sequence[int]) -> _Part:
    return json.dumps({"digests": digests, "seqs": seqs}, separators=(",", ":"))[1:-1]
