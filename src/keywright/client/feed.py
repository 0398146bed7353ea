"""Following the feed of changes over the network: opened, read, and opened again for as long as a session lasts."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping

import httpx

from keywright.client.errors import CredentialRefused, ServiceUnavailable
from keywright.client.event_stream import StreamBroken
from keywright.client.following import Following
from keywright.client.service_calls import ServiceCalls, Timing

_logger = logging.getLogger("keywright.client")
_random = secrets.SystemRandom()


class Feed:
    """
    Reads the feed of one session.

    Args:
        following: Knows what events mean.
        calls: Reach the service.
        timing: How long to wait for a word, and between two tries.
        parameters: What the service is told of the session.
        heard: Called after each event, with the changes that were dropped.
    """

    def __init__(
        self,
        following: Following,
        calls: ServiceCalls,
        timing: Timing,
        *,
        parameters: Mapping[str, str],
        heard: Callable[[list[int]], None],
    ) -> None:
        self._following = following
        self._calls = calls
        self._timing = timing
        self._parameters = parameters
        self._heard = heard
        self._pause = timing.first_pause
        self._told = logging.NOTSET

    async def follow(self) -> None:
        """Follow for ever; whatever goes wrong is told once, and tried again."""
        while True:
            try:
                await self._follow_one_stream()
            except CredentialRefused as error:
                self._tell(logging.ERROR, f"the service does not accept this verifier's credential: {error}")
                await asyncio.sleep(self._timing.refused_pause)
            except (ServiceUnavailable, StreamBroken, httpx.RequestError) as error:
                self._tell(logging.WARNING, f"the feed of changes is cut off: {str(error) or type(error).__name__}")
            except Exception:
                # Trust in what is held lapses by itself; not to try again would leave it at that.
                _logger.exception("the feed of changes cannot be read")
            await asyncio.sleep(_random.uniform(self._pause / 2, self._pause))
            self._pause = min(2 * self._pause, self._timing.longest_pause)

    async def _follow_one_stream(self) -> None:
        parameters = {**self._parameters, **self._following.begin()}
        async with self._calls.feed(parameters) as events:
            async for event in events:
                self._heard(self._following.take(event))
                if event.name == "beat":
                    self._settle()

    def _settle(self) -> None:
        self._pause = self._timing.first_pause
        if self._told:
            self._told = logging.NOTSET
            _logger.info("the feed of changes is followed again")

    def _tell(self, level: int, trouble: str) -> None:
        # Once for each time it is cut off, not once for each try; and again when it turns out to be worse.
        if level > self._told:
            self._told = level
            _logger.log(level, trouble)
