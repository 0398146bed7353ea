"""The digest by which a private key is looked up, and the only trace of its text that is ever stored."""

from hashlib import sha256

DIGEST_BYTES = 32
_DOMAIN = b"keywright.v1\0"


def digest(text: str) -> bytes:
    """
    Hash the text of a private key: SHA-256 over `keywright.v1`, a NUL and the ASCII text, 32 bytes.

    A fast hash is the right one here: the text holds 256 random bits, which cannot be searched. OWASP ASVS 5.0 (6.5.2)
    and NIST SP 800-63B (5.1.2.2) ask for a slow one below 112 bits only.

    Raises:
        UnicodeEncodeError: *text* is not ASCII; a text that was parsed is.
    """
    return digest_of(text.encode("ascii"))


def digest_of(text: bytes) -> bytes:
    """Hash the text of a private key that was not decoded yet, as `digest` does."""
    hashing = _begun.copy()
    hashing.update(text)
    return hashing.digest()


# Copied for every text, which costs less than beginning anew.
_begun = sha256(_DOMAIN)
