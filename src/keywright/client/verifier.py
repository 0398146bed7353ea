"""
Checking keys inside an API server: `Verifier` for code that does not await, `AsyncVerifier` for code that does.
"""

import atexit
import os
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Self
from weakref import WeakSet

import httpx

from keywright.client import clocks
from keywright.client.async_verifier import AsyncVerifier
from keywright.client.background import Background
from keywright.client.checking import wanted_scopes
from keywright.client.clocks import Clock
from keywright.client.errors import ServiceUnavailable
from keywright.client.options import CAPACITY, LIMIT_SHARE, OUTAGE_SECONDS, Options
from keywright.client.service_calls import USUAL_TIMING, Service, Timing
from keywright.client.verdicts import KeyInfo, Verdict
from keywright.keys.rate_limits import check_cost

__all__ = ["AsyncVerifier", "KeyInfo", "Timing", "Verdict", "Verifier"]


class Verifier:
    """
    Checks presented keys in this process, as `AsyncVerifier` does, for code that does not await.

        verifier = Verifier("https://keys.acme.example", credential)
        verdict = verifier.verify(text, scopes=["reports:read"])

    What has to run in the background runs in a thread, started by `with`, by `start`, or by the first `verify`. Any
    number of threads may share one. After a fork the child begins with an empty memory and a session of its own, at its
    first `verify`. Closed by `with`, by `close`, or when the interpreter ends.

    The arguments and what is raised are those of `AsyncVerifier`.
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
        self._starting = threading.Lock()
        self._background: Background | None = None
        self._closed = False
        _verifiers.add(self)

    @property
    def clock_error_seconds(self) -> float | None:
        """By how many seconds this machine's clock is off; see `AsyncVerifier.clock_error_seconds`."""
        background = self._background
        return None if background is None else background.checking.clock_error_seconds

    @property
    def following(self) -> bool:
        """Whether the service is heard, so that known keys need no question."""
        background = self._background
        return background is not None and background.checking.following

    def start(self) -> None:
        """Start in the background, unless it is running; does not wait for the service, which may be away."""
        self._closed = False
        self._running()

    def close(self) -> None:
        """Report what is left, end what runs in the background, and give the connections back."""
        with self._starting:
            self._closed = True
            background, self._background = self._background, None
        if background is not None:
            background.close()

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
        """Do as `verify` does as far as memory alone allows; None when the service has to be asked."""
        background = self._background
        if background is None:
            return None
        if scopes.__class__ is not tuple:
            scopes = wanted_scopes(scopes)
        if cost != 1:
            check_cost(cost)
        return background.checking.verify_now(key, scopes, environment, client_ip, user_agent, explain, cost)

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
    ) -> Verdict:
        """Decide whether a presented key may be used; see `AsyncVerifier.verify`."""
        if cost != 1:
            check_cost(cost)
        background = self._background or self._running()
        checking, asked_for = background.checking, wanted_scopes(scopes)
        verdict = checking.verify_now(key, asked_for, environment, client_ip, user_agent, explain, cost)
        if verdict is None:
            question = checking.question(key, asked_for, environment, client_ip, user_agent, explain, cost)
            verdict = background.ask(question)
        return verdict

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> Background:
        with self._starting:
            if self._closed:
                raise ServiceUnavailable("This verifier has been closed.")
            if self._background is None:
                self._background = Background(self._options)
            return self._background

    def _begin_anew(self) -> None:
        """Leave behind what belongs to the parent process: its thread is not here, and its connections are not ours."""
        # Kept, because to finalize it would reach into what the parent still uses.
        _left_behind.append(self._background)
        self._background = None
        self._starting = threading.Lock()


_verifiers: WeakSet[Verifier] = WeakSet()
_left_behind: list[Background | None] = []


def _after_fork() -> None:
    for verifier in list(_verifiers):
        verifier._begin_anew()  # noqa: SLF001


def _at_exit() -> None:
    for verifier in list(_verifiers):
        verifier.close()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
