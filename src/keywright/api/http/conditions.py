"""Requests that go through only while a key has the version that was read: `If-Match` (RFC 9110, section 13.1.1)."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from keywright.api.http.problems import Refusal
from keywright.api.http.routing import Input, Reader, Trust

# One element of the list with the comma behind it; an element may be empty (section 5.6.1.2). Nothing is given back
# once taken, or a header of spaces would be read in every possible way.
_ELEMENT = re.compile(r'[ \t]*+(?:(W/)?"([!#-~\x80-\xff]*+)"[ \t]*+)?+(,|\Z)')

# The same for the document.
_ETAG = '((W/)?"[!#-~]*")'

Matching = Callable[[int], bool]
"""Tells whether a version of a key is one that the request wants to find."""


def matching(if_match: Sequence[str]) -> Matching | None:
    """
    Read `If-Match`.

    Args:
        if_match: The values of all headers of that name; several are one list.

    Returns:
        None where there is no such header. `*` matches every version; a weak tag matches none (strong comparison).

    Raises:
        Refusal: `invalid_request` for what is neither `*` nor a list of entity tags.
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
    "description": "Go through only while the key has one of these entity tags, or `*`",
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

    def reader(self, name: str, hint: Any, trust: Trust) -> Reader:
        return Reader(lambda request: matching(request.headers.getlist("if-match")))


IfMatch = Annotated[Matching | None, IfMatchInput()]
