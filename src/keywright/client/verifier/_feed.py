"""
The change feed: `FeedReader` applies its events, `Feed` keeps it open.

Each event has the age of its stream (`elapsed`) and the time since the service began to read the changes that it has
sent (`age`). This process read its clock (t0) before it sent the request for the stream. So all changes that were
acknowledged before t0 + elapsed - age have arrived, whatever the two clocks show and however late the event is.

A cursor is text that only the service interprets. It moves after the changes up to it have been applied.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

import httpx

from keywright.client.errors import CredentialRefused, ServiceUnavailable
from keywright.client.verifier._calls import ServiceCalls, Timing
from keywright.client.verifier._clocks import Clock
from keywright.client.verifier._event_stream import StreamBroken, StreamEvent
from keywright.contract import FeedBeat, FeedDrop, FeedHello, FeedReset, read
from keywright.keys.cache import BOUND_SECONDS, CLOCK_RATE
from keywright.keys.format import DIGEST_BYTES

WORTH_A_WARNING_SECONDS = 1.0
LATE_SECONDS = 3.0
LATE_FROM_THE_START_SECONDS = 1.0
"""
How long a stream may be late that was never in time.

Its request took long, as after a line was cut, and then all its events look old: only another stream mends that. It is
longer than a lost piece of the answer takes to be sent again.
"""
LATE_BY_SECONDS = BOUND_SECONDS / 2
"""
The delay up to which a stream keeps the cache fresh.

