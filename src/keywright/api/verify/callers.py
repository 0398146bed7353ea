"""The callers of checks: a verifier by its own credential, or a service by a token with `verify:api_keys`."""

from collections.abc import Sequence

from keywright.api.http.principal import bearer_of
from keywright.api.http.problems import Refusal
from keywright.keys.format import digest
from keywright.service.checking.verdicts import Caller
from keywright.service.faults import InvalidToken, PermissionMissing
from keywright.service.ports import Authenticator
from keywright.service.principal import Permission
from keywright.service.verifiers import Verifiers

_NOT_A_VERIFIER = "The verifier credential is unknown or was revoked."


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
        self._authenticator = authenticator
        self._prefix = f"{brand}_vk_"

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

    def credential(self, authorization: Sequence[str]) -> bytes | None:
        """Give the digest of the verifier's credential in the header; None for a token, or without one."""
        try:
            presented = bearer_of(authorization)
        except Refusal:
            return None
        return digest(presented) if presented.startswith(self._prefix) else None
