"""The text of a key."""

import json
import string
from binascii import crc32
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.keys import format as text_format
from keywright.keys.format import Kind, Parts

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "key_format.json").read_text())
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase

brands = st.from_regex(r"[a-z][a-z0-9]{0,11}", fullmatch=True)
environments = st.from_regex(r"[a-z][a-z0-9]{0,15}", fullmatch=True)
payloads = st.binary(min_size=32, max_size=32)
parts = st.one_of(
    st.builds(Parts, st.sampled_from([Kind.PRIVATE, Kind.PUBLIC]), brands, environments, payloads),
    st.builds(Parts, st.just(Kind.VERIFIER), brands, st.just(""), payloads),
)


def plainly_encoded(value: int, width: int) -> str:
    """A second reading of the specification, one digit at a time."""
    digits = ""
    for _ in range(width):
        digits = ALPHABET[value % 62] + digits
        value //= 62
    return digits


@given(parts)
def test_round_trip(given_parts: Parts) -> None:
    """Every text reads back as exactly what it was written from."""
    assert text_format.decode(text_format.encode(given_parts)) == given_parts


@given(parts)
def test_agrees_with_the_plain_reading(given_parts: Parts) -> None:
    """The text is the specification's: base62 of the bytes, then base62 of the CRC-32 of all before."""
    kind, brand, environment, payload = given_parts
    prefix = "_".join(part for part in (brand, kind.value, environment) if part)
    unchecked = f"{prefix}_" + plainly_encoded(int.from_bytes(payload, "big"), 43)
    assert text_format.encode(given_parts) == unchecked + plainly_encoded(crc32(unchecked.encode()), 6)


@given(parts, st.data())
def test_every_single_character_edit_is_refused(given_parts: Parts, data: st.DataObject) -> None:
    """Whatever one character is replaced with, wherever it stands, the text is refused."""
    text = text_format.encode(given_parts)
    place = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters().filter(lambda c: c != text[place]))
    assert text_format.decode(text[:place] + character + text[place + 1 :]) is None


def test_every_ascii_edit_of_one_key_is_refused() -> None:
    """No replacement, insertion, deletion or swap of neighbours in a key passes, tried exhaustively on one."""
    text = VECTORS["valid"][5]["private_key"]
    edits = {text[:i] + text[i + 1 :] for i in range(len(text))}
    edits |= {text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(len(text) - 1)}
    for character in map(chr, range(128)):
        edits |= {text[:i] + character + text[i + 1 :] for i in range(len(text))}
        edits |= {text[:i] + character + text[i:] for i in range(len(text) + 1)}
    accepted = {edit for edit in edits - {text} if text_format.decode(edit) is not None}
    assert accepted == set()


@given(st.text(max_size=120))
def test_anything_may_be_read(text: str) -> None:
    """Reading never raises, and what it accepts is what writing gives."""
    found = text_format.decode(text)
    assert found is None or text_format.encode(found) == text
    assert (text_format.outline(text) is None) is (found is None)


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda v: v["private_key_display"])
def test_valid_vectors(vector: dict[str, str]) -> None:
    """The published texts are those of the published bytes."""
    shared = (vector["brand"], vector["environment"])
    private = Parts(Kind.PRIVATE, *shared, bytes.fromhex(vector["seed_hex"]))
    public = Parts(Kind.PUBLIC, *shared, bytes.fromhex(vector["public_key_hex"]))
    assert text_format.encode(private) == vector["private_key"]
    assert text_format.encode(public) == vector["public_key"]
    assert text_format.decode(vector["private_key"]) == private
    assert text_format.display(vector["private_key"]) == vector["private_key_display"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["why"])
def test_refused_vectors(vector: dict[str, str]) -> None:
    """The published look-alikes are refused."""
    assert text_format.decode(vector["text"]) is None
    assert text_format.outline(vector["text"]) is None


@pytest.mark.parametrize(
    ("brand", "environment", "payload"),
    [
        ("", "live", bytes(32)),
        ("KW", "live", bytes(32)),
        ("abcdefghijklm", "live", bytes(32)),
        ("kw", "", bytes(32)),
        ("kw", "li_ve", bytes(32)),
        ("kw\n", "live", bytes(32)),
        ("kw", "live", bytes(31)),
        ("kw", "live", bytes(33)),
    ],
)
def test_what_is_not_of_the_format_is_not_written(brand: str, environment: str, payload: bytes) -> None:
    """Writing refuses a brand, an environment or a payload that reading would not give back."""
    with pytest.raises(ValueError, match=r"a brand|an environment|a key"):
        text_format.encode(Parts(Kind.PRIVATE, brand, environment, payload))


def test_printed_parts_hide_the_payload() -> None:
    """What a key says prints without its 32 bytes, which are the key itself."""
    printed = f"{Parts(Kind.PRIVATE, 'kw', 'live', b'0123456789abcdef' * 2)!r}"
    assert printed == "Parts(sk, kw, live)"


@given(parts)
def test_outline(given_parts: Parts) -> None:
    """The outline of a text says what its parts say, and prints without the body, which is the key itself."""
    text = text_format.encode(given_parts)
    outline = text_format.outline(text)
    assert outline is not None
    assert (outline.kind, outline.brand, outline.environment) == given_parts[:3]
    assert outline.body == body_of(given_parts.payload)
    assert outline.body not in repr(outline)


def test_more_than_32_bytes() -> None:
    """A body of more than 32 bytes is refused, and one of the greatest bytes is not, checksums being right."""
    greatest = text_format.encode(Parts(Kind.PRIVATE, "kw", "live", b"\xff" * 32))
    assert text_format.decode(greatest) is not None
    unchecked = greatest[: -text_format.CHECKSUM_WIDTH]
    beyond = unchecked[:-1] + ALPHABET[ALPHABET.index(unchecked[-1]) + 1]
    assert text_format.decode(beyond + text_format.checksum(beyond)) is None


def test_a_credential_has_no_environment() -> None:
    """A verifier's credential with an environment is not of the format."""
    with pytest.raises(ValueError, match="an environment"):
        text_format.encode(Parts(Kind.VERIFIER, "kw", "live", bytes(32)))


def body_of(payload: bytes) -> str:
    return plainly_encoded(int.from_bytes(payload, "big"), text_format.BODY_WIDTH)


@given(payloads, payloads, st.integers(0, text_format.BODY_WIDTH))
def test_span(payload: bytes, other: bytes, length: int) -> None:
    """The payloads whose bodies begin with some digits are exactly those between the least and the greatest."""
    digits = body_of(payload)[:length]
    span = text_format.span(digits)
    assert span is not None
    for each in (payload, other, *span):
        assert (span[0] <= each <= span[1]) is body_of(each).startswith(digits)


def test_span_of_a_whole_body() -> None:
    """A whole body is that of one payload, whatever comes after it."""
    payload = bytes(range(32))
    assert text_format.span(body_of(payload) + "anything") == (payload, payload)


@pytest.mark.parametrize("digits", ["-", "0_", "ä", "٣", "z" * text_format.BODY_WIDTH, "zz"], ids=ascii)
def test_span_of_nothing(digits: str) -> None:
    """Digits with which no body begins span nothing: others than base62's, or more than 32 bytes."""
    assert text_format.span(digits) is None
