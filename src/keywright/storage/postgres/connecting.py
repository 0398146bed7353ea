"""
Opens connections to the primary, among several servers where the URL names them, and knows a former one.

After a failover two servers may answer: the new primary, and the former one, which does not know yet. It cannot
acknowledge changes with synchronous replication, but it can be read. So a process

- uses no server of an earlier timeline once it has met a later one: each promotion begins a timeline, with a higher
  number;
- counts what it reads of keys only while the server has proven, within the bound of revocation, that a standby still
  confirms its writes: `synchronous_standby_names` says whether it needs one.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg

from keywright.keys.cache import BOUND_SECONDS
from keywright.service.faults import StorageUnavailable
from keywright.storage.postgres.faults import DRIVER_ERRORS, ConnectionLost, NotDurable, fault
from keywright.storage.shared.group_commit import PATIENCE
from keywright.storage.url import Host, PostgresUrl

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

CONNECT_PATIENCE = 2.0
"""Seconds to wait for a new connection, the server's greeting included."""

NEXT_HOST_AFTER = 0.25
"""Seconds without an answer of one host after which the next one is tried beside it."""

_FITNESS: Final = """
    SELECT current_setting('synchronous_commit', true), current_setting('in_hot_standby', true),
        current_setting('synchronous_standby_names', true)
"""

SERVER: Final = """(
    SELECT system_identifier || ':' || CASE
        WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END
    FROM pg_control_system()
)"""
"""An expression: the identifier of the cluster and the timeline, or nothing instead of it on a standby."""

PROOF: Final = "pg_logical_emit_message(true, 'keywright', '')"
"""
An expression that writes a few bytes of WAL, and no row. So its transaction ends as one that changes something: once a
standby has confirmed it, where the server needs one.
"""

# The routine that warns when it no longer waits for a standby; texts of the server are translated.
_GAVE_UP_WAITING: Final = "SyncRepWaitForLSN"

_IS_STANDBY = "the server is a standby, which may lag behind; the URL has to name the primary"


class Server(NamedTuple):
    """A cluster by its identifier, and its timeline: eight hexadecimal digits, so that they compare as numbers do."""

    system: str
    timeline: str

    @classmethod
    def read(cls, text: str | None) -> "Server | None":
        """Read a value of `SERVER`; None where the engine has no such thing."""
        if text is None:
            return None
        system, _, timeline = text.partition(":")
        return cls(system, timeline)


class ServerConnection(_Connection):
    """
    A connection, and which server it is to.

    `unreplicated` is set when the server ended a transaction without the standby that has to confirm it: whoever sent
    it takes that for a failure, and clears it. The server reports a success, and only warns.
    """

    host: Host | None = None
    server: Server | None = None
    unreplicated: bool = False


