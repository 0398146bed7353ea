"""
The text of a key, `{brand}_{kind}_{environment}_{body}{checksum}`, and of a verifier's credential, which belongs to no
environment: `{brand}_vk_{body}{checksum}`.

Lives here: the alphabet, the widths, the checksum, the two directions between text and 32 bytes, and the digest by
which a text is looked up. What the bytes mean lives in `pair`. Specification: docs/reference/key-format.md; vectors:
tests/vectors/key_format.json.
"""

import re
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

PAYLOAD_BYTES = 32
DIGEST_BYTES = 32
BODY_WIDTH = 43
CHECKSUM_WIDTH = 6
_TAIL_WIDTH = BODY_WIDTH + CHECKSUM_WIDTH

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Two digits at a time need half the divisions of a number larger than a machine word.
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_PAIR_VALUES = {pair: value for value, pair in enumerate(_PAIRS)}
_PAIR_BASE = len(_PAIRS)
_HALF_BASE = _PAIR_BASE**2
_PART_BASE = _HALF_BASE**2
_WHOLE_PARTS = BODY_WIDTH // 8

BRAND = re.compile(r"[a-z][a-z0-9]{0,11}")
ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{0,15}")
_BODY = re.compile(rf"[0-9A-Za-z]{{{BODY_WIDTH}}}")
_UNCHECKED = re.compile(rf"({BRAND.pattern})_(?:(sk|pk)_({ENVIRONMENT.pattern})|(vk))_({_BODY.pattern})")
_LONGEST_PREFIX = 12 + len("_sk_") + 16 + len("_")
_SHORTEST_PREFIX = len("a_vk_")

MAX_LENGTH = _LONGEST_PREFIX + _TAIL_WIDTH
MIN_LENGTH = _SHORTEST_PREFIX + _TAIL_WIDTH


# Copied for every text, which costs less than a new one.
_DOMAIN = sha256(b"keywright.v1\0")


class Kind(StrEnum):
    """The kind of a text: a half of a pair, or a verifier's credential."""

    PRIVATE = "sk"
    PUBLIC = "pk"
    VERIFIER = "vk"


_KINDS = {kind.value: kind for kind in Kind}


class Parts(NamedTuple):
    """The parts of a well-formed text; the environment of a verifier's credential is empty."""

    kind: Kind
    brand: str
    environment: str
    payload: bytes

    def __repr__(self) -> str:
        # The payload of a private key is the private key.
        return f"Parts({self.kind.value}, {self.brand}, {self.environment})"


class Outline(NamedTuple):
    """The parts of a well-formed text, its payload still in base62; the environment of a credential is empty."""

    kind: Kind
    brand: str
    environment: str
    body: str

    def __repr__(self) -> str:
        return f"Outline({self.kind.value}, {self.brand}, {self.environment})"


def encode(parts: Parts) -> str:
    """
    Write the text of *parts*, of which there is exactly one.

    Raises:
        ValueError: The brand, the environment or the payload is not of the format.
    """
    kind, brand, environment, payload = parts
    if len(payload) != PAYLOAD_BYTES:
        raise ValueError("a key carries 32 bytes")
    unchecked = _prefix(kind, brand, environment) + _to_base62(int.from_bytes(payload, "big"))
    return unchecked + checksum(unchecked)


def decode(text: str) -> Parts | None:
    """
    Read a text.

    Args:
        text: Anything at all, of any length, from anyone.

    Returns:
        The parts, or None unless `encode` gives exactly *text* for them.
    """
    found = outline(text)
    if found is None:
        return None
    return Parts(found.kind, found.brand, found.environment, _payload(found.body))


