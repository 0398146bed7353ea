"""The callers of checks: a verifier by its own credential, or a service by a token with `verify:api_keys`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from keywright.api.http.principal import bearer_of
from keywright.keys.bounded import BoundedDict
from keywright.keys.format import digest_of
from keywright.service.checking.verdicts import Caller
from keywright.service.faults import InvalidToken, PermissionMissing
from keywright.service.ports import Authenticator
from keywright.service.principal import Permission
from keywright.service.verifiers import Verifiers

MOST_SENDERS = 256
_NOT_A_VERIFIER = "The verifier credential is unknown or was revoked."


class KnownCallers(Protocol):
    """
    Recognizes the callers of checks. Where it is `anonymous`, a request needs no credential, and `verifiers` has every
    caller as one, under an empty credential.
    """

    verifiers: Verifiers
    anonymous: bool

    async def recognize(self, authorization: Sequence[str], /) -> Caller:
        """Recognize the caller of a request by the values of all `Authorization` headers; see `Callers.recognize`."""
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


class Sender(NamedTuple):
    """A verifier that sends plain requests, and its number for `Checker.accept`."""

    caller: Caller
    number: int


class Senders:
    """
    Finds verifiers by the texts of their credentials, which it keeps in memory: at most `MOST_SENDERS`.

    Only verifiers in the cache are found, so an attacker cannot fill it. It is emptied when one of them changes.

    Args:
        verifiers: Has the cache of verifiers.
        number_of: Gives the number of a verifier by its name; see `Checker.verifier_number`.
    """

    def __init__(self, verifiers: Verifiers, number_of: Callable[[str], int]) -> None:
        self._verifiers = verifiers
        self.cache = verifiers.cache
        self._number_of = number_of
        self._known: BoundedDict[bytes, Sender] = BoundedDict(MOST_SENDERS)
        self._removals = self.cache.removals

    def find(self, credential: bytes, at: float) -> Sender | None:
        """
        Give the verifier with this credential; None where none is cached, or the cache is not fresh.

        Args:
            credential: Any text.
            at: Now, on the clock of the cache.
        """
        if at > self.cache.fresh_until:
            return None
        if self.cache.removals != self._removals:
            self._removals = self.cache.removals
            self._known.clear()
        return self._known.get(credential) or self._recognize(credential, at)

    def _recognize(self, credential: bytes, at: float) -> Sender | None:
        verifier = self._verifiers.cached(digest_of(credential), at)
        if verifier is None:
            return None
        sender = Sender(Caller(verifier.name, verifier, None), self._number_of(verifier.name))
        return self._known.keep(credential, sender)
