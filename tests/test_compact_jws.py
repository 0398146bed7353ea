from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.compact_jws import decode_base64url, encode_base64url


@given(st.binary(max_size=200))
def test_round_trip(raw: bytes) -> None:
    """What is written is RFC 7515's base64url, and reads as what it was written from."""
    text = encode_base64url(raw)
    assert text == urlsafe_b64encode(raw).rstrip(b"=")
    assert decode_base64url(text) == raw


@given(st.text("AQgwBC-_+/= \n.!", max_size=12))
def test_one_text_for_every_value(text: str) -> None:
    """A text that reads at all is the one that its bytes are written as."""
    raw = decode_base64url(text.encode())
    assert raw is None or encode_base64url(raw).decode() == text


@pytest.mark.parametrize(
    "text",
    [b"QQ==", b"QQ=", b"QR", b"QUJ=", b"QUK", b"Q", b"QUJDR", b"QU JD", b"QUJD\n", b"+/+/", b"QUJ!", b"\xff\xff", b"="],
)
def test_refused(text: bytes) -> None:
    """Padding, bits left over, white space, base64's own characters and impossible lengths are refused."""
    assert decode_base64url(text) is None
