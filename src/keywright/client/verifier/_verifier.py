"""
Checking keys inside an API server: `AsyncVerifier` for an event loop, `Verifier` for code that does not await.

Both decide with a `LocalChecker` and reach the service through a `VerifierSession`; they differ in where it runs.
"""

import asyncio
import atexit
import os
import re
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Self
from weakref import WeakSet

import httpx

from keywright.client._bodies import texts
from keywright.client.errors import KeywrightError, ServiceUnavailable
from keywright.client.verifier import _clocks as clocks
from keywright.client.verifier._background import FORK_SECONDS, Background
from keywright.client.verifier._calls import USUAL_TIMING, Service, ServiceCalls, Timing, process_name
from keywright.client.verifier._checker import LocalChecker
from keywright.client.verifier._clocks import Clock
from keywright.client.verifier._session import CLOSED, VerifierSession
from keywright.client.verifier._verdicts import Verdict
from keywright.keys.rate_limits import check_cost

CAPACITY = 1_000_000
OUTAGE_SECONDS = 300
_LONGEST_OUTAGE = 86_400
_NAME = re.compile("[!-~]{1,100}")


class InProcessVerifier:
    """
    The base of `Verifier` and `AsyncVerifier`: the options, and verdicts from memory. Nothing is sent before the start.

    Args:
        url: The address of the service, such as `https://keys.acme.example`; a path after the host is kept.
        credential: The credential that `keywright verifiers create` printed.
        brand: The first part of every key of the service.
        name: The name of this process in receipts of revocations; by default host and process number.
        capacity: How many keys to cache, at most; one that takes more than 2 KiB of memory counts as several.
        outage_seconds: How long cached keys go on passing while the service is unavailable, counted from the last
            contact; 0 forbids it.
        limit_share: The share of every rate limit of a key that this process may let through, above 0 and at most
            1. Each process counts limits by itself: four processes with 0.25 keep to the limit together.
        transport: Sends the requests; by default over the network.
        timing: Time limits.
        clock: A monotonic clock that goes on while the machine is suspended, in seconds.
        wall: This machine's clock, in seconds of the epoch.
        allow_http: Allow `http://` to another machine; only on a network that you trust.

    Raises:
        KeywrightError: An option has an impossible value; the text does not contain the credential.
    """

    def __init__(
        self,
        url: str,
        credential: str,
        *,
        brand: str = "kw",
        name: str | None = None,
        capacity: int = CAPACITY,
        outage_seconds: int = OUTAGE_SECONDS,
        limit_share: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
        timing: Timing = USUAL_TIMING,
        clock: Clock = clocks.monotonic,
        wall: Clock = clocks.epoch,
        allow_http: bool = False,
    ) -> None:
        self._service = Service(url, credential, brand, allow_http)
        _check_options(name, capacity, outage_seconds, limit_share)
        self._name = name
        self._timing = timing
        self._new_calls = partial(ServiceCalls, self._service, timing, transport)
        self._new_checker = partial(
            LocalChecker,
            brand=brand,
            capacity=capacity,
            outage_seconds=outage_seconds,
            limit_share=limit_share,
            clock=clock,
            wall=wall,
        )
        self._checker: LocalChecker | None = None
        self._closed = False

    @property
    def clock_error_seconds(self) -> float | None:
        """
        The proven error of this machine's clock in seconds: above 0 it is ahead, below 0 behind.

        Keys expire by the service's clock, whatever this one shows. None before the first answer of the feed.
        """
        return None if self._checker is None else self._checker.clock_error_seconds

    @property
    def following(self) -> bool:
        """Whether the changes have arrived completely within the last second, so that cached keys count."""
        return self._checker is not None and self._checker.fresh

    def verify_now(
        self,
        key: str,
        *,
        scopes: Collection[str] = (),
        environment: str | None = None,
        client_ip: str | None = None,
        user_agent: str | None = None,
        explain: bool = False,
        cost: int = 1,
        metadata: bool = False,
    ) -> Verdict | None:
        """
        Decide from memory alone; None when that takes the service: see `verify`. Any thread may call it.

        Args:
            key: The presented text: anything at all, of any length, from anyone.
            scopes: The scopes that the request needs, all of them.
            environment: The environment that the key must belong to; None for any.
            client_ip: The address that the request came from; a key that is bound to networks needs it. The key's
                recent sources name its /24 or /48.
            user_agent: The request's header of that name; the key's recent sources name its family.
            explain: Whether to explain a refusal: which rule, and what would pass.
            cost: How many units of the key's rate limits the request takes, 0 to 1000000. 0 only looks: it takes
                nothing, and counts neither as a use nor as a refusal.
            metadata: Whether the key of the verdict needs its metadata. Up to 512 characters of it are cached; longer
                metadata is read from the service each time.

        Raises:
            TypeError, ValueError: *scopes* is one string, or *cost* no such number.
        """
        checker = self._checker
        if checker is None:
            return None
        if scopes.__class__ is not tuple:
            scopes = texts("scopes", scopes)
        if cost != 1:
            check_cost(cost)
        decided = checker.decide(key, scopes, environment, client_ip, user_agent, explain, cost, metadata)
        # Cheaper than isinstance, which is a call.
        return decided if decided.__class__ is Verdict else None

    def _begin(self, checker: LocalChecker) -> VerifierSession:
        """Start a session on the running event loop."""
        # The name is made at each start: after a fork it is another process.
        return VerifierSession(checker, self._new_calls(), self._timing, name=self._name or process_name())


