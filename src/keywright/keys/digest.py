"""The digest of a private key: the only form in which its text is stored, and by which it is looked up."""

from hashlib import sha256

DIGEST_BYTES = 32
_DOMAIN = b"keywright.v1\0"


def digest(text: str) -> bytes:
    """
    Hash the text of a private key: SHA-256 over `keywright.v1`, a NUL and the ASCII text, 32 bytes.

    A fast hash is enough: the text has 256 random bits, which cannot be searched. OWASP ASVS 5.0 (6.5.2) and NIST SP
    800-63B (5.1.2.2) require a slow one below 112 bits only.

    Raises:
        UnicodeEncodeError: *text* is not ASCII. Never for a well-formed key.
    """
    return digest_of(text.encode("ascii"))


def digest_of(text: bytes) -> bytes:
    """Hash the bytes of a private key's text, as `digest` does; no errors."""
    hashing = _begun.copy()
    hashing.update(text)
    return hashing.digest()


# Copying the state costs less than hashing the prefix again.
_begun = sha256(_DOMAIN)
