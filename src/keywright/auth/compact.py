"""
The shape of a token: the compact serialization of RFC 7515, read more strictly than the RFC asks for.

Lives here: everything that a token alone decides, from its size to its header. Not here: keys, signatures, claims.
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
# Each of them asks the reader to change how it reads: another key, another encoding, another kind of content.
_FORBIDDEN = frozenset({"crit", "b64", "zip", "enc", "epk", "jwk", "jku", "x5u", "x5c", "cty"})


class Jws(NamedTuple):
    """A token taken apart; nothing of it is verified."""

    algorithm: str
    kid: str
    payload: bytes
    signature: bytes
    signing_input: bytes


def as_ascii(token: bytes | str) -> bytes:
    """
    Give the bytes of a token of a size worth looking at.

    Args:
        token: Anything at all, of any type.

    Raises:
        InvalidToken: Neither text nor bytes, more than 16 KiB, or not ASCII.
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
    Take a token apart: characters, three segments, strict base64url, strict header, header policy.

    Args:
        token: At most 16 KiB of anything.
        algorithms: The values of `alg` to accept.

    Raises:
        InvalidToken: It is refused by any of them.
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
        part: What to call it in the refusal.

    Raises:
        InvalidToken: Not strict JSON, or a string in it holds NUL or half of a surrogate pair.
    """
    try:
        value = strict_json.read_object(raw)
    except strict_json.NotStrict as error:
        raise InvalidToken(f"The {part} of the token is refused: {error}.") from None
    # Strict JSON has both as escapes only, so text without one needs no walk.
    if b"\\u" in raw and not _is_clean(value):
        raise InvalidToken(f"The {part} of the token is refused: a string in it has NUL or a lone surrogate.")
    return value


def is_kid(value: object) -> TypeGuard[str]:
    """Tell whether *value* can name a key: 1 to 128 printable ASCII characters."""
    return isinstance(value, str) and _KID.fullmatch(value) is not None


def _is_clean(value: object) -> bool:
    """Tell whether no string within *value* has NUL or a lone surrogate; the reader has bounded the depth."""
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


# All tokens of one key have the same header, so it is read once. Refusals are not kept.
@lru_cache(maxsize=128)
def _read_header(segment: bytes, algorithms: frozenset[str]) -> tuple[str, str]:
    """Give `alg` and `kid` of a header that policy allows."""
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
