"""Conditional requests: `If-Match` with the version of the key that was read (RFC 9110, section 13.1.1)."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from keywright.api.http.problems import Refusal
from keywright.api.http.routing import Input, InputReader, Trust

# One element of the list with the comma behind it; an element may be empty (section 5.6.1.2). The quantifiers are
# possessive: with backtracking, a header of many spaces would take quadratic time.
_ELEMENT = re.compile(r'[ \t]*+(?:(W/)?"([!#-~\x80-\xff]*+)"[ \t]*+)?+(,|\Z)')

# The same in the regular expressions of JSON Schema, for the OpenAPI document.
_ETAG = '((W/)?"[!#-~]*")'

Matching = Callable[[int], bool]
"""Return whether a version of a key meets the condition."""


def matching(if_match: Sequence[str]) -> Matching | None:
    """
    Read `If-Match`.

    Args:
        if_match: The values of all headers of that name; several are one list.

    Returns:
        None without the header. `*` matches every version; a weak tag matches none (strong comparison).

    Raises:
        Refusal: `invalid_request` where the header is neither `*` nor a list of entity tags.
    """
    if not if_match:
        return None
    text = ",".join(if_match)
    if text.strip(" \t") == "*":
        return lambda _version: True
    wanted = _strong_tags(text)
    return lambda version: str(version) in wanted


def _strong_tags(text: str) -> set[str]:
    strong = set()
    position = 0
    while True:
        found = _ELEMENT.match(text, position)
        if found is None:
            raise Refusal("invalid_request", "The If-Match header is neither * nor a list of entity tags.")
        weak, tag, comma = found.groups()
        if tag is not None and weak is None:
            strong.add(tag)
        if not comma:
            return strong
        position = found.end()


_HEADER: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "description": "Change the key only while it has one of these entity tags; `*` for any",
    "schema": {
        "type": "string",
        "pattern": rf"^(\*|{_ETAG}?([ \t]*,[ \t]*{_ETAG}?)*)$",
        "examples": ['"3"'],
    },
}


class IfMatchInput(Input):
    """The `If-Match` header, as `matching` reads it."""

    codes = ("invalid_request", "precondition_failed")
    header = _HEADER

    def reader(self, name: str, hint: Any, trust: Trust) -> InputReader:
        return InputReader(lambda request: matching(request.headers.getlist("if-match")))


IfMatch = Annotated[Matching | None, IfMatchInput()]
