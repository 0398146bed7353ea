"""
The shape of a token: the compact serialization of RFC 7515, read more strictly than the RFC requires.

Here: all checks that need the token alone, from its size to its header. Not here: keys, signatures, claims.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard

from keywright import strict_json
from keywright.auth import base64url
from keywright.service.faults import InvalidToken

MAX_BYTES = 16 * 1024

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
_KID = re.compile(r"[\x20-\x7e]{1,128}")
_TYPES = frozenset({"JWT", "at+jwt", "application/at+jwt"})
# Each of these changes how a token is read: another key, another encoding, another kind of content.
_FORBIDDEN = frozenset({"crit", "b64", "zip", "enc", "epk", "jwk", "jku", "x5u", "x5c", "cty"})


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
        InvalidToken: The input is neither text nor bytes, larger than 16 KiB, or not ASCII.
    """
    if not isinstance(token, (bytes, str)):
        raise InvalidToken("The token is not text.")
    if len(token) > MAX_BYTES:
        raise InvalidToken("The token is larger than 16 KiB.")
    if not token.isascii():
        raise InvalidToken("The token has characters that are not base64url.")
    return token.encode("ascii") if isinstance(token, str) else token


def read(token: bytes, algorithms: frozenset[str]) -> Jws:
    """
    Split a token, and check its characters, its three segments, their base64url, and its header.

    Args:
        token: Untrusted bytes, at most 16 KiB.
        algorithms: The accepted values of `alg`.

    Raises:
        InvalidToken: One of these checks fails.
    """
    if token.translate(None, _ALPHABET):
        raise InvalidToken("The token has characters that are not base64url.")
    segments = token.split(b".")
    if len(segments) != 3:
        raise InvalidToken("The token does not have three segments.")
    algorithm, kid = _read_header(segments[0], algorithms)
    return Jws(algorithm, kid, _decode(segments[1]), _decode(segments[2]), token[: -len(segments[2]) - 1])


def read_json(raw: bytes, part: str) -> dict[str, Any]:
    """
    Read the JSON object in one part of a token.

    Args:
        raw: The decoded segment.
        part: The name of the part, for the refusal.

    Raises:
        InvalidToken: The part is not strict JSON, or a string in it has NUL or a lone surrogate.
    """
    try:
        value = strict_json.read_object(raw)
    except strict_json.NotStrict as error:
        raise InvalidToken(f"The {part} of the token is refused: {error}.") from None
    # In strict JSON both are written as escapes, so text without an escape needs no search.
    if b"\\u" in raw and not _is_clean(value):
        raise InvalidToken(f"The {part} of the token is refused: a string in it has NUL or a lone surrogate.")
    return value


def is_kid(value: object) -> TypeGuard[str]:
    """Return whether *value* can be a `kid`: 1 to 128 printable ASCII characters."""
    return isinstance(value, str) and _KID.fullmatch(value) is not None


def _is_clean(value: object) -> bool:
    """Return whether no string in *value* has NUL or a lone surrogate. The JSON reader bounds the depth."""
    if isinstance(value, str):
        return "\0" not in value and not strict_json.has_lone_surrogate(value)
    if isinstance(value, dict):
        return all(_is_clean(name) and _is_clean(member) for name, member in value.items())
    return not isinstance(value, list) or all(map(_is_clean, value))


def _decode(segment: bytes) -> bytes:
    raw = base64url.decode(segment)
    if raw is None:
        raise InvalidToken("A segment of the token is not base64url without padding.")
    return raw


# All tokens of one key have the same header, so the result is cached. Refusals are not.
@lru_cache(maxsize=128)
def _read_header(segment: bytes, algorithms: frozenset[str]) -> tuple[str, str]:
    """Return `alg` and `kid` of an acceptable header."""
    header = read_json(_decode(segment), "header")
    if not _FORBIDDEN.isdisjoint(header):
        raise InvalidToken("The header of the token has a member that is not allowed.")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidToken("The token is signed with an algorithm that is not allowed.")
    if not is_kid(kid):
        raise InvalidToken("The token does not name its signing key.")
    type_ = header.get("typ", "JWT")
    if not isinstance(type_, str) or type_ not in _TYPES:
        raise InvalidToken("The token is of another type than an access token.")
    return algorithm, kid
