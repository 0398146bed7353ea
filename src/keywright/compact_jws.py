"""
Compact JWS: the compact serialization of RFC 7515, read more strictly than the RFC requires.

Here: all checks that need the token alone, from its size to its header. Not here: keys, signatures, claims.
Needs the standard library only.
"""

import re
from binascii import Error, a2b_base64, b2a_base64
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard

from keywright import strict_json

MAX_BYTES = 16 * 1024

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
_KID = re.compile(r"[\x20-\x7e]{1,128}")
# Each of them changes how a reader reads: another key, another encoding, another kind of content.
_FORBIDDEN = frozenset({"crit", "b64", "zip", "enc", "epk", "jwk", "jku", "x5u", "x5c", "cty"})

# The characters that base64url does not have become one that is invalid in base64.
_TO_BASE64 = bytes.maketrans(b"-_+/", b"+/!!")
_FROM_BASE64 = bytes.maketrans(b"+/", b"-_")


class MalformedJws(ValueError):
    """The text is no token of this form; the message has the reason, for its bearer, and quotes nothing."""


class Jws(NamedTuple):
    """The parts of a token; none of them is verified."""

    algorithm: str
    kid: str
    payload: bytes
    signature: bytes
    signing_input: bytes


def as_ascii(token: bytes | str) -> bytes:
    """
    Return a token as bytes, after the checks of type, size and alphabet.

    Args:
        token: Untrusted input of any type.

    Raises:
        MalformedJws: Neither text nor bytes, more than 16 KiB, or not ASCII.
    """
    if not isinstance(token, (bytes, str)):
        raise MalformedJws("The token is not text.")
    if len(token) > MAX_BYTES:
        raise MalformedJws("The token is larger than 16 KiB.")
    if not token.isascii():
        raise MalformedJws("The token has characters that are not base64url.")
    return token.encode("ascii") if isinstance(token, str) else token


def read(token: bytes, algorithms: frozenset[str], types: frozenset[str]) -> Jws:
    """
    Split a token, and check its characters, its three segments, their base64url, and its header.

    Args:
        token: At most 16 KiB of anything.
        algorithms: The values of `alg` to accept.
        types: The values of `typ` to accept; a header without one has JWT.

    Raises:
        MalformedJws: One of these checks failed.
    """
    if token.translate(None, _ALPHABET):
        raise MalformedJws("The token has characters that are not base64url.")
    segments = token.split(b".")
    if len(segments) != 3:
        raise MalformedJws("The token does not have three segments.")
    algorithm, kid = _read_header(segments[0], algorithms, types)
    return Jws(algorithm, kid, _decode(segments[1]), _decode(segments[2]), token[: -len(segments[2]) - 1])


def read_json(raw: bytes, part: str) -> dict[str, Any]:
    """
    Read the JSON object in one part of a token.

    Args:
        raw: The decoded segment.
        part: The name of the part, for the refusal.

    Raises:
        MalformedJws: Not strict JSON, or a string in it contains NUL or half of a surrogate pair.
    """
    try:
        value = strict_json.read_object(raw)
    except strict_json.NotStrict as error:
        raise MalformedJws(f"The {part} of the token is refused: {error}.") from None
    # Strict JSON has both only as escapes, so text without one needs no search.
    if b"\\u" in raw and not _is_clean(value):
        raise MalformedJws(f"The {part} of the token is refused: a string in it has NUL or a lone surrogate.")
    return value


def is_kid(value: object) -> TypeGuard[str]:
    """Return whether *value* can be a `kid`: 1 to 128 printable ASCII characters."""
    return isinstance(value, str) and _KID.fullmatch(value) is not None


def decode_base64url(text: bytes) -> bytes | None:
    """
    Read base64url as in RFC 7515, section 2: without padding, and with exactly one text for every sequence of bytes.

    Python's own reader skips unknown characters and ignores the spare bits of the last one, so that many texts give the
    same bytes.

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


def encode_base64url(raw: bytes) -> bytes:
    """Write *raw* as base64url without padding."""
    return b2a_base64(raw, newline=False).rstrip(b"=").translate(_FROM_BASE64)


def _is_clean(value: object) -> bool:
    """Return whether no string in *value* has NUL or a lone surrogate. The JSON reader bounds the depth."""
    if isinstance(value, str):
        return "\0" not in value and not strict_json.has_lone_surrogate(value)
    if isinstance(value, dict):
        return all(_is_clean(name) and _is_clean(member) for name, member in value.items())
    return not isinstance(value, list) or all(map(_is_clean, value))


def _decode(segment: bytes) -> bytes:
    raw = decode_base64url(segment)
    if raw is None:
        raise MalformedJws("A segment of the token is not base64url without padding.")
    return raw


# All tokens of one key have the same header, so the result is cached. Refusals are not.
@lru_cache(maxsize=128)
def _read_header(segment: bytes, algorithms: frozenset[str], types: frozenset[str]) -> tuple[str, str]:
    """Give `alg` and `kid` of a header that policy allows."""
    header = read_json(_decode(segment), "header")
    if not _FORBIDDEN.isdisjoint(header):
        raise MalformedJws("The header of the token has a member that is not allowed.")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise MalformedJws("The token is signed with an algorithm that is not allowed.")
    if not is_kid(kid):
        raise MalformedJws("The token does not name its signing key.")
    type_ = header.get("typ", "JWT")
    if not isinstance(type_, str) or type_ not in types:
        raise MalformedJws("The token is of another type than an access token.")
    return algorithm, kid
