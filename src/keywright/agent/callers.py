"""The callers of an agent: all that reach its socket, or those with its credential."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf
from uuid import UUID

from keywright.api.http.principal import bearer_of
from keywright.keys.format import digest_of
from keywright.service.checking.ports import Seconds
from keywright.service.checking.verdicts import Caller
from keywright.service.faults import InvalidToken
from keywright.service.verifiers import Verifier, VerifierCache, Verifiers

_LOCAL = Verifier(id=UUID(int=0), name="local", display="", created_at=datetime.fromtimestamp(0, UTC))
_CALLER = Caller(_LOCAL.name, _LOCAL, None)


class _NoOtherVerifiers:
    """A store without verifiers: that of the agent's callers is in the cache for good."""

    async def add_verifier(self, _verifier: Verifier, _credential_digest: bytes) -> None:
        raise NotImplementedError

    async def verifiers(self) -> Sequence[Verifier]:
        return ()

    async def find_verifier(self, _credential_digest: bytes) -> Verifier | None:
        return None

    async def revoke_verifier(self, _name: str, _at: datetime) -> Verifier | None:
        return None


class LocalCallers:
    """
    Recognizes the callers of an agent; for `api.verify`.

    Args:
        credential: The credential of callers; None where they need none.
        brand: The first part of a key's text.
        monotonic: A monotonic clock, in seconds.
    """

    def __init__(self, credential: str | None, *, brand: str, monotonic: Seconds) -> None:
        # It never expires: nothing changes the credential of a running agent.
        cache = VerifierCache(2, bound=inf)
        cache.end(cache.begin(digest_of((credential or "").encode())), _LOCAL)
        cache.synced(monotonic())
        self.verifiers = Verifiers(
            store=_NoOtherVerifiers(),
            cache=cache,
            clock=lambda: datetime.now(UTC),
            monotonic=monotonic,
            entropy=bytes,
            new_id=lambda: _LOCAL.id,
            brand=brand,
            outage_seconds=0,
        )
        self.anonymous = credential is None
        """Whether a request needs no credential."""

    async def recognize(self, authorization: Sequence[str]) -> Caller:
        """
        Recognize the caller of a request.

        Args:
            authorization: The values of all `Authorization` headers.

        Raises:
            Refusal: The credential is missing or malformed.
            InvalidToken: It is another one.
        """
        if not self.anonymous and await self.verifiers.recognize(bearer_of(authorization)) is None:
            raise InvalidToken("This is not the credential of the agent.")
        return _CALLER