class Primacy:
    """
    Which server is the primary, as far as this process knows.

    Args:
        now: A clock in seconds that goes on while the machine sleeps.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.needs_proof = False
        """Whether the server acknowledges changes only once a standby has them."""
        self._server: Server | None = None
        self._proven_at = -inf

    @property
    def ever_proven(self) -> bool:
        """Whether there was a proof at any time."""
        return self._proven_at > -inf

    def admit(self, server: Server | None) -> None:
        """
        Note a server that answered.

        Raises:
            StorageUnavailable: It was the primary before another one.
        """
        if self.is_former(server):
            raise StorageUnavailable("the server is a former primary: another one has taken over")
        if server is not None:
            self._server = server

    def is_former(self, server: Server | None) -> bool:
        """Tell whether a server is of an earlier timeline than another one that this process has met."""
        known = self._server
        return (
            server is not None and known is not None and server.system == known.system
            and server.timeline < known.timeline
        )  # fmt: skip

    def proof_is_due(self, seconds: float) -> bool:
        """Tell whether the last proof is older than this, or there is none."""
        return self.now() - self._proven_at >= seconds

    def proven(self, at: float) -> None:
        """Note a proof that was begun at a moment."""
        self._proven_at = max(self._proven_at, at)

    def refuse_unproven(self, at: float) -> None:
        """
        Refuse what was read from a moment on, unless the server was the primary within the bound before.

        Raises:
            StorageUnavailable: It may have been replaced by another one.
        """
        if self.needs_proof and at - self._proven_at > BOUND_SECONDS:
            raise StorageUnavailable(
                "no standby confirms what the server writes: another one may be the primary by now"
            )


class Servers:
    """
    The servers of a URL, of which one is the primary.

    Args:
        url: Where they are.
        now: The clock of `primacy`.
    """

    def __init__(self, url: PostgresUrl, now: Callable[[], float] | None = None) -> None:
        self.primacy = Primacy(now or _forward_clock())
        self._url = url
        # The one that was the primary last comes first.
        self._order: list[Host | None] = list(url.hosts) or [None]

    async def connect(
        self, *, patience: float = CONNECT_PATIENCE, statement_patience: float | None = PATIENCE
    ) -> ServerConnection:
        """
        Open a connection to a primary that keeps what it acknowledges.

        Args:
            patience: Seconds to wait for it.
            statement_patience: Seconds that a statement may take, unless it says otherwise; None for as long as it
                takes.

        Raises:
            NotDurable: It does not keep what it acknowledges.
            StorageUnavailable: It cannot be reached.
        """
        try:
            async with asyncio.timeout(patience):
                return await self._first_fit(statement_patience)
        except TimeoutError:
            raise StorageUnavailable(f"PostgreSQL cannot be reached: no answer in {patience:g} s") from None
        except (*DRIVER_ERRORS, ValueError) as error:
            raise StorageUnavailable(f"PostgreSQL cannot be reached: {_reason(error)}") from error

    def is_former(self, connection: ServerConnection) -> bool:
        """See `Primacy.is_former`."""
        return self.primacy.is_former(connection.server)

    def doubt(self, connection: ServerConnection) -> None:
        """Try the other hosts before that of a connection from now on."""
        self._order.remove(connection.host)
        self._order.append(connection.host)

    async def _first_fit(self, statement_patience: float | None) -> ServerConnection:
        """Try one host after another, or beside it where it does not answer, until one is the primary."""
        left, errors = list(self._order), list[BaseException]()
        attempts: dict[asyncio.Task[ServerConnection], Host | None] = {}
        try:
            while left or attempts:
                if left:
                    host = left.pop(0)
                    attempts[asyncio.ensure_future(self._open(host, statement_patience))] = host
                done, _ = await asyncio.wait(
                    attempts, timeout=NEXT_HOST_AFTER if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                for attempt in done:
                    host = attempts.pop(attempt)
                    if (error := attempt.exception()) is None:
                        self._prefer(host)
                        return attempt.result()
                    errors.append(error)
        finally:
            await _abandon(list(attempts))
        raise _most_telling(errors)

    async def _open(self, host: Host | None, statement_patience: float | None) -> ServerConnection:
        place: dict[str, Any] = {} if host is None else {"host": host.name, "port": host.port}
        connection = await asyncpg.connect(
            self._url.dsn,
            command_timeout=statement_patience,
            statement_cache_size=self._url.statement_cache_size,
            server_settings=None if self._url.names_application else {"application_name": "keywright"},
            connection_class=ServerConnection,
            **place,
        )
        try:
            connection.host = host
            connection.add_log_listener(_note_warning)
            await self._examine(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _examine(self, connection: ServerConnection) -> None:
        # An engine that has no such settings keeps what it acknowledges, and has no standby that could be read.
        ((commit, standby, confirmed_by),) = await connection.fetch(_FITNESS)
        if commit == "off":
            raise NotDurable
        if standby == "on":
            raise StorageUnavailable(_IS_STANDBY)
        connection.server = await _server_of(connection)
        self.primacy.admit(connection.server)
        self.primacy.needs_proof = connection.server is not None and bool(confirmed_by)

    def _prefer(self, host: Host | None) -> None:
        self._order.remove(host)
        self._order.insert(0, host)


async def close_connection(connection: ServerConnection, *, patience: float = 2.0) -> None:
    """Close a connection; cut it off when the server does not answer within *patience* seconds."""
    try:
        await connection.close(timeout=patience)
    except DRIVER_ERRORS:
        connection.terminate()


async def connect(
    url: PostgresUrl, *, patience: float = CONNECT_PATIENCE, statement_patience: float | None = PATIENCE
) -> ServerConnection:
    """Open one connection, for whoever needs no other; see `Servers.connect`."""
    return await Servers(url).connect(patience=patience, statement_patience=statement_patience)


async def _server_of(connection: ServerConnection) -> Server | None:
    """Ask which server it is; None for an engine that has no such functions, or lets nobody call them."""
    try:
        ((text,),) = await connection.fetch(f"SELECT {SERVER}")
    except asyncpg.PostgresError as error:
        if isinstance(fault(error), ConnectionLost):
            raise
        return None
    server = Server.read(text)
    if server is not None and not server.timeline:
        raise StorageUnavailable(_IS_STANDBY)
    return server


def _note_warning(connection: Any, message: Any) -> None:
    """Note that a transaction was ended without its standby: its wait was cancelled, by an operator for one."""
    if getattr(message, "server_source_function", None) == _GAVE_UP_WAITING:
        connection.unreplicated = True


async def _abandon(attempts: "Sequence[asyncio.Task[ServerConnection]]") -> None:
    for attempt in attempts:
        attempt.cancel()
    if attempts:
        await asyncio.wait(attempts)
    for attempt in attempts:
        if not attempt.cancelled() and attempt.exception() is None:
            attempt.result().terminate()


def _most_telling(errors: Sequence[BaseException]) -> BaseException:
    """Give the error that says most of several servers: of a setting to be mended, then of what all of them said."""
    unfit: list[BaseException] = [error for error in errors if isinstance(error, NotDurable)]
    if unfit or len(errors) == 1:
        return [*unfit, *errors][0]
    reasons = ", ".join(dict.fromkeys(map(_reason, errors)))
    return StorageUnavailable(f"PostgreSQL cannot be reached: none of {len(errors)} servers is the primary: {reasons}")


def _reason(error: BaseException) -> str:
    if isinstance(error, StorageUnavailable):
        return error.reason
    return str(error.args[0] if isinstance(error, asyncpg.PostgresError) else error) or type(error).__name__


def _forward_clock() -> Callable[[], float]:
    return partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
