"""
base64url of RFC 7515, section 2: without padding, and with exactly one text for every sequence of bytes.

Python's own decoder skips unknown characters and ignores the unused bits of the last one, so it decodes many texts to
the same bytes.
"""

from binascii import Error, a2b_base64, b2a_base64

# Characters of base64 that base64url lacks become one that no encoder writes.
_TO_BASE64 = bytes.maketrans(b"-_+/", b"+/!!")
_FROM_BASE64 = bytes.maketrans(b"+/", b"-_")


def decode(text: bytes) -> bytes | None:
    """
    Decode base64url.

    Args:
        text: Untrusted bytes of any length.

    Returns:
        The bytes, or None unless encoding them gives exactly *text* again.
    """
    base64 = text.translate(_TO_BASE64)
    try:
        raw = a2b_base64(base64 + b"=" * (-len(base64) % 4))
    except Error:
        return None
    return raw if b2a_base64(raw, newline=False).rstrip(b"=") == base64 else None


def encode(raw: bytes) -> bytes:
    """Encode *raw* without padding."""
    return b2a_base64(raw, newline=False).rstrip(b"=").translate(_FROM_BASE64)
