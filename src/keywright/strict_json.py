"""
JSON as RFC 8259 means it, and nothing looser: for request bodies and for tokens alike.

Python's own reader takes byte order marks, UTF-16, `NaN`, duplicate names and any depth. Each of them is a way for two
readers of one text to see two different things.
"""

import json
import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 16

# Strings, one that never ends among them, and whatever else is no bracket. It never goes back over what it took.
_NO_BRACKETS = re.compile(r'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[^][{}"]++)++', re.DOTALL)


class NotStrict(ValueError):
    """The bytes are not strict JSON; the message says why and quotes nothing."""


def read_object(raw: bytes) -> dict[str, Any]:
    """
    Read one JSON object.

    Args:
        raw: Anything at all; the caller has bounded its length.

    Returns:
        The object. Strings in it may hold lone surrogates, written as escapes; see `has_lone_surrogate`.

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
        # Not JSON, or an integer of more digits than the interpreter is willing to convert.
        raise NotStrict("it is not JSON") from None
    if not isinstance(value, dict):
        raise NotStrict("it is not an object")
    return value


def has_lone_surrogate(text: str) -> bool:
    """Tell whether *text* holds half of a surrogate pair, which no UTF-8 can carry."""
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


# Made once: json.loads with hooks builds a decoder for every call.
_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite_float)
