"""
The characters of texts that people read: names, descriptions, and the ids of owners.

Two texts that look alike should be alike. So characters that nobody sees are refused: controls (NUL among them, which
PostgreSQL cannot store), line and paragraph separators, and all of `ignorable`, which has the bidirectional controls
and the tags, too. Some scripts and emoji need a few of these, and may have them there:

    U+200C U+200D         joiners between two letters or marks, after a virama, and ZWJ between two pictures
    U+180E                the Mongolian vowel separator, between two letters
    U+FE00 to U+FE0F      one variation selector after a letter, digit, symbol or punctuation mark
    U+180B to U+180D, U+180F, U+E0100 to U+E01EF
                          one variation selector after a letter

What is a letter, mark or picture says the Unicode version of the running Python, `unicodedata.unidata_version`.
"""

import re
import unicodedata
from typing import Final

from keywright.keys.ignorable import RANGES

_ZWJ = "\u200d"
_JOINERS = frozenset("\u180e\u200c\u200d")
_LETTER_SELECTORS = frozenset(map(chr, (*range(0x180B, 0x180E), 0x180F, *range(0xE0100, 0xE01F0))))
_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10))) | _LETTER_SELECTORS
_IN_CONTEXT = _JOINERS | _SELECTORS
# What may stand between a picture and its joiner: the selector of its emoji form, and the colors of skin.
_OF_A_PICTURE = "\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_PICTURES = ("So", "Sm")
_VIRAMA = 9
_BLANK = "\u2800"
"""The pattern of Braille without a dot: a symbol for Unicode, and a space for everyone else."""

# The interlinear annotations are invisible, too, although `ignorable` does not have them.
_ALWAYS_HIDDEN = ((0x00, 0x1F), (0x7F, 0x9F), (0x2028, 0x2029), (0xFFF9, 0xFFFB))


def _class_of(ranges: list[tuple[int, int]]) -> str:
    """Write ranges of code points as the inside of a character class, for Python and for ECMAScript."""
    return "".join(f"\\u{first:04x}" + (f"-\\u{last:04x}" if last > first else "") for first, last in ranges)


def _without_context(ranges: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    points = [point for first, last in ranges for point in range(first, last + 1) if chr(point) not in _IN_CONTEXT]
    begins = [point for point in points if point - 1 not in points]
    ends = [point for point in points if point + 1 not in points]
    return list(zip(begins, ends, strict=True))


_MOST_BASIC = 0xFFFF
_REFUSED = sorted([*_ALWAYS_HIDDEN, *_without_context(tuple(each for each in RANGES if each[0] <= _MOST_BASIC))])
_HIDDEN = _class_of(_REFUSED)
_HIDDEN_BEYOND = "".join(
    f"\\U{first:08x}-\\U{last:08x}"
    for first, last in _without_context(tuple(each for each in RANGES if each[0] > _MOST_BASIC))
)

# The two patterns are published in the OpenAPI document. They allow more than the functions below. An ECMAScript engine
# without the `u` flag reads an emoji as two surrogates, so a class can name neither these nor what is beyond U+FFFF;
# and what a joiner or a selector stands beside is known by its category, which no pattern has.
DESCRIPTION_PATTERN: Final = rf"^[^{_HIDDEN}]*$"
NAME_PATTERN: Final = rf"^[^{_HIDDEN}]*[^\s{_BLANK}{_HIDDEN}][^{_HIDDEN}]*$"
PATTERN_NOTE: Final = (
    "Characters beyond U+FFFF that are invisible are refused, and so are joiners and variation selectors that their "
    "place in a word or emoji does not need; the pattern does not say that."
)
_FORBIDDEN = re.compile(rf"[{_HIDDEN}{_HIDDEN_BEYOND}\ud800-\udfff]")
_CONTEXT = re.compile(f"[{''.join(sorted(_IN_CONTEXT))}]")


def flaw_in_name(name: str) -> str | None:
    """Describe a flaw in the characters of a key's name in one sentence that does not quote it; None for none."""
    flaw = flaw_in_description(name)
    if flaw is None and not name.replace(_BLANK, "").strip():
        return "A name needs a visible character."
    return flaw


def flaw_in_description(description: str) -> str | None:
    """Describe a flaw in the characters of a description in one sentence that does not quote it; None for none."""
    if description.isascii() and description.isprintable():
        return None
    if _FORBIDDEN.search(description):
        return "Control characters, invisible characters, lone surrogates and bidirectional overrides are not allowed."
    if not all(_is_needed(description, match.start()) for match in _CONTEXT.finditer(description)):
        return "Joiners and variation selectors are not allowed outside of words and emoji."
    return None


def _is_needed(text: str, index: int) -> bool:
    """Return whether the joiner or selector at *index* stands where writing needs it."""
    character, before, after = text[index], text[:index], text[index + 1 : index + 2]
    if character in _SELECTORS:
        kinds = "L" if character in _LETTER_SELECTORS else "LNPS"
        return before[-1:] not in _IN_CONTEXT and _kind(before[-1:])[:1] in tuple(kinds)
    if character == _ZWJ and _kind(before.rstrip(_OF_A_PICTURE)[-1:]) in _PICTURES and _kind(after) in _PICTURES:
        return True
    return _is_written(before[-1:]) and (_is_written(after) or unicodedata.combining(before[-1]) == _VIRAMA)


def _is_written(character: str) -> bool:
    """Return whether a character is a letter or mark."""
    return character not in _IN_CONTEXT and _kind(character)[:1] in ("L", "M")


def _kind(character: str) -> str:
    """Give the general category of a character, empty for none."""
    return unicodedata.category(character) if character else ""
