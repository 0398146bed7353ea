"""
What the use cases need from outside, as contracts. An adapter promises every sentence written here.

tests/storage/contract.py holds the promises of `Store` as tests; they run on every store.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.events import Event
from keywright.service.principal import Organization, Principal


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
            OrganizationRequired: It names no organisation.
            AuthUnavailable: There are no signing keys to check it with.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """All that one creation stores. `secret_digest` is the 32 bytes by which the private key will be found."""

    organization: Organization
    api_key: ApiKey
    secret_digest: bytes
    event: Event


class Store(Protocol):
    """
    Keeps API keys and their trail.

    For every method:
    - One call is one transaction. When it returns, what it did survives a crash of the process and of the machine.
    - It sees one organisation: a key of another one is the same as no key.
    - A deleted key is the same as no key.
    - It raises `StorageUnavailable` when the database is away, too busy or not migrated, within a few seconds and
      never later; then a change may or may not have been made, but never half of one.
    - Calls may run side by side, from one event loop.
    """

    async def create(self, new: NewApiKey) -> None:
        """
        Store a key, its organisation where that is new, and the event.

        Creations that wait at the same time share one commit; one that cannot be stored fails alone.

        Raises:
            ValueError: The database refuses this key: its id, public key or digest is taken, or a value is beyond
                what a column holds. Nothing of it is stored.
        """
        ...

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """Read one key."""
        ...

    async def list_newest(self, org_id: UUID, *, limit: int, before: UUID | None) -> list[ApiKey]:
        """Read up to *limit* keys in descending order of id, beginning below *before* or at the newest."""
        ...

    async def revoke(self, event: Event) -> ApiKey | None:
        """
        Revoke the key that *event* names as of the time it names, and store the event.

        A key that was revoked before stays as it is and gets no second event.

        Returns:
            The key as it stands after the call, or None when there is no such key.
        """
        ...

    async def delete(self, event: Event) -> bool:
        """
        Delete the key that *event* names, leaving a tombstone with its digest, and store the event.

        Returns:
            Whether there was such a key.
        """
        ...

    async def check(self) -> None:
        """Return when the database answers and is migrated; raise `StorageUnavailable` otherwise."""
        ...
