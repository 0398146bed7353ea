"""
The limits of keys, counted by all processes together in one Redis; and what happens while it is away.

A connection is kept in the background. As long as there is one, every request is counted through it; while there is
none, nobody waits for it.
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
"""How long after the beginning of one attempt to connect the next one begins at the earliest."""

# Whatever a request needs of Redis is tried before any request comes; a limit that nobody reaches.
_PROBE = (b"probe", (RateLimit("probe", 1_000_000, 1),), 1)

_logger = logging.getLogger(__name__)


class SharedLimiter:
    """
    Counts together with others. Within `patience` there is an answer, whatever Redis does.

    Args:
        place: Where Redis is.
        local: Counts while Redis is away, and learns until then how the limits stand.
        monotonic: The clock of *local*.
        on_outage: What becomes of requests while Redis is away: `local` counts in this process alone, `refuse` raises
            `LimitsUnavailable`.
        on_uncounted: Called for each request that Redis did not count.
        patience: Seconds to wait for an answer of Redis at most.
        pause: Seconds from one attempt to connect to the next at least.
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
        """Spend *cost* of every limit or of none where Redis need not be asked; None where it has to be."""
        if not limits:
            return UNLIMITED
        if self._connection is not None or self._on_outage == "refuse":
            return None
        return self._count_locally(key_id, limits, cost)

    async def acquire(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        """
        Spend *cost* of every limit or of none.

        Raises:
            LimitsUnavailable: Redis is away and the settings want no other count.
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
                # Not the request's fault: it loads its data, may not write or is out of memory.
                connection.end(f"Redis refuses to count: {error}")
        return self._count_locally(key_id, limits, cost)

    async def start(self) -> None:
        """
        Try to connect once, and go on trying in the background.

        Raises:
            Exception: Whatever ended the first attempt that is neither an answer nor an outage; there is no second one.
        """
        loop = asyncio.get_running_loop()
        self._connecting = loop.create_task(self._reconnect())
        tried = loop.create_task(self._tried.wait())
        await asyncio.wait((self._connecting, tried), return_when=asyncio.FIRST_COMPLETED)
        if not tried.done():
            tried.cancel()
            await self._connecting

    async def close(self) -> None:
        """End the connection; whoever waits for it is answered as in an outage."""
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
        """Keep a connection, for as long as this runs."""
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
        self._connection = None
        self._reason = reason


async def open_tested(server: RedisUrl, *, patience: float = PATIENCE_SECONDS) -> Connection:
    """
    Give a connection on which counting works: it was tried.

    Raises:
        ConnectionLost: Redis cannot be reached.
        CallFailed: It refuses the login, or to count.
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
        # It was restarted or its scripts were flushed, and nothing has been counted. This way it learns the script.
        answer = await connection.call("EVAL", script.TEXT, *arguments)
    return answer
