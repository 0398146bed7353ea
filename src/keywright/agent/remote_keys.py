"""The keys of the service, as checking needs them from a store."""

import asyncio
from collections.abc import Mapping, Sequence

from keywright import telemetry
from keywright.client.errors import CredentialRefused, KeywrightError, ServiceUnavailable
from keywright.client.verifier._answers import UnknownRule
from keywright.client.verifier._calls import NoAnswerInTime, ServiceCalls, within_time
from keywright.client.verifier._tasks import end_tasks
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.ports import PartlyFound
from keywright.service.faults import StorageUnavailable, Unavailable

_log = telemetry.SampledLog("keywright.agent")

_Found = Mapping[bytes, KeyFacts]


class NoVerdict(Unavailable):
    """
    The service was reached, and this agent may not decide: it is refused, or does not know a rule of the key.

    Unlike `StorageUnavailable` it is no outage, so no cached key is accepted instead.
    """

    code = StorageUnavailable.code


class RemoteKeys:
    """
    Looks keys up at the service; a `service.checking.ports.KeyStore`.

    While the service does not answer in time, nobody waits for it, which would stop the API server: every look-up fails
    at once, and one at a time is repeated in the background.

    Args:
        calls: Reach the service.
        seconds: How long a look-up may take.
    """

    def __init__(self, calls: ServiceCalls, seconds: float) -> None:
        self._calls = calls
        self._seconds = seconds
        # True from a timeout until the next answer or event of the service.
        self._silent = False
        self._trying: asyncio.Task[_Found] | None = None

    def heard(self) -> None:
        """Note that the service goes on: all look-ups go to it again."""
        self._silent = False

    async def find_keys(self, digests: Sequence[bytes]) -> _Found:
        """Read the facts of keys; see `KeyStore`."""
        different = list(dict.fromkeys(digests))
        return await self._read(different) if different else {}

    async def find_metadata(self, digest: bytes) -> str | None:
        """Read the metadata of a key; see `KeyStore`."""
        try:
            facts = (await self._read([digest], metadata=True)).get(digest)
        except PartlyFound as partly:
            raise partly.faults[digest] from None
        return None if facts is None else facts.metadata

    async def close(self) -> None:
        """End the look-up in the background."""
        await self._calls.connected()
        await end_tasks([] if self._trying is None else [self._trying])

    async def _read(self, digests: Sequence[bytes], *, metadata: bool = False) -> _Found:
        if not self._silent:
            return await self._ask(digests, metadata=metadata)
        if self._trying is None:
            self._trying = asyncio.get_running_loop().create_task(self._ask(digests, metadata=metadata))
            self._trying.add_done_callback(self._tried)
        raise StorageUnavailable("the service does not answer")

    def _tried(self, task: "asyncio.Task[_Found]") -> None:
        self._trying = None
        if not task.cancelled():
            # Seen here, so that it is not reported as lost.
            task.exception()

    async def _ask(self, digests: Sequence[bytes], *, metadata: bool) -> _Found:
        try:
            found = await within_time(lambda: self._calls.facts(digests, metadata=metadata), self._seconds)
        except KeywrightError as error:
            self._silent = isinstance(error, NoAnswerInTime)
            _log.warning(type(error).__name__, "keys cannot be looked up at the service", reason=str(error))
            if isinstance(error, UnknownRule):
                raise PartlyFound(error.found, dict.fromkeys(error.unknown, NoVerdict(str(error)))) from None
            raise _fault(error) from None
        self._silent = False
        return found


def _fault(error: KeywrightError) -> Unavailable:
    if isinstance(error, CredentialRefused):
        # Whoever presents a key can do nothing about it, so this is no 401.
        return NoVerdict(f"the service does not accept this agent: {error}")
    after = error.retry_after if isinstance(error, ServiceUnavailable) else None
    return StorageUnavailable(str(error)) if after is None else StorageUnavailable(str(error), retry_after=after)
