"""The ports of every use case: time, randomness, ids, and the principal of a token."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from keywright.service.principal import Principal


class Clock(Protocol):
    """Gives the time: aware, in UTC, to the microsecond."""

    def __call__(self) -> datetime: ...


class Entropy(Protocol):
    """Gives *count* bytes from a cryptographic source."""

    def __call__(self, count: int, /) -> bytes: ...


class NewId(Protocol):
    """Gives a new UUIDv7; later ones sort after earlier ones of the same process."""

    def __call__(self) -> UUID: ...


class Authenticator(Protocol):
    """Verifies access tokens."""

    async def authenticate(self, token: str) -> Principal:
        """
        Verify *token*, which may be any text, and give its principal.

        Raises:
            InvalidToken: The token cannot be trusted.
            OrganizationRequired: The token names no organization.
            OrganizationConflict: Another organization owns the id that the token claims.
            AuthUnavailable: There are no signing keys to verify it with, or its signing key may be new.
            StorageUnavailable: Its organization cannot be looked up.
        """
        ...
