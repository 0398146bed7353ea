"""
The issuer's signing keys, kept fresh: when they are fetched, how long they are trusted, and what is told meanwhile.

Three promises: whatever load there is, one fetch runs at a time; a key that is known never waits for one; and our own
trouble is never told as a fault of the token.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from typing import TYPE_CHECKING

from keywright.auth.key_source import DEADLINE_SECONDS, FetchFailed, KeySource
from keywright.auth.rsa_key import SigningKey
from keywright.service.faults import AuthUnavailable

if TYPE_CHECKING:
    import httpx

FRESH_SECONDS = 600
# While the issuer is away, keys serve on for an hour after they should have been fresh. Counted from there, an outage
# of an hour refuses no known key, however short before the next fetch it begins.
STALE_SECONDS = 3600
# So early that two fetches may fail before the keys are no longer fresh.
REFRESH_AFTER_SECONDS = 510
PAUSE_SECONDS = 30
# Before there ever were keys nobody can be served, so it is tried sooner: after 5 s, 10 s, 20 s, then every 30 s.
_FIRST_PAUSE_SECONDS = 5

_logger = logging.getLogger(__name__)


class KeySet:
    """
    The signing keys of one issuer.

    Args:
        issuer: As in `iss`; an `https` address, or an `http` one on a loopback host.
        transport: What carries the requests; by default the network.
        deadline: Seconds that one fetch may take.
        on_fetch: Told after every fetch: `ok`, or one word for why it failed (`key_source.FetchFailed`, `unexpected`).
        monotonic: Seconds that never go backwards.
        sleep: Waits for some seconds of `monotonic`.

    Raises:
        ValueError: The issuer's address may not be asked for keys.
    """

    def __init__(
        self,
        issuer: str,
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
        deadline: float = DEADLINE_SECONDS,
        on_fetch: Callable[[str], None] = lambda _outcome: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = KeySource(issuer, transport=transport, deadline=deadline)
        self._on_fetch = on_fetch
        self._monotonic = monotonic
        self._sleep = sleep
        self._keys: Mapping[str, SigningKey] = {}
        self._generation = 0
        self._succeeded_at: float | None = None
        self._attempted_at: float | None = None
        self._failures = 0
        self._running_fetch: asyncio.Task[None] | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def generation(self) -> int:
        """A number that grows whenever the keys change."""
        return self._generation

    def present(self) -> bool:
        """Tell whether there are keys that may be trusted now."""
        if self._succeeded_at is None:
            return False
        return self._monotonic() - self._succeeded_at < FRESH_SECONDS + STALE_SECONDS

    async def start(self) -> None:
        """Begin to fetch, and go on keeping the keys fresh until `close`. Returns at once; failing is no error here."""
        if self._refresher is None and not self._closed:
            self._refresher = asyncio.create_task(self._keep_fresh(), name="signing keys")

    async def close(self) -> None:
        """Stop fetching and give the connections back. Who still waits for a fetch is told that there is none."""
        self._closed = True
        tasks = [task for task in (self._refresher, self._running_fetch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()

    async def key(self, kid: str) -> SigningKey | None:
        """
        Give the key called *kid*.

        One that is known is given at once. For one that is not, the issuer is asked again, unless that was tried
        less than 30 s ago: strangers can name as many keys as they like.

        Returns:
            The key, or None when the issuer is known not to have it.

        Raises:
            AuthUnavailable: There are no keys that may be trusted, or this one may be new and the issuer is away.
        """
        cached = self._cached(kid)
        if cached is not None:
            if self._is_due():
                self._start_fetch()
            return cached
        await self._refetch()
        cached = self._cached(kid)
        if cached is None and (self._failures or self._closed or not self.present()):
            # A key that was rotated in during an outage would be refused for our own trouble.
            raise AuthUnavailable("the issuer's signing keys cannot be had", retry_after=self._retry_after())
        return cached

    def _cached(self, kid: str) -> SigningKey | None:
        return self._keys.get(kid) if self.present() else None

    async def _refetch(self) -> None:
        """Wait for the fetch under way, or for a new one where it is time for one."""
        if self._monotonic() >= self._allowed_at():
            self._start_fetch()
        if self._running_fetch is not None:
            # Unlike awaiting the task itself, this neither cancels it with one who waits, nor them with it.
            await asyncio.wait([self._running_fetch])

    def _start_fetch(self) -> None:
        """Start a fetch that nobody's cancellation ends, unless one is under way."""
        if self._closed or self._running_fetch is not None:
            return
        # Set here rather than in the task, so that nobody begins another one before it first runs.
        self._attempted_at = self._monotonic()
        self._running_fetch = asyncio.create_task(self._fetch(), name="signing keys, one fetch")
        self._running_fetch.add_done_callback(self._clear_fetch)

    def _clear_fetch(self, _fetch: asyncio.Task[None]) -> None:
        self._running_fetch = None

    async def _fetch(self) -> None:
        try:
            keys = await self._source.fetch()
        except FetchFailed as failure:
            self._failed(failure.code)
        except Exception:
            # A defect must not end the fetching for good; the next one may go well.
            _logger.exception("fetching the signing keys went wrong")
            self._failed("unexpected")
        else:
            self._accept(keys)

    def _failed(self, code: str) -> None:
        self._failures += 1
        _logger.warning("the issuer's signing keys could not be fetched: %s", code)
        self._on_fetch(code)

    def _accept(self, keys: Mapping[str, SigningKey]) -> None:
        if keys != self._keys:
            self._keys = keys
            self._generation += 1
        self._failures = 0
        self._succeeded_at = self._monotonic()
        self._on_fetch("ok")

    async def _keep_fresh(self) -> None:
        while True:
            if self._is_due():
                self._start_fetch()
                await self._refetch()
            else:
                # Never for long: a fetch that a request caused may have moved what is due, either way.
                await self._sleep(min(self._due_at() - self._monotonic(), PAUSE_SECONDS))

    def _is_due(self) -> bool:
        return self._monotonic() >= self._due_at()

    def _due_at(self) -> float:
        """When keys should be fetched next, whoever asks for which."""
        if self._failures or self._succeeded_at is None:
            return self._allowed_at()
        return self._succeeded_at + REFRESH_AFTER_SECONDS

    def _allowed_at(self) -> float:
        """When a key that is not known may next cause a fetch; counted from the last attempt, not the last success."""
        if self._attempted_at is None:
            return 0.0  # before any reading of a monotonic clock
        if self._succeeded_at is not None:
            return self._attempted_at + PAUSE_SECONDS
        pause = _FIRST_PAUSE_SECONDS << min(max(0, self._failures - 1), 3)
        return self._attempted_at + min(pause, PAUSE_SECONDS)

    def _retry_after(self) -> int:
        return max(1, ceil(self._allowed_at() - self._monotonic()))