class AsyncVerifier(InProcessVerifier):
    """
    Checks presented keys in this process: the first request with a key reaches the service, later ones only memory.

        async with AsyncVerifier("https://keys.acme.example", credential) as verifier:
            verdict = await verifier.verify(text, scopes=["reports:read"])
            if not verdict:
                return refuse(verdict.code)

    A revoked key is refused within a second, because the service sends every change. When no changes have arrived for
    longer than that, every key is looked up at the service. While the service is unavailable, cached keys are accepted
    for `outage_seconds`; after that `verify` raises `ServiceUnavailable`. It starts with `async with`, with `start`, or
    with the first `verify`, and belongs to the event loop on which it started. Its options are those of
    `InProcessVerifier`.
    """

    _session: VerifierSession | None = None

    @property
    def started(self) -> bool:
        """Whether it was started and not closed since."""
        return self._session is not None

    async def start(self) -> None:
        """Start in the background, unless it is running; does not wait for the service."""
        self._closed = False
        self._running()

    async def close(self) -> None:
        """Send the remaining reports, end the background tasks, and close the connections."""
        self._closed = True
        session, self._session, self._checker = self._session, None, None
        if session is not None and not session.loop.is_closed():
            _check_loop(session)
            await session.close()

    async def verify(
        self,
        key: str,
        *,
        scopes: Collection[str] = (),
        environment: str | None = None,
        client_ip: str | None = None,
        user_agent: str | None = None,
        explain: bool = False,
        cost: int = 1,
        metadata: bool = False,
    ) -> Verdict:
        """
        Decide whether a presented key may be used; the arguments are those of `verify_now`. A refusal is a verdict.

        Raises:
            ServiceUnavailable: The key is not cached, and the service is unavailable: answer 503, never 401.
            CredentialRefused: The service does not accept this verifier: answer 503, because the key may be valid.
            TypeError, ValueError: See `verify_now`.
        """
        if cost != 1:
            check_cost(cost)
        if scopes.__class__ is not tuple:
            scopes = texts("scopes", scopes)
        session = self._running()
        decided = session.checker.decide(key, scopes, environment, client_ip, user_agent, explain, cost, metadata)
        return decided if isinstance(decided, Verdict) else await session.decide(decided)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def _running(self) -> VerifierSession:
        session, loop = self._session, asyncio.get_running_loop()
        if session is not None and session.loop is loop:
            return session
        if self._closed:
            raise ServiceUnavailable(CLOSED)
        if session is not None and not session.loop.is_closed():
            _check_loop(session)
        # The session of a loop that was closed has ended with it; its cache does not count any more.
        session = self._session = self._begin(self._new_checker())
        self._checker = session.checker
        return session


