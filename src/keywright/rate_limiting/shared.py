"""
The rate limiter of all processes together, in one Redis, and its behaviour while Redis is unavailable.

A background task keeps a connection open. With a connection, every request is counted in Redis; without one, no request
waits for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Literal

from keywright.keys.rate_limiter import UNLIMITED, RateLimitDecision, decide
from keywright.keys.rate_limits import RateLimit
from keywright.rate_limiting import script
from keywright.rate_limiting.connection import (
    PATIENCE_SECONDS,
    Connection,
    RedisCallFailed,
    RedisConnectionLost,
    connect,
)
from keywright.rate_limiting.url import RedisUrl
from keywright.service.checking.local_rate_limiter import LocalRateLimiter
from keywright.service.checking.ports import Seconds
from keywright.service.faults import LimitsUnavailable

OnOutage = Literal["local", "refuse"]

PAUSE_SECONDS = 0.5
"""The shortest time from the start of one attempt to connect to the start of the next."""

# A call like that of a request, to test a new connection; its limit is never reached.
_PROBE = (b"probe", (RateLimit("probe", 1_000_000, 1),), 1)

_logger = logging.getLogger(__name__)


class SharedLimiter:
    """
    Counts in Redis, together with other processes. It decides within `patience`, also when Redis does not answer.

    Args:
        server: The address of Redis.
        local: Counts while Redis is unavailable; until then it learns the state of the limits.
        monotonic: The clock of *local*.
        on_outage: What happens to requests while Redis is unavailable: `local` counts in this process alone, `refuse`
            raises `LimitsUnavailable`.
        on_uncounted: Called for each request that Redis did not count.
        patience: The longest wait for an answer of Redis, in seconds.
        pause: The shortest time from one attempt to connect to the next, in seconds.
    """

    def __init__(
        self,
        server: RedisUrl,
        local: LocalRateLimiter,
        *,
        monotonic: Seconds,
        on_outage: OnOutage = "local",
        on_uncounted: Callable[[], None] = lambda: None,
        patience: float = PATIENCE_SECONDS,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._server = server
        self._local = local
        self._monotonic = monotonic
        self._on_outage = on_outage
        self._on_uncounted = on_uncounted
        self._patience = patience
        self._pause = pause
        self._connection: Connection | None = None
        self._reason = "it was not started"
        self._tried = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None

    def acquire_now(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision | None:
        """Take *cost* of every limit or of none, where that needs no Redis; None otherwise."""
        if not limits:
            return UNLIMITED
        if self._connection is not None or self._on_outage == "refuse":
            return None
        return self._count_locally(key_id, limits, cost)

    async def acquire(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        """
        Take *cost* of every limit or of none.

        Raises:
            LimitsUnavailable: Redis is unavailable and `on_outage` is `refuse`.
        """
        if not limits:
            return UNLIMITED
        connection = self._connection
        if connection is not None:
            try:
                return await self._count_in_redis(connection, key_id, limits, cost)
            except RedisConnectionLost as error:
                self._reason = str(error)
            except RedisCallFailed as error:
                # The state of Redis is the cause, not the request: it loads data, is read-only or out of memory.
                connection.end(f"Redis refuses to count: {error}")
        return self._count_locally(key_id, limits, cost)

    async def start(self) -> None:
        """
        Try to connect once, and go on in the background.

        Raises:
            Exception: An error of the first attempt that is no outage, such as a missing file; there is no second one.
        """
        loop = asyncio.get_running_loop()
        self._connecting = loop.create_task(self._reconnect())
        tried = loop.create_task(self._tried.wait())
        await asyncio.wait((self._connecting, tried), return_when=asyncio.FIRST_COMPLETED)
        if not tried.done():
            tried.cancel()
            await self._connecting

    async def close(self) -> None:
        """End the connection; waiting requests are answered as in an outage."""
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting

    async def _count_in_redis(
        self, connection: Connection, key_id: bytes, limits: Sequence[RateLimit], cost: int
    ) -> RateLimitDecision:
        asked_at = self._monotonic()
        now, full_at = script.read(await _run(connection, script.arguments(key_id, limits, cost)))
        decision, moments = decide(limits, full_at, now, cost)
        self._local.learn(key_id, limits, [moment - now for moment in moments], asked_at)
        return decision

    def _count_locally(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        self._on_uncounted()
        if self._on_outage == "refuse":
            raise LimitsUnavailable(self._reason)
        return self._local.acquire_now(key_id, limits, cost)

    async def _reconnect(self) -> None:
        """Connect, and connect again after each loss, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                connection = await open_tested(self._server, patience=self._patience)
            except (RedisConnectionLost, RedisCallFailed) as error:
                self._note_loss(str(error))
            else:
                await self._use(connection)
            self._tried.set()
            await asyncio.sleep(max(0.0, began + self._pause - loop.time()))

    async def _use(self, connection: Connection) -> None:
        _logger.info("limits of keys are counted in Redis")
        self._connection = connection
        self._tried.set()
        try:
            self._note_loss(await connection.lost)
        finally:
            self._connection = None
            connection.end("the service stops")

    def _note_loss(self, reason: str) -> None:
        if self._connection is not None or not self._tried.is_set():
            consequence = "this process counts alone" if self._on_outage == "local" else "keys with limits are refused"
            _logger.warning("limits of keys are not counted in Redis, %s: %s", consequence, reason)
        self._reason = reason


async def open_tested(server: RedisUrl, *, patience: float = PATIENCE_SECONDS) -> Connection:
    """
    Open a connection and test that Redis counts on it.

    Raises:
        RedisConnectionLost: Redis cannot be reached.
        RedisCallFailed: It refuses the login, or to count.
    """
    connection = await connect(server, patience=patience)
    try:
        await _run(connection, script.arguments(*_PROBE))
    except BaseException:
        connection.end("it cannot be used")
        raise
    return connection


async def _run(connection: Connection, arguments: script.Arguments) -> bytes:
    try:
        answer: bytes = await connection.call("EVALSHA", script.DIGEST, *arguments)
    except RedisCallFailed as error:
        if not str(error).startswith("NOSCRIPT"):
            raise
        # Redis was restarted or its scripts were flushed; nothing was counted. EVAL stores the script again.
        answer = await connection.call("EVAL", script.TEXT, *arguments)
    return answer
