"""What every use case needs from outside, as contracts: time, randomness, ids, and the principal behind a token."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from keywright.service.principal import Principal


class Clock(Protocol):
    """Tells the time: aware, in UTC, to the microsecond."""

    def __call__(self) -> datetime: ...


class Entropy(Protocol):
    """Gives *count* bytes from a cryptographic source."""

    def __call__(self, count: int, /) -> bytes: ...


class NewId(Protocol):
    """Gives a UUIDv7 that was never given before; later ones sort after earlier ones of the same process."""

    def __call__(self) -> UUID: ...


class Authenticator(Protocol):
    """Turns an access token into the principal it speaks for."""

    async def authenticate(self, token: str) -> Principal:
        """
        Check *token*, which may be anything at all.

        Raises:
            InvalidToken: It cannot be trusted.
            OrganizationRequired: It names no organization.
            AuthUnavailable: There are no signing keys to check it with.
        """
        ...
