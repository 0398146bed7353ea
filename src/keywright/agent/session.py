"""The session of an agent with its service: the feed of changes, acknowledgements, and reports of usage."""

import asyncio
from collections.abc import Callable

from keywright.agent.followed import Followed
from keywright.client.verifier._calls import ServiceCalls, Timing
from keywright.client.verifier._feed import Applied, Feed, session_parameters
from keywright.client.verifier._reports import Reports
from keywright.client.verifier._tasks import end_tasks


class AgentSession:
    """
    Follows the changes from `start` to `close`.

    Args:
        followed: The memory of the agent.
        calls: Calls of the service; closed with the session.
        timing: Time limits.
        name: The name of this process in receipts of revocations.
        outage_seconds: How long cached keys are accepted while the service is unavailable; receipts count with it.
        heard: Called when the feed has brought the changes further, which takes a service that reads its database.
    """

    def __init__(
        self,
        followed: Followed,
        calls: ServiceCalls,
        timing: Timing,
        *,
        name: str,
        outage_seconds: int,
        heard: Callable[[], object],
    ) -> None:
        self._followed = followed
        self._calls = calls
        self._timing = timing
        self._heard = heard
        self._parameters = session_parameters(followed.session, name, outage_seconds)
        self._reports: Reports | None = None
        self._following: asyncio.Task[None] | None = None
        # What `heard` was called for last.
        self._since: float | None = None

    def start(self) -> None:
        """Begin on the running loop; the service may be unavailable."""
        reports = self._reports = Reports(self._followed, self._calls, self._timing)

        def received(applied: Applied) -> None:
            if self._since != self._followed.since:
                self._since = self._followed.since
                self._heard()
            reports.acknowledge(applied)

        feed = Feed(self._followed, self._calls, self._timing, parameters=self._parameters, received=received)
        self._following = asyncio.get_running_loop().create_task(feed.follow(), name="keywright feed")

    async def close(self) -> None:
        """End the cache, send the remaining reports, end the session. Takes a bounded time, and never fails."""
        if self._reports is None or self._following is None:
            return
        self._followed.end()
        try:
            await self._reports.finish()
        finally:
            await self._calls.connected()
            await end_tasks([self._following])
            await self._calls.close()
