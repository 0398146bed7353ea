"""
Strict JSON (RFC 8259), for request bodies and for tokens.

Python's own reader accepts byte order marks, UTF-16, `NaN`, duplicate names and any depth. With each of them two
readers may read one text in two different ways.
"""

import json
import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 16

# Strings, also one without an end, and all other characters that are no brackets. Possessive, so it never backtracks.
_NO_BRACKETS = re.compile(r'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[^][{}"]++)++', re.DOTALL)


class NotStrict(ValueError):
    """The bytes are not strict JSON; the message has the reason and quotes nothing."""


def read_object(raw: bytes) -> dict[str, Any]:
    """
    Read one JSON object.

    Args:
        raw: Anything at all; the caller has bounded its length.

    Returns:
        The object. Strings in it may contain lone surrogates, written as escapes; see `has_lone_surrogate`.

    Raises:
        NotStrict: Not UTF-8, a byte order mark, not JSON, not an object, a name given twice, a number that is not
            finite or has more digits than Python reads, or deeper than 16 levels.
    """
    if raw.startswith(b"\xef\xbb\xbf"):
        raise NotStrict("a byte order mark is not allowed")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrict("it is not UTF-8") from None
    if _depth(text) > MAX_DEPTH:
        raise NotStrict(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        value = _decoder.decode(text)
    except NotStrict:
        raise
    except ValueError:
        # Not JSON, or an integer with more digits than the interpreter converts.
        raise NotStrict("it is not JSON") from None
    if not isinstance(value, dict):
        raise NotStrict("it is not an object")
    return value


def has_lone_surrogate(text: str) -> bool:
    """Tell whether *text* contains half of a surrogate pair, which UTF-8 cannot encode."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _depth(text: str) -> int:
    """Count the deepest nesting without recursing; brackets inside strings do not count."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    deepest = depth = 0
    for bracket in _NO_BRACKETS.sub("", text):
        if bracket in "[{":
            depth += 1
            if depth > deepest:
                deepest = depth
        else:
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotStrict("a name is given twice")
    return value


def _refuse_constant(_name: str) -> NoReturn:
    raise NotStrict("NaN and Infinity are not allowed")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NotStrict("a number is too large")
    return value


# Made once: json.loads with hooks makes a decoder for every call.
_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite_float)
