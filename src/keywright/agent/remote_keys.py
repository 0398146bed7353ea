"""The keys of the service, as checking needs them from a store."""

from collections.abc import Mapping, Sequence

from keywright.client.errors import CredentialRefused, KeywrightError, ServiceUnavailable
from keywright.client.verifier._calls import ServiceCalls
from keywright.keys.verdict import KeyFacts
from keywright.service.faults import StorageUnavailable


class RemoteKeys:
    """
    Looks keys up at the service; a `service.checking.ports.KeyStore`.

    While the service is unavailable, one request at a time tries it, and all others fail at once: waiting with each of
    them would stop the API server.

    Args:
        calls: Reach the service.
    """

    def __init__(self, calls: ServiceCalls) -> None:
        self._calls = calls
        # True from a failure until the next answer or event of the service.
        self._unavailable = False
        self._under_way = 0

    def heard(self) -> None:
        """Note that the service has sent something: all look-ups go to it again."""
        self._unavailable = False

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        """Read the facts of keys; see `KeyStore`."""
        different = list(dict.fromkeys(digests))
        return await self._read(different) if different else {}

    async def find_metadata(self, digest: bytes) -> str | None:
        """Read the metadata of a key; see `KeyStore`."""
        facts = (await self._read([digest], metadata=True)).get(digest)
        return None if facts is None else facts.metadata

    async def _read(self, digests: Sequence[bytes], *, metadata: bool = False) -> Mapping[bytes, KeyFacts]:
        if self._unavailable and self._under_way:
            raise StorageUnavailable("the service does not answer")
        self._under_way += 1
        try:
            found = await self._calls.facts(digests, metadata=metadata)
        except KeywrightError as error:
            self._unavailable = True
            raise _fault(error) from None
        finally:
            self._under_way -= 1
        self._unavailable = False
        return found


def _fault(error: KeywrightError) -> StorageUnavailable:
    if isinstance(error, CredentialRefused):
        # Whoever presents a key can do nothing about it, so this is no 401.
        return StorageUnavailable(f"the service does not accept this agent: {error}")
    after = error.retry_after if isinstance(error, ServiceUnavailable) else None
    return StorageUnavailable(str(error)) if after is None else StorageUnavailable(str(error), retry_after=after)
