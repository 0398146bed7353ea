"""Verifiers: the API servers that check keys. Who they are, and what they may show to be believed."""

from dataclasses import dataclass

from keywright.keys.digest import digest as digest_of
from keywright.keys.known import Known
from keywright.keys.pair import SEED_BYTES, VerifierCredential, mint_credential, parse_credential
from keywright.service.checking_ports import CheckingStore, Verifier
from keywright.service.faults import StorageUnavailable
from keywright.service.limits import Seconds
from keywright.service.ports import Clock, Entropy, NewId

KnownVerifiers = Known[Verifier]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifiers:
    """
    Makes, recognises and revokes verifiers.

    `known` holds verifiers by the digest of their credential; whoever follows the changes empties it. While the
    database is away it serves for `outage_seconds`, like the keys that they ask for.
    """

    store: CheckingStore
    known: KnownVerifiers
    clock: Clock
    monotonic: Seconds
    entropy: Entropy
    new_id: NewId
    brand: str
    outage_seconds: float

    async def create(self, name: str) -> tuple[Verifier, VerifierCredential]:
        """
        Make a verifier; its credential exists nowhere but in this answer.

        Raises:
            ValueError: There is one of that name, which is not revoked.
        """
        credential = mint_credential(self.entropy(SEED_BYTES), brand=self.brand)
        verifier = Verifier(id=self.new_id(), name=name, display=credential.display, created_at=self.clock())
        await self.store.add_verifier(verifier, credential.digest)
        return verifier, credential

    async def revoke(self, name: str) -> Verifier | None:
        """Revoke the verifier of that name; every process refuses it within the bound."""
        return await self.store.revoke_verifier(name, self.clock())

    async def recognize(self, text: str) -> Verifier | None:
        """
        Give whom a credential belongs to; None when it is nobody's, or a revoked verifier's.

        Raises:
            StorageUnavailable: The database has to be asked and cannot be.
        """
        if not text.isascii():
            return None
        digest = digest_of(text)
        # A digest that is held belongs to exactly one text, so one that is held needs no parsing.
        held = self.known.get(digest)
        if held is not None and self.known.trusted_at(self.monotonic()):
            return _unless_revoked(held)
        if held is None and parse_credential(text, brand=self.brand) is None:
            return None
        look_up = self.known.begin(digest)
        found = None
        try:
            found = await self.store.find_verifier(digest)
        except StorageUnavailable:
            if held is None or not self.known.trusted_at(self.monotonic(), grace=self.outage_seconds):
                raise
            return _unless_revoked(held)
        finally:
            self.known.end(look_up, found)
        return _unless_revoked(found)

    def held(self, digest: bytes, at: float) -> Verifier | None:
        """
        Give whom the credential with this digest belongs to, without asking anybody.

        Args:
            digest: The credential's.
            at: Now, in seconds on the clock that `known` is told in.

        Returns:
            None where that is nobody who is held, or what is held does not count at present, or it was revoked.
        """
        held = self.known.held(digest, at)
        return None if held is None or held.revoked_at is not None else held


def _unless_revoked(verifier: Verifier | None) -> Verifier | None:
    return None if verifier is None or verifier.revoked_at is not None else verifier


def flaw_in_verifier_name(name: str) -> str | None:
    """Say what is wrong with a verifier's name, if anything is: it goes into logs, lists and command lines."""
    if 1 <= len(name) <= 64 and name.isascii() and all(c.isalnum() or c in "._-" for c in name):
        return None
    return "A verifier's name has 1 to 64 letters, digits, dots, underscores and hyphens."
