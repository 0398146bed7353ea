"""The metrics of a process's state: its lag behind the changes, whether it is in an outage, its connections."""

import asyncio
from collections.abc import Callable

from keywright import telemetry
from keywright.api.http.connections import Connections
from keywright.keys.cache import BOUND_SECONDS
from keywright.service.checking.ports import Seconds

EVERY_SECONDS = 1.0


class Measures:
    """
    Writes the state of a process into its metrics once a second.

    With several workers another process writes the answer to a scrape, so none can be asked at that time.

    Args:
        followed_since: When the last complete reading of the changes began, by *monotonic*; None before the first.
        keys_age: The age of the issuer's signing keys in seconds, None before the first fetch; None where no tokens are
            verified.
        connections: The connections of the process.
        monotonic: Reads a clock, in seconds.
    """

    def __init__(
        self,
        *,
        followed_since: Callable[[], float | None],
        keys_age: Callable[[], float | None] | None,
        connections: Connections,
        monotonic: Seconds,
    ) -> None:
        self._followed_since = followed_since
        self._keys_age = keys_age
        self._connections = connections
        self._monotonic = monotonic
        self._began = monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write once a second, until `close`."""
        self._began = self._monotonic()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="metrics")

    async def close(self) -> None:
        """Write a last time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.write()

    def write(self) -> None:
        """Write the state, and what the meters of the process have counted."""
        now = self._monotonic()
        since = self._followed_since()
        # What never happened is as old as the process.
        lag = now - (self._began if since is None else since)
        telemetry.feed_lag_seconds.set(lag)
        telemetry.outage.set(lag > BOUND_SECONDS)
        if self._keys_age is not None:
            age = self._keys_age()
            telemetry.key_set_age_seconds.set(now - self._began if age is None else age)
        telemetry.open_connections.set(self._connections.number())
        telemetry.fold()

    async def _run(self) -> None:
        while True:
            self.write()
            await asyncio.sleep(EVERY_SECONDS)