Between two events, and two readings of the changes by the service, three tenths of the bound may pass. With a longer
delay the cache is not fresh all the time.
"""
LONGEST_CURSOR = 64
LONGEST_SPREAD_SECONDS = 10.0
"""The longest time for which an acknowledgement waits, whatever the service says."""

_EVENTS: dict[str, type[FeedHello | FeedReset | FeedDrop | FeedBeat]] = {
    "hello": FeedHello,
    "reset": FeedReset,
    "drop": FeedDrop,
    "beat": FeedBeat,
}

_logger = logging.getLogger("keywright.client")
_random = secrets.SystemRandom()


def session_parameters(session: UUID, name: str, outage_seconds: int) -> dict[str, str]:
    """
    Describe a session to the service, as receipts of revocations list it; for `Feed`.

    Args:
        session: Its id.
        name: The name of its process.
        outage_seconds: How long it accepts cached keys while the service is unavailable.
    """
    return {"session": str(session), "name": name, "outage_seconds": str(outage_seconds)}


class FollowingCache(Protocol):
    """A cache that follows the feed, and the clock of its process."""

    @property
    def clock(self) -> Clock:
        """The monotonic clock of the cache, in seconds."""
        ...

    def synced(self, since: float) -> None:
        """Note that all changes before *since*, on the monotonic clock, have been applied."""
        ...

    def drop(self, digests: Iterable[bytes]) -> None:
        """Invalidate keys that changed."""
        ...

    def drop_all(self) -> None:
        """Invalidate all keys, because any of them may have changed."""
        ...

    def set_time(self, time: float, slack: float, received: float) -> float:
        """
        Set the clock by the service's, which showed *time*, in seconds of the epoch, at most *slack* before *received*.

        The clock is moved only as far as that proves it wrong.

        Args:
            time: Seconds of the epoch.
            slack: Seconds.
            received: A reading of `clock`.

        Returns:
            The proven error of this machine's own clock, in seconds.
        """
        ...


class Applied(NamedTuple):
    """
    What has been applied once an event was applied, to be acknowledged.

    `seqs` are changes by their numbers. `position` is the cursor: all changes up to it have been applied; None before
    the first stream was greeted. `within` is the time over which verifiers spread their acknowledgements, in seconds.
    `anew`: what was applied before may have numbers of other changes, because the service did not know the cursor.
    """

    seqs: tuple[int, ...]
    position: str | None
    within: float
    anew: bool


class FeedReader:
    """
    Applies the events of the feed, stream after stream. No I/O.

    Args:
        cache: It is emptied by the changes.
    """

    def __init__(self, cache: FollowingCache) -> None:
        self._cache = cache
        self._clock = cache.clock
        # None until a stream was greeted, and again after a `reset`.
        self._cursor: str | None = None
        self._asked_at = 0.0
        self._within = 0.0
        self._clock_was_off = False
        self._late_since: float | None = None
        self._was_in_time = False

    def begin(self) -> dict[str, str]:
        """Give the parameters of the next request for the feed, and note the time; to be called before it is sent."""
        self._asked_at = self._clock()
        self._late_since = None
        self._was_in_time = False
        # With a cursor the stream may begin with missed changes; without one it begins with a greeting.
        return {} if self._cursor is None else {"cursor": self._cursor}

    def sending(self) -> None:
        """
        Note the time, once the connection for the request has been made.

        Making one takes two or more round trips to a far service, by which all events of its stream would look older.
        """
        self._asked_at = self._clock()

    def apply(self, event: StreamEvent) -> Applied:
        """
        Apply an event.

        Raises:
            StreamBroken: It is not an event of the feed; later events must not be applied.
        """
        received = self._clock()
        try:
            seqs = self._apply(event, received)
            return Applied(tuple(seqs), self._cursor, self._within, event.name == "reset")
        except ValueError:
            raise StreamBroken(f"an event {event.name!r} is not as it should be") from None

    def _apply(self, event: StreamEvent, received: float) -> list[int]:
        if event.name not in _EVENTS:
            return []
        data = read(_EVENTS[event.name], event.data.encode())
        if isinstance(data, FeedReset):
            # It is unknown which changes were missed. The `hello` that follows has the new cursor.
            self._cache.drop_all()
            self._cursor = None
        elif isinstance(data, FeedHello):
            self._greet(data, received)
        elif self._cursor is None:
            # Without a `hello` the first changes of the stream may be missing.
            raise ValueError("not greeted")
        elif isinstance(data, FeedDrop):
            return self._drop(data, event.id, received)
        else:
            cursor, since = _cursor(data.cursor), self._since(data)
            self._cursor = cursor
            self._cache.synced(min(since, received))
            self._check_lateness(self._asked_at + data.elapsed, received)
        return []

    def _greet(self, hello: FeedHello, received: float) -> None:
        cursor = _cursor(hello.cursor)
        if self._cursor is None:
            # A key that was looked up before the stream may have changed before the stream.
            self._cache.drop_all()
            self._cursor = cursor
        off = self._cache.set_time(hello.time, max(0.0, received - self._asked_at - hello.elapsed), received)
        self._log_clock(off)

    def _drop(self, drop: FeedDrop, id_: str | None, received: float) -> list[int]:
        digests = [_digest(text) for text in drop.digests]
        cursor, since = _cursor(id_), self._since(drop)
        self._within = min(max(drop.within, 0.0), LONGEST_SPREAD_SECONDS)
        self._cache.drop(digests)
        self._cursor = cursor
        self._cache.synced(min(since, received))
        return list(drop.seqs)

    def _since(self, data: FeedDrop | FeedBeat) -> float:
        """Work out the time before which all acknowledged changes have arrived."""
        if data.elapsed < 0 or data.age < 0:
            raise ValueError("a time that runs backwards")
        return self._asked_at + data.elapsed - data.age - CLOCK_RATE * max(data.elapsed, data.age)

    def _check_lateness(self, sent: float, received: float) -> None:
        """
        End a stream that is late for too long, for example after a machine was suspended with its clocks.

        A stream that took long to open is late, too, as long as it lasts. Its events are correct, but too old to keep
        the cache fresh. A new stream has a new t0.
        """
        if received - sent <= LATE_BY_SECONDS:
            self._late_since = None
            self._was_in_time = True
        elif self._late_since is None:
            self._late_since = received
        elif received - self._late_since > (LATE_SECONDS if self._was_in_time else LATE_FROM_THE_START_SECONDS):
            raise StreamBroken("its time has fallen behind")

    def _log_clock(self, off: float) -> None:
        is_off = abs(off) > WORTH_A_WARNING_SECONDS
        if is_off and not self._clock_was_off:
            _logger.warning("this machine's clock is off by %.1f s; keys expire by the service's clock instead", off)
        self._clock_was_off = is_off


class Feed:
    """
    Reads the feed of one session.

    Args:
        cache: It is emptied by the changes.
        calls: Reach the service.
        timing: Time limits, and pauses between two tries.
        parameters: Of `session_parameters`.
        received: Called after each event, with what has been applied.
    """

    def __init__(
        self,
        cache: FollowingCache,
        calls: ServiceCalls,
        timing: Timing,
        *,
        parameters: Mapping[str, str],
        received: Callable[[Applied], None],
    ) -> None:
        self._reader = FeedReader(cache)
        self._calls = calls
        self._timing = timing
        self._parameters = parameters
        self._received = received
        self._pause = timing.first_pause
        self._logged = logging.NOTSET

    async def follow(self) -> None:
        """Follow until cancelled; log each failure once, and try again."""
        while True:
            try:
                await self._read_one_stream()
            except CredentialRefused as error:
                self._log_failure(logging.ERROR, f"the service does not accept this verifier's credential: {error}")
                await asyncio.sleep(self._timing.refused_pause)
            except (ServiceUnavailable, StreamBroken, httpx.RequestError) as error:
                self._log_failure(
                    logging.WARNING, f"the feed of changes is cut off: {str(error) or type(error).__name__}"
                )
            except Exception:
                # An unexpected error must not end the feed: the cache would never be fresh again.
                _logger.exception("the feed of changes cannot be read")
            await asyncio.sleep(_random.uniform(self._pause / 2, self._pause))
            self._pause = min(2 * self._pause, self._timing.longest_pause)

    async def _read_one_stream(self) -> None:
        parameters = {**self._parameters, **self._reader.begin()}
        async with self._calls.feed(parameters, sending=self._reader.sending) as events:
            async for event in events:
                self._received(self._reader.apply(event))
                if event.name == "beat":
                    self._note_contact()

    def _note_contact(self) -> None:
        self._pause = self._timing.first_pause
        if self._logged:
            self._logged = logging.NOTSET
            _logger.info("the feed of changes is followed again")

    def _log_failure(self, level: int, failure: str) -> None:
        # Once for each interruption, not for each try; and again for a more severe failure.
        if level > self._logged:
            self._logged = level
            _logger.log(level, failure)


def _cursor(text: str | None) -> str:
    if text is None or len(text) > LONGEST_CURSOR:
        raise ValueError("not a cursor")
    return text


def _digest(text: str) -> bytes:
    digest = bytes.fromhex(text)
    if len(digest) != DIGEST_BYTES:
        raise ValueError("not a digest")
    return digest
