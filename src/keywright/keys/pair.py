"""
The pair: an Ed25519 key (RFC 8032) whose seed is the private key and whose public key is the public key.

`PrivateKey` is the only class that has a private key as text. It prints as its display everywhere; only `reveal()`
gives the text, and tests/test_architecture.py lists the files that may call it.
"""

from dataclasses import dataclass
from functools import lru_cache
from hmac import compare_digest
from typing import Any, NamedTuple, NoReturn, Self

from keywright.keys import format as text_format
from keywright.keys.format import Kind, Parts, digest

SEED_BYTES = 32


class PrivateKey:
    """A private key. Its `repr`, `str`, formatted, copied and pickled forms show the display only."""

    __slots__ = ("_text", "display", "environment")

    display: str
    environment: str

    def __init__(self, parts: Parts) -> None:
        text = text_format.encode(parts)
        _set(self, "_text", text)
        _set(self, "display", text_format.display(text))
        _set(self, "environment", parts.environment)

    def reveal(self) -> str:
        """Give the text. The caller is responsible for where it goes."""
        return self._text  # type: ignore[attr-defined, no-any-return]

    @property
    def digest(self) -> bytes:
        """The 32 bytes by which the service stores and finds this key."""
        return digest(self.reveal())

    def __repr__(self) -> str:
        return f"PrivateKey({self.display!r})"

    def __str__(self) -> str:
        return self.display

    def __format__(self, spec: str) -> str:
        return format(self.display, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrivateKey):
            return NotImplemented
        return compare_digest(self.reveal(), other.reveal())

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # Pickling gives the display, a plain string: no secret gets into a queue, a cache or a crash report that way.
        return (str, (self.display,))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a private key does not change")


_set = object.__setattr__


class VerifierCredential(PrivateKey):
    """The credential by which an API server may check keys; printed like a private key, but not part of a pair."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """
    The public half: 32 bytes of an Ed25519 public key, and the brand and environment it was minted with.

    The brand is stored with the key, not read from the settings, so that its text never changes.
    """

    value: bytes
    brand: str
    environment: str

    @property
    def text(self) -> str:
        """The text of the key, `{brand}_pk_…`."""
        return _public_text(self.brand, self.environment, self.value)


# The text is written more than once: into the event, the answer, every list.
@lru_cache(maxsize=16_384)
def _public_text(brand: str, environment: str, value: bytes) -> str:
    return text_format.encode(Parts(Kind.PUBLIC, brand, environment, value))


class KeyPair(NamedTuple):
    """Both halves of a new pair; afterwards only the public key is stored."""

    private: PrivateKey
    public: PublicKey


def mint(seed: bytes, *, brand: str, environment: str) -> KeyPair:
    """
    Make the pair of a seed.

    Args:
        seed: 32 bytes from a cryptographic source; they are the secret.
        brand: 1 to 12 characters, `[a-z][a-z0-9]*`.
        environment: 1 to 16 characters, `[a-z][a-z0-9]*`.

    Raises:
        ValueError: One of them is not of the format.
    """
    private = PrivateKey(Parts(Kind.PRIVATE, brand, environment, seed))
    # Not at the top: who only checks keys needs no OpenSSL, which takes 6 MiB and a tenth of a second to import.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return KeyPair(private, PublicKey(public, brand, environment))


def parse(text: str, *, brand: str) -> PrivateKey | None:
    """
    Read a private key as presented by a caller.

    Args:
        text: Anything at all, of any length, from anyone.
        brand: The brand that the key must have.

    Returns:
        The key, or None when *text* has the wrong shape, a wrong checksum, another brand or is a public key.
    """
    parts = text_format.decode(text)
    if parts is None or parts.kind is not Kind.PRIVATE or parts.brand != brand:
        return None
    return PrivateKey(parts)


def parse_public(text: str) -> PublicKey | None:
    """Read a public key; None when *text* is not exactly one."""
    parts = text_format.decode(text)
    if parts is None or parts.kind is not Kind.PUBLIC:
        return None
    return PublicKey(parts.payload, parts.brand, parts.environment)


def mint_credential(seed: bytes, *, brand: str) -> VerifierCredential:
    """
    Make the credential of a verifier.

    Args:
        seed: 32 bytes from a cryptographic source.
        brand: As for `mint`.

    Raises:
        ValueError: One of them is not of the format.
    """
    return VerifierCredential(Parts(Kind.VERIFIER, brand, "", seed))


def parse_credential(text: str, *, brand: str) -> VerifierCredential | None:
    """Read a verifier's credential as presented by a caller; None when *text* is not exactly one of this brand."""
    parts = text_format.decode(text)
    if parts is None or parts.kind is not Kind.VERIFIER or parts.brand != brand:
        return None
    return VerifierCredential(parts)
