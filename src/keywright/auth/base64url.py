"""
base64url as RFC 7515, section 2, means it: without padding, and one text for every sequence of bytes.

Python's own reader skips characters it does not know and ignores what is left over in the last one, so that many texts
read as the same bytes.
"""

from binascii import Error, a2b_base64, b2a_base64

# What base64url does not have becomes a character that no encoder writes.
_TO_BASE64 = bytes.maketrans(b"-_+/", b"+/!!")
_FROM_BASE64 = bytes.maketrans(b"+/", b"-_")


def decode(text: bytes) -> bytes | None:
    """
    Read base64url.

    Args:
        text: Anything at all.

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
    """Write the one text of *raw*."""
    return b2a_base64(raw, newline=False).rstrip(b"=").translate(_FROM_BASE64)