def outline(text: str) -> Outline | None:
    """
    Read a text without decoding its payload; nothing is trimmed, folded or repaired.

    Args:
        text: Anything at all, of any length, from anyone.

    Returns:
        Its parts, or None where `decode` gives None.
    """
    if not (MIN_LENGTH <= len(text) <= MAX_LENGTH and text.isascii()):
        return None
    unchecked, check = text[:-CHECKSUM_WIDTH], text[-CHECKSUM_WIDTH:]
    # The expected checksum is written out and compared as text, so a check of 2^32 or more cannot match.
    if checksum(unchecked) != check:
        return None
    match = _UNCHECKED.fullmatch(unchecked)
    if match is None or match[5] > _GREATEST_BODY:
        return None
    brand, half, environment, verifier, body = match.groups()
    return Outline(_KINDS[half or verifier], brand, environment or "", body)


def is_private_key(text: str, *, brand: str) -> bool:
    """Tell whether *text*, which may be anything at all, is a well-formed private key of a brand."""
    found = outline(text)
    return found is not None and found.kind is Kind.PRIVATE and found.brand == brand


def span(digits: str) -> tuple[bytes, bytes] | None:
    """
    Give the least and the greatest payload whose body begins with *digits*; None where there is none.

    Args:
        digits: Anything at all; characters beyond the width of a body are ignored.
    """
    body = digits[:BODY_WIDTH]
    least, greatest = body.ljust(BODY_WIDTH, _ALPHABET[0]), body.ljust(BODY_WIDTH, _ALPHABET[-1])
    if not _BODY.fullmatch(least) or least > _GREATEST_BODY:
        return None
    return _payload(least), _payload(min(greatest, _GREATEST_BODY))


def checksum(unchecked: str) -> str:
    """Give six base62 digits of the CRC-32 (zlib's) of the ASCII text. For typing errors, not for security."""
    # The result of `_to_base62`, without its loop: every presented text passes here.
    value, low = divmod(crc32(unchecked.encode("ascii")), _PAIR_BASE)
    high, middle = divmod(value, _PAIR_BASE)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def display(text: str) -> str:
    """Mask a well-formed text for people: everything up to the body, three dots, the last four characters."""
    return f"{text[:-_TAIL_WIDTH]}...{text[-4:]}"


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
    hashing = _DOMAIN.copy()
    hashing.update(text)
    return hashing.digest()


# A service mints with one brand and a few environments.
@lru_cache(maxsize=64)
def _prefix(kind: Kind, brand: str, environment: str) -> str:
    """Write all that stands before the body; raise `ValueError` for what is not of the format."""
    if not BRAND.fullmatch(brand):
        raise ValueError("a brand is 1 to 12 characters, a-z and 0-9, beginning with a letter")
    if kind is Kind.VERIFIER:
        if environment == "":
            return f"{brand}_{kind}_"
    elif ENVIRONMENT.fullmatch(environment):
        return f"{brand}_{kind}_{environment}_"
    raise ValueError("an environment is 1 to 16 characters, a-z and 0-9, beginning with a letter")


def _to_base62(value: int) -> str:
    """Write a number below 2^256 as a body."""
    parts = []
    # Eight digits at a time: these divisions are of long numbers, all others of machine words.
    for _ in range(_WHOLE_PARTS):
        value, part = divmod(value, _PART_BASE)
        parts.append(part)
    text = ""
    for part in (value, *reversed(parts)):
        high, low = divmod(part, _HALF_BASE)
        text += f"{_PAIRS[high // _PAIR_BASE]}{_PAIRS[high % _PAIR_BASE]}"
        text += f"{_PAIRS[low // _PAIR_BASE]}{_PAIRS[low % _PAIR_BASE]}"
    return text[-BODY_WIDTH:]


def _payload(body: str) -> bytes:
    """Give the 32 bytes of a body of base62 digits, at most the greatest body."""
    value = 0
    # Two digits at a time; the number of digits is odd.
    padded = "0" + body
    for start in range(0, BODY_WIDTH, 2):
        value = value * _PAIR_BASE + _PAIR_VALUES[padded[start : start + 2]]
    return value.to_bytes(PAYLOAD_BYTES, "big")


# The digits are in the order of ASCII, so texts of one width compare as their numbers do.
_GREATEST_BODY = _to_base62((1 << 8 * PAYLOAD_BYTES) - 1)
