"""The callers of checks: a verifier by its own credential, or a service by a token with `verify:api_keys`."""

from collections.abc import Sequence
from typing import Protocol

from keywright.api.http.principal import bearer_of
from keywright.keys.format import digest_of
from keywright.service.checking.verdicts import Caller
from keywright.service.faults import InvalidToken, PermissionMissing
from keywright.service.ports import Authenticator
from keywright.service.principal import Permission
from keywright.service.verifiers import Verifier, Verifiers

_NOT_A_VERIFIER = "The verifier credential is unknown or was revoked."


class KnownCallers(Protocol):
    """Recognizes the callers of checks. Where it is `anonymous`, a request needs no credential."""

    verifiers: Verifiers
    anonymous: bool

    async def recognize(self, authorization: Sequence[str], /) -> Caller:
        """Recognize the caller of a request by the values of all `Authorization` headers; see `Callers.recognize`."""
        ...

    def cached_verifier(self, credential: bytes, at: float) -> Verifier | None:
        """Give the cached verifier with this credential; see `Callers.cached_verifier`."""
        ...


class Callers:
    """
    Recognises callers by their `Authorization` header.

    Args:
        verifiers: Recognises the credentials of verifiers.
        authenticator: Verifies tokens.
        brand: The first part of a credential.
    """

    def __init__(self, verifiers: Verifiers, authenticator: Authenticator, *, brand: str) -> None:
        self.verifiers = verifiers
        self.anonymous = False
        self._authenticator = authenticator
        self._prefix = f"{brand}_vk_"
        self._prefix_bytes = self._prefix.encode()

    async def recognize(self, authorization: Sequence[str]) -> Caller:
        """
        Recognise the caller of a request.

        Args:
            authorization: The values of all `Authorization` headers.

        Raises:
            Refusal: The credential is missing or malformed.
            Fault: It is not valid, or has no permission to verify.
        """
        presented = bearer_of(authorization)
        if presented.startswith(self._prefix):
            verifier = await self.verifiers.recognize(presented)
            if verifier is None:
                raise InvalidToken(_NOT_A_VERIFIER)
            return Caller(verifier.name, verifier, None)
        principal = await self._authenticator.authenticate(presented)
        if not principal.may(Permission.VERIFY):
            raise PermissionMissing(Permission.VERIFY)
        return Caller(principal.client_id or principal.subject, None, principal.organization.id.bytes)

    def cached_verifier(self, credential: bytes, at: float) -> Verifier | None:
        """Give the cached verifier with this credential at *at*, on the clock of the cache; None for any other text."""
        return self.verifiers.cached(digest_of(credential), at) if credential.startswith(self._prefix_bytes) else None
