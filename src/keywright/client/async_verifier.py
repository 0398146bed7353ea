"""Checking keys inside an asyncio application."""

import asyncio
from collections.abc import Collection
from types import TracebackType
from typing import Self

import httpx

from keywright.client import clocks
from keywright.client.checking import wanted_scopes
from keywright.client.clocks import Clock
from keywright.client.errors import ServiceUnavailable
from keywright.client.options import CAPACITY, LIMIT_SHARE, OUTAGE_SECONDS, Options
from keywright.client.service_calls import USUAL_TIMING, Service, Timing
from keywright.client.session import Session
from keywright.client.verdicts import Verdict
from keywright.keys.rate_limits import check_cost


class AsyncVerifier:
    """
    Checks presented keys in this process: the service is asked at the first sight of a key, and memory after that.

        async with AsyncVerifier("https://keys.acme.example", credential) as verifier:
            verdict = await verifier.verify(text, scopes=["reports:read"])
            if not verdict:
                return refuse(verdict.code)

    A revoked key stops passing within a second, because the service tells of every change. When it cannot be heard
    for longer than that, it is asked for every key; and when it is away altogether, keys that are known go on passing
    for `outage_seconds`, after which `verify` raises `ServiceUnavailable`. Started by `async with`, by `start`, or by
    the first `verify`; belongs to the event loop it was started on.

    Args:
        url: Where the service is, such as `https://keys.acme.example`; what follows the host is kept.
        credential: What `keywright verifiers create` printed.
        brand: What a key of the service begins with.
        name: What this process is called in receipts of revocations; by default host and process number.
        capacity: How many keys to hold, at most.
        outage_seconds: How long known keys go on passing while the service is away, counted from when it was last
            heard; 0 forbids it.
        limit_share: How much of every rate limit of a key this process may let through, above 0 and at most 1. Limits
            are counted in each process by itself: with four processes and 0.25 they keep to the limit together.
        transport: What carries the requests; by default the network.
        timing: How long to wait for what.
        clock: A monotonic clock that goes on while the machine is suspended, in seconds.
        wall: This machine's clock, in seconds of the epoch.

    Raises:
        KeywrightError: One of them cannot be; said without the credential.
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
        limit_share: float = LIMIT_SHARE,
        transport: httpx.AsyncBaseTransport | None = None,
        timing: Timing = USUAL_TIMING,
        clock: Clock = clocks.monotonic,
        wall: Clock = clocks.epoch,
    ) -> None:
        self._options = Options(
            service=Service(url, credential, brand),
            name=name,
            capacity=capacity,
            outage_seconds=outage_seconds,
            limit_share=limit_share,
            transport=transport,
            timing=timing,
            clock=clock,
            wall=wall,
        )
        self._session: Session | None = None
        self._closed = False

    @property
    def started(self) -> bool:
        """Whether it has been started, and not been closed since."""
        return self._session is not None

    @property
    def clock_error_seconds(self) -> float | None:
        """
        By how many seconds this machine's clock is ahead (or, below 0, behind), as far as that is proved.

        Keys expire by the service's clock whatever this one shows. None before the service has told its time.
        """
        return None if self._session is None else self._session.checking.clock_error_seconds

    @property
    def following(self) -> bool:
        """Whether the service is heard, so that known keys need no question."""
        return self._session is not None and self._session.checking.following

    async def start(self) -> None:
        """Start in the background, unless it is running; does not wait for the service, which may be away."""
        self._closed = False
        self._running()

    async def close(self) -> None:
        """Report what is left, end what runs in the background, and give the connections back."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None and not session.loop.is_closed():
            _on_its_own_loop(session)
            await session.close()

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
    ) -> Verdict | None:
        """Do as `verify` does as far as memory alone allows; None when the service has to be asked. Any thread may."""
        session = self._session
        if session is None:
            return None
        if scopes.__class__ is not tuple:
            scopes = wanted_scopes(scopes)
        if cost != 1:
            check_cost(cost)
        return session.checking.verify_now(key, scopes, environment, client_ip, user_agent, explain, cost)

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
    ) -> Verdict:
        """
        Decide whether a presented key may be used. A refusal is a verdict; only trouble is raised.

        Args:
            key: What was presented: anything at all, of any length, from anyone.
            scopes: What the request needs, all of it.
            environment: The environment that the key must belong to; None for any.
            client_ip: Where the request came from; a key that is bound to networks needs it. Told in the key's recent
                sources as a /24 or /48.
            user_agent: The request's header of that name, told there by its family.
            explain: Whether to say which rule refused, and what would pass.
            cost: How many units of the key's rate limits the request takes, 0 to 1000000; nothing for 0.

        Raises:
            ServiceUnavailable: It is not known here, and the service cannot be asked: a 503 for whoever presented it.
            CredentialRefused: The service does not accept this verifier; whoever presented the key is not to blame.
            TypeError, ValueError: *scopes* is one string, or *cost* no such number.
        """
        if cost != 1:
            check_cost(cost)
        checking = self._running().checking
        asked_for = wanted_scopes(scopes)
        verdict = checking.verify_now(key, asked_for, environment, client_ip, user_agent, explain, cost)
        if verdict is not None:
            return verdict
        question = checking.question(key, asked_for, environment, client_ip, user_agent, explain, cost)
        return await self._running().ask(question)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _running(self) -> Session:
        session, loop = self._session, asyncio.get_running_loop()
        if session is not None and session.loop is loop:
            return session
        if self._closed:
            raise ServiceUnavailable("This verifier has been closed.")
        if session is not None and not session.loop.is_closed():
            _on_its_own_loop(session)
        # A loop that was closed over it took everything along; what is held does not count any more either.
        session = self._session = self._options.session(self._options.checking())
        return session


def _on_its_own_loop(session: Session) -> None:
    if session.loop is not asyncio.get_running_loop():
        raise RuntimeError("This verifier runs on another event loop; make one for each.")