class Verifier(InProcessVerifier):
    """
    Checks presented keys in this process, as `AsyncVerifier` does, for code that does not await.

        verifier = Verifier("https://keys.acme.example", credential)
        verdict = verifier.verify(text, scopes=["reports:read"])

    Feed and reports run in a thread, which starts with `with`, with `start`, or with the first `verify`. Any number of
    threads may share one verifier. After a fork the child begins with an empty cache and its own session, at its first
    `verify`. It ends with `with`, with `close`, or with the interpreter. Its options are those of `InProcessVerifier`.
    """

    # One for all verifiers: a start takes a moment, and is rare.
    _starting = threading.Lock()
    _background: Background | None = None

    def start(self) -> None:
        """Start in the background, unless it is running; does not wait for the service."""
        self._closed = False
        self._running()

    def close(self) -> None:
        """Send the remaining reports, end the background tasks, and close the connections."""
        with Verifier._starting:
            self._closed = True
            background, self._background, self._checker = self._background, None, None
        if background is not None:
            background.close()

    def verify(
        self,
        key: str,
        *,
        scopes: Collection[str] = (),
        environment: str | None = None,
        client_ip: str | None = None,
        user_agent: str | None = None,
        explain: bool = False,
        cost: int = 1,
        metadata: bool = False,
    ) -> Verdict:
        """Decide whether a presented key may be used; see `AsyncVerifier.verify`."""
        if cost != 1:
            check_cost(cost)
        if scopes.__class__ is not tuple:
            scopes = texts("scopes", scopes)
        background = self._background or self._running()
        decided = background.checker.decide(key, scopes, environment, client_ip, user_agent, explain, cost, metadata)
        return decided if isinstance(decided, Verdict) else background.decide(decided)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _running(self) -> Background:
        _started.add(self)
        with Verifier._starting:
            if self._closed:
                raise ServiceUnavailable(CLOSED)
            if self._background is None:
                checker = self._new_checker()
                self._background = Background(checker, partial(self._begin, checker), self._timing.end)
                self._checker = checker
            return self._background

    def _pause(self) -> None:
        """Let the background thread rest while the process forks; see `Background.pause`."""
        if self._background is not None and self._background.pause():
            _pauses.append(self._background.resume)

    def _leave_behind(self) -> None:
        """Drop the session of the parent process: after a fork its thread is not here, its connections are shared."""
        # Kept, because finalizing it would close connections that the parent still uses.
        _left_behind.append(self._background)
        self._background = self._checker = None


_started: WeakSet[Verifier] = WeakSet()
_left_behind: list[Background | None] = []
# What ends the pause of all verifiers that a fork makes.
_pauses: list[Callable[[], None]] = []


def _before_fork() -> None:
    # No verifier starts meanwhile, and one thread forks at a time.
    if Verifier._starting.acquire(timeout=FORK_SECONDS):  # noqa: SLF001
        _pauses.append(Verifier._starting.release)  # noqa: SLF001
    for verifier in list(_started):
        verifier._pause()  # noqa: SLF001


def _after_fork() -> None:
    while _pauses:
        _pauses.pop()()


def _after_fork_in_child() -> None:
    _pauses.clear()
    Verifier._starting = threading.Lock()  # noqa: SLF001
    for verifier in list(_started):
        verifier._leave_behind()  # noqa: SLF001


def _at_exit() -> None:
    for verifier in list(_started):
        verifier.close()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def _check_options(name: str | None, capacity: Any, outage_seconds: Any, limit_share: Any) -> None:
    if not _is_whole(capacity) or capacity < 2:
        raise KeywrightError("capacity must be a whole number of keys, 2 or more.")
    if not _is_whole(outage_seconds) or not 0 <= outage_seconds <= _LONGEST_OUTAGE:
        raise KeywrightError("outage_seconds must be a whole number of seconds, 0 to 86400 (a day).")
    if not (_is_whole(limit_share) or isinstance(limit_share, float)) or not 0 < limit_share <= 1:
        raise KeywrightError("limit_share must be a number above 0 and at most 1.")
    if name is not None and not _NAME.fullmatch(name):
        raise KeywrightError("name must be 1 to 100 visible ASCII characters, without spaces.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_loop(session: VerifierSession) -> None:
    if session.loop is not asyncio.get_running_loop():
        raise RuntimeError("This verifier runs on another event loop; make one for each loop.")
