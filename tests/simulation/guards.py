"""
The guards against the races of revocation, each with a way to take it out while schedules run.

A guard that two others cover is taken out together with them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any, NamedTuple

from keywright.api import feed_stream as api_feed
from keywright.client.verifier._answers import Answer
from keywright.client.verifier._checker import LocalChecker
from keywright.client.verifier._event_stream import StreamEvent
from keywright.client.verifier._feed import FeedReader
from keywright.client.verifier._session import VerifierSession
from keywright.contract import FeedDrop, FeedHello
from keywright.keys.cache import BOUND_SECONDS, DigestCache
from keywright.keys.verdict import NO_REQUIREMENTS
from keywright.service import change_log
from keywright.service.background_tasks import BackgroundTasks
from keywright.service.change_feed import Reading
from keywright.service.change_follower import ChangeFollower
from keywright.service.change_log import ChangeLog
from keywright.service.checking.look_ups import LookUps
from keywright.service.faults import StorageUnavailable
from keywright.storage.postgres.change_reader import ChangeReader
from tests.simulation import node, store
from tests.simulation.node import Node


class Guard(NamedTuple):
    """
    A guard: what it is, and the attributes that are other ones without it.

    `covered_by` says why nothing is broken without it.
    """

    what: str
    without: tuple[tuple[Any, str, Any], ...]
    covered_by: str | None = None

    @contextmanager
    def out(self) -> Iterator[None]:
        """Take it out."""
        with ExitStack() as stack:
            for owner, name, other in self.without:
                former = owner.__dict__[name]
                stack.callback(setattr, owner, name, former)
                setattr(owner, name, other)
            yield


# keys.cache

_end = DigestCache.end


def _cache_everything(self: Any, look_up: Any, found: Any) -> None:
    invalidated, look_up.invalidated = look_up.invalidated, False
    _end(self, look_up, found)
    look_up.invalidated = invalidated


def _fresh_for_ever(self: Any, digest: bytes, now: float) -> Any:
    return self.get(digest)


_client_synced = LocalChecker.synced


def _client_fresh_for_ever(self: Any, since: float) -> None:
    _client_synced(self, since)
    self._fresh_until = inf


# look-ups that others join


def _join_invalidated(self: Any, shared_look_up: Any, now: float) -> bool:
    return bool(self._cache.ever_synced and now - shared_look_up.since <= BOUND_SECONDS)


def _join_old(self: Any, shared_look_up: Any, now: float) -> bool:
    return bool(self._cache.ever_synced and not shared_look_up.look_up.invalidated)


def _join_early(self: Any, shared_look_up: Any, now: float) -> bool:
    return bool(now - shared_look_up.since <= BOUND_SECONDS and not shared_look_up.look_up.invalidated)


def _client_joins_invalidated(self: Any, pending: Any) -> bool:
    return bool(self.checker.ever_synced and self.checker.clock() - pending.since <= BOUND_SECONDS)


def _client_joins_old(self: Any, pending: Any) -> bool:
    return bool(self.checker.ever_synced and not pending.look_up.invalidated)


def _client_joins_early(self: Any, pending: Any) -> bool:
    return bool(self.checker.clock() - pending.since <= BOUND_SECONDS and not pending.look_up.invalidated)


# what verifiers are told


async def _answer_from_memory(self: Any, text: str) -> Answer:
    verdict = self.verification.verify_now(text, NO_REQUIREMENTS)
    if verdict is None:
        verdict = await self.verification.verify_from_store(text, NO_REQUIREMENTS)
    return Answer(code=verdict.code, facts=verdict.facts, complete=verdict.facts is not None, stale=verdict.stale)


# following


async def _read_and_trust_from_the_end(self: Any, trail: Any) -> None:
    try:
        reading = await trail.read()
    except StorageUnavailable:
        await asyncio.sleep(0.25)
        return
    _take(self, reading, self._monotonic())
    self._log(reading)


async def _read_and_log_first(self: Any, trail: Any) -> None:
    since = self._monotonic()
    try:
        reading = await trail.read()
    except StorageUnavailable:
        await asyncio.sleep(0.25)
        return
    self._log(reading)
    if reading.changes:
        await asyncio.sleep(0.2)
    _take(self, reading, since)


def _take(self: Any, reading: Reading, since: float) -> None:
    digests = [digest for change in reading.changes for digest in change.digests]
    for cache in self._caches:
        cache.drop(digests)
        cache.synced(since)
    self._since = since


async def _follow_and_keep(self: Any) -> None:
    trail = await self._begin()
    while True:
        await self._read(trail)
        await trail.wait(0.1)


_start = BackgroundTasks.start


def _follow_at_once(self: Any) -> None:
    _start(self)
    self.follower.start()


def _stored_for_ever(self: Any, at: float) -> None:
    self.start()


# numbers of changes


class _OnlyTheFirstBeginning(ChangeReader):
    def begin(self, oldest: int, at: Any) -> None:
        if self._asked_at is None:
            super().begin(oldest, at)


class _WithoutTheNewest(ChangeReader):
    def begin(self, oldest: int, at: Any) -> None:
        first = self._asked_at is None
        super().begin(oldest, at)
        if first:
            self._begins_after = self._numbers.highest = oldest


def _begin_now(database: Any) -> Any:
    return max((row.seq for row in database.rows), default=0), database.now()


def _newest(rows: Any) -> int:
    return rows[-1].seq if rows else 0


class _CompleteToTheHighest(ChangeReader):
    def take_out(self) -> Reading:
        reading = super().take_out()
        return Reading(changes=reading.changes, begins_after=reading.begins_after, complete_to=self._numbers.highest)


_add = ChangeLog.add


def _add_but_the_first(self: Any, reading: Reading) -> None:
    if self._forgotten_to is None and reading.changes:
        reading = Reading(changes=(), begins_after=reading.begins_after, complete_to=reading.complete_to)
    _add(self, reading)


def _add_new_numbers(self: Any, reading: Reading) -> None:
    new = [change for change in reading.changes if change.seq not in self._by_seq]
    _add(self, Reading(changes=new, begins_after=reading.begins_after, complete_to=reading.complete_to))


def _number_only(change: Any) -> str:
    return f"{change.seq}-00000000"


def _nothing_recent(self: Any) -> Any:
    return []


_missed = ChangeLog.missed


def _nothing_missed(self: Any, cursor: str) -> Any:
    missed = _missed(self, cursor)
    return [] if missed is None else missed


# feeds


async def _open_unstored(parts: Any, session: Any, credential: bytes, arrived: float) -> Any:
    await parts.follower.begun()
    return api_feed.Stream(parts, session, credential, arrived)


async def _open_at_once(parts: Any, session: Any, credential: bytes, arrived: float) -> Any:
    await parts.writes.renew(session)
    return api_feed.Stream(parts, session, credential, arrived)


_covers = api_feed.Stream._covered


def _covers_the_request(self: Any) -> float:
    return float(max(self._arrived, _covers.fget(self)))


_begin_stream = api_feed.Stream._begin


def _begin_late(self: Any, cursor: str | None) -> bytes:
    # As if the position were chosen once the greeting is sent.
    self._skips = True
    return _begin_stream(self, cursor)


async def _next_from_the_end(self: Any) -> bytes | None:
    if self.__dict__.pop("_skips", False):
        await asyncio.sleep(0.02)
        self._position = self._follower.log.end
    return await _next_event(self)


_next_event = api_feed.Stream._next


# the verifier's side of the feed

_greet = FeedReader._greet
_client_apply = FeedReader._apply


def _greet_and_keep(self: Any, hello: FeedHello, received: float) -> None:
    if self._cursor is None:
        self._cursor = hello.cursor
    _greet(self, hello, received)


def _greet_and_count_from_now(self: Any, hello: FeedHello, received: float) -> None:
    _greet(self, hello, received)
    self._asked_at = received - hello.elapsed + hello.age


def _reset_and_keep(self: Any, event: StreamEvent, received: float) -> list[int]:
    if event.name == "reset":
        return []
    return _client_apply(self, event, received)


def _reset_and_greet_and_keep(self: Any, event: StreamEvent, received: float) -> list[int]:
    if event.name == "reset":
        self._cursor = None
        return []
    return _client_apply(self, event, received)


def _take_and_drop_later(self: Any, drop: FeedDrop, cursor: str | None, received: float) -> list[int]:
    digests = [bytes.fromhex(text) for text in drop.digests]
    since = self._since(drop)
    self._cursor = cursor
    asyncio.get_running_loop().call_later(0.2, self._cache.drop, digests)
    self._cache.synced(min(since, received))
    return list(drop.seqs)


# receipts


_receipt = Node.receipt


async def _receipt_from_the_stored_end(self: Any, key: Any) -> Any:
    receipt = await _receipt(self, key)
    return None if receipt is None else replace(receipt, committed_by=receipt.ended_at)


_concerns = store._concerns


def _concerns_before_the_end(row: Any, committed_by: Any, least: Any) -> bool:
    return _concerns(row, least, least)


# uses

_add_usage = store._add_usage


def _note_whatever(database: Any, records: Sequence[Any], batch: Any) -> None:
    database.batches.clear()
    _add_usage(database, records, batch)


_READER = "ChangeReader"

GUARDS: dict[str, Guard] = {
    "held unless overtaken": Guard(
        "What a look-up found is not held when a change overtook it.", ((DigestCache, "end", _cache_everything),)
    ),
    "joined unless overtaken": Guard(
        "A node joins no look-up that a change overtook.", ((LookUps, "_may_join", _join_invalidated),)
    ),
    "joined within the bound": Guard(
        "A node joins no look-up that began longer ago than the bound.", ((LookUps, "_may_join", _join_old),)
    ),
    "joined once followed": Guard(
        "A node that never followed joins no look-up.", ((LookUps, "_may_join", _join_early),)
    ),
    "verifier: joined unless overtaken": Guard(
        "A verifier joins no look-up that a change overtook.",
        ((VerifierSession, "_may_join", _client_joins_invalidated),),
    ),
    "verifier: joined within the bound": Guard(
        "A verifier joins no look-up that began longer ago than the bound.",
        ((VerifierSession, "_may_join", _client_joins_old),),
    ),
    "verifier: joined once followed": Guard(
        "A verifier that never followed joins no look-up.", ((VerifierSession, "_may_join", _client_joins_early),)
    ),
    "fresh for those who hold": Guard(
        "A verifier is told what the database says, not what a node holds.", ((Node, "answer", _answer_from_memory),)
    ),
    "stale is not held": Guard(
        "A verifier does not hold what a node tells from memory in an outage.",
        ((Answer, "cacheable", property(lambda self: True)),),
    ),
    "bound": Guard("What a node holds counts only within the bound.", ((DigestCache, "get_fresh", _fresh_for_ever),)),
    "verifier: bound": Guard(
        "What a verifier holds counts only within the bound.", ((LocalChecker, "synced", _client_fresh_for_ever),)
    ),
    "from the beginning of a reading": Guard(
        "A node trusts from the beginning of a reading on, not from its end.",
        ((ChangeFollower, "_read", _read_and_trust_from_the_end),),
    ),
    "missing numbers": Guard(
        "Numbers that are missing are asked for.", ((store, _READER, partial(ChangeReader, most_missing=0)),)
    ),
    "overlap": Guard(
        "What was written lately is looked through again.",
        ((store, _READER, partial(ChangeReader, overlap=timedelta())),),
    ),
    "missing numbers, and overlap": Guard(
        "One of the two finds numbers that become visible out of order.",
        ((store, _READER, partial(ChangeReader, most_missing=0, overlap=timedelta())),),
    ),
    "begun again on a new connection": Guard(
        "After a connection was lost the last minutes are read again.", ((store, _READER, _OnlyTheFirstBeginning),)
    ),
    "cursor only where complete": Guard(
        "A cursor names no change below which a number is missing.",
        ((store, _READER, _CompleteToTheHighest),),
        "what was written shortly before the change that a cursor names is sent anyway",
    ),
    "late changes for a cursor": Guard(
        "Who comes with a cursor gets what was written shortly before it.",
        ((change_log, "LATE", timedelta()),),
        "a cursor names no change below which a number is missing",
    ),
    "cursor only where complete, and late changes": Guard(
        "One of the two gives a reader that moves to another node what became visible late.",
        ((store, _READER, _CompleteToTheHighest), (change_log, "LATE", timedelta())),
    ),
    "first reading begins early": Guard(
        "The first reading gives what changed lately.",
        ((store, "begin_at", _begin_now), (store, "before_the_recent", _newest)),
    ),
    "nothing held from before following, and an early first reading": Guard(
        "One of the two drops what was looked up before a node follows.",
        (
            (ChangeFollower, "_follow", _follow_and_keep),
            (store, "begin_at", _begin_now),
            (store, "before_the_recent", _newest),
            (store, _READER, partial(_WithoutTheNewest, overlap=timedelta())),
        ),
    ),
    "nothing held from before following": Guard(
        "A node drops everything when it begins to follow.",
        ((ChangeFollower, "_follow", _follow_and_keep),),
        "the first reading begins early enough",
    ),
    "first reading kept": Guard(
        "What the first reading gives is in the log, and feeds begin with it.",
        ((ChangeLog, "add", _add_but_the_first),),
    ),
    "same number, other change": Guard(
        "A change that bears the number of a lost one is sent.", ((ChangeLog, "add", _add_new_numbers),)
    ),
    "fingerprint": Guard(
        "A cursor names a change by more than its number.", ((change_log, "cursor_of", _number_only),)
    ),
    "unknown cursor": Guard(
        "Who comes with a cursor that is not known drops everything.", ((ChangeLog, "missed", _nothing_missed),)
    ),
    "session before following": Guard(
        "A node follows only once its session is stored.", ((BackgroundTasks, "start", _follow_at_once),)
    ),
    "session stored lately": Guard(
        "A node trusts only for as long after its session was stored as receipts reckon with it.",
        ((ChangeFollower, "session_stored", _stored_for_ever),),
    ),
    "session before the feed": Guard(
        "A feed is sent only once its session is stored.",
        ((node, "open_stream", _open_unstored),),
    ),
    "feed once followed": Guard(
        "A feed begins only once the node that sends it follows.",
        ((node, "open_stream", _open_at_once),),
        "a feed that covers nothing yet is no feed to a verifier",
    ),
    "feed once followed, and nothing covered": Guard(
        "A feed of a node that does not follow yet does not say that it covers anything.",
        ((node, "open_stream", _open_at_once), (api_feed.Stream, "_covered", property(_covers_the_request))),
    ),
    "position before the greeting": Guard(
        "A feed sends everything from the moment on at which it was greeted.",
        ((api_feed.Stream, "_begin", _begin_late), (api_feed.Stream, "_next", _next_from_the_end)),
    ),
    "verifier: nothing held from before the greeting": Guard(
        "A verifier drops everything when it is greeted without a cursor.",
        ((FeedReader, "_greet", _greet_and_keep), (FeedReader, "_apply", _reset_and_greet_and_keep)),
        "the recent changes are sent with the greeting",
    ),
    "verifier: nothing held from before the greeting, and recent changes": Guard(
        "One of the two drops what a verifier looked up before it was greeted.",
        (
            (FeedReader, "_greet", _greet_and_keep),
            (FeedReader, "_apply", _reset_and_greet_and_keep),
            (ChangeLog, "recent", _nothing_recent),
        ),
    ),
    "verifier: nothing held over a reset": Guard(
        "A verifier whose cursor is not known drops everything.",
        ((FeedReader, "_apply", _reset_and_keep),),
        "the recent changes are sent with the greeting",
    ),
    "verifier: nothing held over a reset, and recent changes": Guard(
        "One of the two drops what a verifier holds whose cursor is not known.",
        ((FeedReader, "_apply", _reset_and_keep), (ChangeLog, "recent", _nothing_recent)),
    ),
    "verifier: from before the request": Guard(
        "A verifier counts the times of a feed from before it asked for it.",
        ((FeedReader, "_greet", _greet_and_count_from_now),),
    ),
    "confirmed once dropped": Guard(
        "A node confirms what it has dropped, not what it has read.", ((ChangeFollower, "_read", _read_and_log_first),)
    ),
    "verifier: confirmed once dropped": Guard(
        "A verifier confirms what it has dropped, not what it has heard.",
        ((FeedReader, "_drop", _take_and_drop_later),),
    ),
    "receipts from the commit": Guard(
        "A receipt counts from a moment that is not before the commit.",
        ((Node, "receipt", _receipt_from_the_stored_end),),
    ),
    "sessions until the commit": Guard(
        "A receipt names sessions that began after the time that is stored with the key.",
        ((store, "_concerns", _concerns_before_the_end),),
    ),
    "batches once": Guard("A batch of uses is counted once.", ((store, "_add_usage", _note_whatever),)),
}
