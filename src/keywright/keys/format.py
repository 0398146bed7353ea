"""
The text of a key, `{brand}_{kind}_{environment}_{body}{checksum}`, and of a verifier's credential, which belongs to no
environment: `{brand}_vk_{body}{checksum}`.

Lives here: the alphabet, the widths, the checksum, and the two directions between text and 32 bytes. What the bytes
mean lives in `pair`. Specification: docs/reference/key-format.md; vectors: tests/vectors/key_format.json.
"""

import re
from enum import StrEnum
from typing import NamedTuple
from zlib import crc32

PAYLOAD_BYTES = 32
BODY_WIDTH = 43
CHECKSUM_WIDTH = 6
_TAIL_WIDTH = BODY_WIDTH + CHECKSUM_WIDTH

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Two digits at a time: half the divisions of a number that does not fit a machine word.
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_PAIR_VALUES = {pair: value for value, pair in enumerate(_PAIRS)}
_PAIR_BASE = len(_PAIRS)

BRAND = re.compile(r"[a-z][a-z0-9]{0,11}")
ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{0,15}")
_PREFIX = re.compile(rf"({BRAND.pattern})_(?:(sk|pk)_({ENVIRONMENT.pattern})|(vk))_")
_LONGEST_PREFIX = 12 + len("_sk_") + 16 + len("_")
_SHORTEST_PREFIX = len("a_vk_")

MAX_LENGTH = _LONGEST_PREFIX + _TAIL_WIDTH
MIN_LENGTH = _SHORTEST_PREFIX + _TAIL_WIDTH


class Kind(StrEnum):
    """What a text carries: a half of a pair, or a verifier's credential."""

    PRIVATE = "sk"
    PUBLIC = "pk"
    VERIFIER = "vk"


class Parts(NamedTuple):
    """What a well-formed text says; the environment of a verifier's credential is empty."""

    kind: Kind
    brand: str
    environment: str
    payload: bytes

    def __repr__(self) -> str:
        # The payload of a private key is the private key.
        return f"Parts({self.kind.value}, {self.brand}, {self.environment})"


def encode(parts: Parts) -> str:
    """
    Write the one text of *parts*.

    Raises:
        ValueError: The brand, the environment or the payload is not of the format.
    """
    if not BRAND.fullmatch(parts.brand):
        raise ValueError("a brand is 1 to 12 characters, a-z and 0-9, beginning with a letter")
    if not _is_environment(parts):
        raise ValueError("an environment is 1 to 16 characters, a-z and 0-9, beginning with a letter")
    if len(parts.payload) != PAYLOAD_BYTES:
        raise ValueError("a key carries 32 bytes")
    body = _to_base62(int.from_bytes(parts.payload, "big"), BODY_WIDTH)
    place = f"_{parts.environment}" if parts.environment else ""
    unchecked = f"{parts.brand}_{parts.kind.value}{place}_{body}"
    return unchecked + checksum(unchecked)


def decode(text: str) -> Parts | None:
    """
    Read a text back, by fixed offsets from the right; nothing is trimmed, folded or repaired.

    Args:
        text: Anything at all, of any length, from anyone.

    Returns:
        The parts, or None unless `encode` gives exactly *text* for them.
    """
    if not (MIN_LENGTH <= len(text) <= MAX_LENGTH and text.isascii()):
        return None
    unchecked, check = text[:-CHECKSUM_WIDTH], text[-CHECKSUM_WIDTH:]
    # The expected checksum is written out and compared as text, so a check of 2^32 or more cannot match.
    if checksum(unchecked) != check:
        return None
    prefix = _PREFIX.fullmatch(unchecked[:-BODY_WIDTH])
    value = _from_base62(unchecked[-BODY_WIDTH:])
    if prefix is None or value is None or value >> (8 * PAYLOAD_BYTES):
        return None
    brand, half, environment, verifier = prefix.groups()
    return Parts(Kind(half or verifier), brand, environment or "", value.to_bytes(PAYLOAD_BYTES, "big"))


def span(digits: str) -> tuple[bytes, bytes] | None:
    """
    Give the least and the greatest payload whose body begins with *digits*; None where none does.

    Args:
        digits: Anything at all; what is beyond a body is passed over.
    """
    body = digits[:BODY_WIDTH]
    least, greatest = (
        _from_base62(body.ljust(BODY_WIDTH, _ALPHABET[0])),
        _from_base62(body.ljust(BODY_WIDTH, _ALPHABET[-1])),
    )
    most = (1 << 8 * PAYLOAD_BYTES) - 1
    if least is None or greatest is None or least > most:
        return None
    return least.to_bytes(PAYLOAD_BYTES, "big"), min(greatest, most).to_bytes(PAYLOAD_BYTES, "big")


def checksum(unchecked: str) -> str:
    """Six base62 digits of the CRC-32 (zlib's) of all the ASCII before them. For typing errors, not for security."""
    return _to_base62(crc32(unchecked.encode("ascii")), CHECKSUM_WIDTH)


def display(text: str) -> str:
    """Mask a well-formed text for people: everything up to the body, three dots, the last four characters."""
    return f"{text[:-_TAIL_WIDTH]}...{text[-4:]}"


def _is_environment(parts: Parts) -> bool:
    if parts.kind is Kind.VERIFIER:
        return parts.environment == ""
    return ENVIRONMENT.fullmatch(parts.environment) is not None


def _to_base62(value: int, width: int) -> str:
    digits = []
    for _ in range((width + 1) // 2):
        value, pair = divmod(value, _PAIR_BASE)
        digits.append(_PAIRS[pair])
    return "".join(reversed(digits))[-width:]


def _from_base62(digits: str) -> int | None:
    value = 0
    padded = digits if len(digits) % 2 == 0 else "0" + digits
    for start in range(0, len(padded), 2):
        pair = _PAIR_VALUES.get(padded[start : start + 2])
        if pair is None:
            return None
        value = value * _PAIR_BASE + pair
    return value
