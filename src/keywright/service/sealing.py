"""
Sealing: content that is stored, and that only the bearer of a secret can read.

The secret itself is stored nowhere. It must have 128 bits or more that nobody can guess.

    sealed   salt (16 bytes), nonce (12 bytes), AES-256-GCM of the content with the key HKDF(secret, salt, info)

HKDF is that of RFC 5869 with SHA-256 and an output of 32 bytes. `info` names the use, so that no use opens what another
one has sealed; the associated data bind the content to its row.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keywright.service.ports import Entropy

_SALT_BYTES = 16
_NONCE_BYTES = 12


def derive(secret: bytes, info: bytes, salt: bytes | None = None) -> bytes:
    """Derive a key of 32 bytes from a secret, for one use."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def seal(content: bytes, *, secret: bytes, info: bytes, associated: bytes, entropy: Entropy) -> bytes:
    """Seal *content*; the module's docstring defines the result."""
    salt, nonce = entropy(_SALT_BYTES), entropy(_NONCE_BYTES)
    return salt + nonce + AESGCM(derive(secret, info, salt)).encrypt(nonce, content, associated)


def unseal(sealed: bytes, *, secret: bytes, info: bytes, associated: bytes) -> bytes | None:
    """Open what `seal` made; None with another secret, use or associated data, and for anything altered."""
    salt, rest = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
    nonce, encrypted = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
    try:
        return AESGCM(derive(secret, info, salt)).decrypt(nonce, encrypted, associated)
    except (InvalidTag, ValueError):
        # ValueError: too short for a nonce.
        return None
