"""
The cache of the issuer's signing keys: when they are fetched, and how long they are trusted.

Four promises. One fetch runs at a time, at any load. A cached key never waits for a fetch. Unknown keys cause a fetch
every 6 s at most. A token is refused for its key only after a fetch that succeeded and began after the token came; a
fetch that failed, or that must wait, is `AuthUnavailable`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from typing import TYPE_CHECKING

from keywright.auth.key_source import DEADLINE_SECONDS, FetchFailed, KeySource
from keywright.auth.rsa_key import IssuerKey
from keywright.service.faults import AuthUnavailable

if TYPE_CHECKING:
    import httpx

FRESH_SECONDS = 600
# While the issuer is unavailable, keys are used for an hour after they cease to be fresh. So an outage of an hour
# refuses no cached key, even one that begins just before a fetch.
STALE_SECONDS = 3600
# Early enough for two failed fetches before the keys cease to be fresh.
REFRESH_AFTER_SECONDS = 510
PAUSE_SECONDS = 30
# Forged tokens can name any number of keys. Auth0's own libraries allow ten fetches a minute.
UNKNOWN_KEY_PAUSE_SECONDS = 6
# Without any keys every token is refused, so the first retries are sooner: after 5 s, 10 s, 20 s, then every 30 s.
_FIRST_PAUSE_SECONDS = 5

_logger = logging.getLogger(__name__)


class KeySet:
    """
    The signing keys of one issuer.

    Args:
        issuer: As in `iss`; an `https` address, or an `http` one on a loopback host.
        transport: What carries the requests; by default the network.
        deadline: Seconds that one fetch may take.
        on_fetch: Called after every fetch with `ok`, a code of `key_source.FetchFailed`, or `unexpected`.
        monotonic: Seconds that never go backwards.
        sleep: Waits for some seconds of `monotonic`.

    Raises:
        ValueError: The issuer is neither an https address nor an http one on a loopback host.
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
        self._keys: Mapping[str, IssuerKey] = {}
        self._generation = 0
        self._succeeded_at: float | None = None
        self._attempted_at: float | None = None
        self._sought_at: float | None = None
        self._begun = 0
        self._failures = 0
        self._running_fetch: asyncio.Task[None] | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def generation(self) -> int:
        """A number that grows whenever the keys change."""
        return self._generation

    def present(self) -> bool:
        """Return whether there are keys, fetched less than 70 minutes ago."""
        age = self.age()
        return age is not None and age < FRESH_SECONDS + STALE_SECONDS

    def age(self) -> float | None:
        """Return the seconds since the last successful fetch; None before the first."""
        return None if self._succeeded_at is None else self._monotonic() - self._succeeded_at

    async def start(self) -> None:
        """Fetch the keys in the background until `close`. Returns at once; a failed fetch is logged and retried."""
        if self._refresher is None and not self._closed:
            self._refresher = asyncio.create_task(self._keep_fresh(), name="signing keys")

    async def close(self) -> None:
        """Stop fetching and close the connections. A call that waits for a fetch gets `AuthUnavailable`."""
        self._closed = True
        tasks = [task for task in (self._refresher, self._running_fetch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()

    def cached(self, kid: str) -> IssuerKey | None:
        """
        Return the key called *kid* without waiting; None if it is not cached, or the keys are too old to be trusted.

        Keys that will soon cease to be fresh are fetched in the background.
        """
        found = self._keys.get(kid) if self.present() else None
        if found is not None and self._is_due():
            self._start_fetch()
        return found

    async def key(self, kid: str) -> IssuerKey | None:
        """
        Return the key called *kid*.

        A cached key is returned at once. Another name waits for the running fetch, or causes one, unless the last fetch
        for an unknown key began less than 6 s ago: forged tokens can have any number of names.

        Returns:
            The key, or None if a fetch that began after the call did not find it.

        Raises:
            AuthUnavailable: There are no trusted keys, or the key may be new: the issuer is unavailable, or a fetch is
                not allowed yet. `retry_after` is the time until then.
        """
        begun = self._begun
        while (found := self.cached(kid)) is None and not self._has_succeeded_since(begun):
            fetch = self._running_fetch or self._seek(begun)
            if fetch is None:
                raise AuthUnavailable("the signing key is not known yet", retry_after=self._retry_after())
            # Awaiting the task itself would cancel it when one waiting call is cancelled, and the calls when it is.
            await asyncio.wait([fetch])
        return found

    def _has_succeeded_since(self, begun: int) -> bool:
        """Return whether the last fetch succeeded, and was not among the first *begun* ones."""
        return self._running_fetch is None and self._begun > begun and not self._failures and not self._closed

    def _seek(self, begun: int) -> "asyncio.Task[None] | None":
        """Start a fetch for an unknown key; None if it is not allowed now, or one after the first *begun* failed."""
        if self._begun > begun or self._monotonic() < self._seeking_allowed_at():
            return None
        self._sought_at = self._monotonic()
        self._start_fetch()
        return self._running_fetch

    def _start_fetch(self) -> None:
        """Start a fetch in a task of its own, unless one runs."""
        if self._closed or self._running_fetch is not None:
            return
        # Set here and not in the task, which first runs later: another call must not start a second one meanwhile.
        self._attempted_at = self._monotonic()
        self._running_fetch = asyncio.create_task(self._fetch(), name="signing keys, one fetch")
        self._running_fetch.add_done_callback(self._clear_fetch)

    def _clear_fetch(self, _fetch: asyncio.Task[None]) -> None:
        self._running_fetch = None

    async def _fetch(self) -> None:
        # Counted here and not where the task is made: a call before the first request is served by this fetch.
        self._begun += 1
        try:
            keys = await self._source.fetch()
        except FetchFailed as failure:
            self._failed(failure.code)
        except Exception:
            # A defect must not end all fetching; the next fetch may succeed.
            _logger.exception("the fetch of the signing keys failed unexpectedly")
            self._failed("unexpected")
        else:
            self._accept(keys)

    def _failed(self, code: str) -> None:
        self._failures += 1
        _logger.warning("the issuer's signing keys could not be fetched: %s", code)
        self._on_fetch(code)

    def _accept(self, keys: Mapping[str, IssuerKey]) -> None:
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
            if self._running_fetch is not None:
                await asyncio.wait([self._running_fetch])
            else:
                # At most 30 s: a fetch that a request caused can move the next one, either way.
                await self._sleep(min(self._due_at() - self._monotonic(), PAUSE_SECONDS))

    def _is_due(self) -> bool:
        return self._monotonic() >= self._due_at()

    def _due_at(self) -> float:
        """The time of the next fetch in the background, in seconds of `monotonic`."""
        if self._failures or self._succeeded_at is None:
            return self._allowed_at()
        return self._succeeded_at + REFRESH_AFTER_SECONDS

    def _allowed_at(self) -> float:
        """The time of the next attempt after a failed one; counted from the last attempt, not the last success."""
        if self._attempted_at is None:
            return 0.0  # before any reading of a monotonic clock
        if self._succeeded_at is not None:
            return self._attempted_at + PAUSE_SECONDS
        pause = _FIRST_PAUSE_SECONDS << min(max(0, self._failures - 1), 3)
        return self._attempted_at + min(pause, PAUSE_SECONDS)

    def _seeking_allowed_at(self) -> float:
        """The time from which an unknown key may cause a fetch; that of `_allowed_at` until there are any keys."""
        if self._succeeded_at is None:
            return self._allowed_at()
        return 0.0 if self._sought_at is None else self._sought_at + UNKNOWN_KEY_PAUSE_SECONDS

    def _retry_after(self) -> int:
        return max(1, ceil(self._seeking_allowed_at() - self._monotonic()))
