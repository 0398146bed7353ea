"""JSON and nothing looser."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.strict_json import MAX_DEPTH, NotStrict, has_lone_surrogate, read_object

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_reads_what_others_write(value: dict[str, object]) -> None:
    """Every object within the depth that a JSON writer gives is read as it was."""
    assert read_object(json.dumps(value).encode()) == value
    assert read_object(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


@given(st.binary(max_size=200))
def test_any_bytes_may_be_read(raw: bytes) -> None:
    """Whatever the bytes, the answer is an object or the one error."""
    with contextlib.suppress(NotStrict):
        assert isinstance(read_object(raw), dict)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{}{}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "\\u0061": 2}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": -1e400}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\xaf"}',
        b'{"a": "\n"}',
        b'{"a": 1} \0',
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b'{"a": 01}',
        b'{"a": 0x1}',
        b"// comment\n{}",
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_refused(raw: bytes) -> None:
    """Each way of being read differently by another reader is refused with the one error."""
    with pytest.raises(NotStrict):
        read_object(raw)


def test_depth_counts_brackets_outside_strings_only() -> None:
    """Brackets in text do not count, an escaped quote does not end it, and the deepest allowed nesting is read."""
    assert read_object(json.dumps({"a": '[{"\\' * 100}).encode()) == {"a": '[{"\\' * 100}
    assert read_object(b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}")
    assert len(read_object(b'{"a": [' + b"[]," * 40 + b"[]]}")["a"]) == 41


def plain_depth(text: str) -> int:
    """The same, one character after the other."""
    deepest = depth = 0
    in_string = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = in_string
        elif character == '"':
            in_string = not in_string
        elif not in_string:
            depth += (character in "[{") - (character in "]}")
            deepest = max(deepest, depth)
    return deepest


@given(st.text('[{]}"\\a \n', max_size=100), st.integers(0, MAX_DEPTH + 1))
def test_depth_of_anything(text: str, open_brackets: int) -> None:
    """Whether a text is too deep is told as one sees who reads it character by character, JSON or not."""
    nested = "[" * open_brackets + text
    with pytest.raises(NotStrict) as refused:
        read_object(nested.encode() + b"\0")
    assert ("deeper" in str(refused.value)) is (plain_depth(nested) > MAX_DEPTH)


def test_the_message_quotes_nothing() -> None:
    """What was sent is not told back."""
    with pytest.raises(NotStrict) as refused:
        read_object(b'{"secret-word": 1, "secret-word": 2}')
    assert "secret-word" not in str(refused.value)


def test_lone_surrogates() -> None:
    """Half a surrogate pair is found, a whole one is not mistaken for it."""
    assert has_lone_surrogate(read_object(b'{"a": "\\ud800"}')["a"])
    assert not has_lone_surrogate(read_object(b'{"a": "\\ud83d\\ude00"}')["a"])
