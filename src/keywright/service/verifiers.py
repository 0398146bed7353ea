"""Verifiers, the API servers that check keys: their records, their credentials and the port that stores them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from keywright.keys.cache import DigestCache
from keywright.keys.format import digest as digest_of
from keywright.keys.pair import SEED_BYTES, VerifierCredential, mint_credential, parse_credential
from keywright.service.checking.ports import Seconds
from keywright.service.faults import StorageUnavailable
from keywright.service.ports import Clock, Entropy, NewId
from keywright.service.turns import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """The record of an API server that checks keys, without its credential."""

    id: UUID
    name: str
    display: str
    created_at: datetime
    revoked_at: datetime | None = None


class VerifierStore(Protocol):
    """The verifiers in the store of management, whose rules hold. An adapter promises every sentence written here."""

    async def add_verifier(self, verifier: Verifier, credential_digest: bytes) -> None:
        """Store a verifier; raise ValueError when a verifier that is not revoked has this name."""
        ...

    async def verifiers(self) -> Sequence[Verifier]:
        """Give all verifiers, newest first, revoked ones included."""
        ...

    async def find_verifier(self, credential_digest: bytes) -> Verifier | None:
        """Give the verifier with this credential, revoked or not."""
        ...

    async def revoke_verifier(self, name: str, at: datetime) -> Verifier | None:
        """Revoke the verifier with this name for good, again if it was revoked before; None where there is none."""
        ...


VerifierCache = DigestCache[Verifier]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifiers:
    """
    Creates, recognizes and revokes verifiers.

    `cache` has verifiers by the digest of their credential; the change follower invalidates it. While the database
    is unavailable it serves for `outage_seconds`, like the cached keys.

    `turns` are those of the look-ups; None for any number at once. Anybody can present credentials that do not exist,
    so their look-ups have one share, and those of cached verifiers have another one.
    """

    store: VerifierStore
    cache: VerifierCache
    clock: Clock
    monotonic: Seconds
    entropy: Entropy
    new_id: NewId
    brand: str
    outage_seconds: float
    turns: Turns | None = None

    async def create(self, name: str) -> tuple[Verifier, VerifierCredential]:
        """
        Create a verifier; its credential is in this result only.

        Raises:
            ValueError: There is a verifier with this name that is not revoked.
        """
        credential = mint_credential(self.entropy(SEED_BYTES), brand=self.brand)
        verifier = Verifier(id=self.new_id(), name=name, display=credential.display, created_at=self.clock())
        await self.store.add_verifier(verifier, credential.digest)
        return verifier, credential

    async def revoke(self, name: str) -> Verifier | None:
        """Revoke the verifier with this name; every process refuses it within the bound."""
        return await self.store.revoke_verifier(name, self.clock())

    async def recognize(self, text: str) -> Verifier | None:
        """
        Give the verifier with this credential; None where there is none or it is revoked.

        Raises:
            Overloaded: The cache cannot answer, and too many look-ups wait.
            StorageUnavailable: The cache cannot answer, and the database is unavailable.
        """
        if not text.isascii():
            return None
        digest = digest_of(text)
        # A digest that is cached belongs to exactly one text, so one that is cached needs no parsing.
        verifier = self.cache.get(digest)
        if verifier is None and parse_credential(text, brand=self.brand) is None:
            return None
        if verifier is None or not self.cache.fresh_at(self.monotonic()):
            verifier = await self._look_up(digest, verifier)
        return None if verifier is None or verifier.revoked_at is not None else verifier

    async def _look_up(self, digest: bytes, cached: Verifier | None) -> Verifier | None:
        look_up = self.cache.begin(digest)
        found = None
        try:
            found = await self._find(digest, is_cached=cached is not None)
        except StorageUnavailable:
            if cached is None or not self.cache.fresh_at(self.monotonic(), grace=self.outage_seconds):
                raise
            return cached
        finally:
            self.cache.end(look_up, found)
        return found

    async def _find(self, digest: bytes, *, is_cached: bool) -> Verifier | None:
        if self.turns is None:
            return await self.store.find_verifier(digest)
        async with self.turns.one(is_cached):
            return await self.store.find_verifier(digest)

    def cached(self, digest: bytes, at: float) -> Verifier | None:
        """
        Give the verifier whose credential has this digest, from the cache alone.

        Args:
            digest: The credential's.
            at: Now, in seconds on the clock of the cache.

        Returns:
            None where no verifier is cached for it, the cache is not fresh, or the verifier was revoked.
        """
        cached = self.cache.get_fresh(digest, at)
        return None if cached is None or cached.revoked_at is not None else cached


def flaw_in_verifier_name(name: str) -> str | None:
    """Give the flaw of a verifier's name as a sentence, None without one. It goes into logs and command lines."""
    if 1 <= len(name) <= 64 and name.isascii() and all(c.isalnum() or c in "._-" for c in name):
        return None
    return "A verifier's name has 1 to 64 letters, digits, dots, underscores and hyphens."
