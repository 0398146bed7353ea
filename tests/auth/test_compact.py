"""The shape of a token, seen through `verify_jws`; hostile tokens are correctly signed wherever that is possible."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest

from keywright.auth.access_token import verify_jws
from keywright.compact_jws import MAX_BYTES
from keywright.service.faults import InvalidToken
from tests.auth.issuer import Issuer, b64, claims, dumps

PAYLOAD = dumps(claims())


def with_header(text: str | bytes) -> Callable[[Issuer], str]:
    """A token whose header is exactly *text*, correctly signed."""
    raw = text.encode() if isinstance(text, str) else text
    return lambda issuer: issuer.sign(raw, PAYLOAD)


def with_member(**changes: Any) -> Callable[[Issuer], str]:
    """A token with a changed header, correctly signed."""
    return lambda issuer: issuer.token(**changes)


def of_size(size: int) -> Callable[[Issuer], str]:
    """A good token of exactly *size* bytes, made so by its payload and, for the last few bytes, by its header."""

    def make(issuer: Issuer) -> str:
        for spare in range(4):
            header = dumps(issuer.header(x="x" * spare))
            # Header, two dots and the signature of 256 bytes.
            room = size - len(b64(header)) - 2 - 342
            if room % 4 != 1:
                return issuer.sign(header, bytes(room * 3 // 4))
        raise AssertionError(size)

    return make


def padded(issuer: Issuer) -> str:
    header = urlsafe_b64encode(b'{"alg":"RS256","kid":"key-1"}').decode()
    assert header.endswith("=")
    return issuer.sign_segments(header, b64(PAYLOAD))


def padded_signature(issuer: Issuer) -> str:
    return f"{issuer.token()}=="


def spare_bits(issuer: Issuer) -> str:
    # Four bytes leave four bits over in the sixth character; "A" has them zero.
    payload = b64(b"{}  ")
    assert payload[-1] == "A"
    return issuer.sign_segments(b64(dumps(issuer.header())), payload[:-1] + "B")


def spare_bits_in_signature(issuer: Issuer) -> str:
    # 256 bytes leave four bits over in the last character, which are zero.
    token = issuer.token()
    assert token[-1] in "AQgw"
    return token[:-1] + chr(ord(token[-1]) + 1)


def standard_base64(issuer: Issuer) -> str:
    return issuer.sign_segments(b64(dumps(issuer.header())), "+/+/")


SHAPES: dict[str, Callable[[Issuer], Any]] = {
    "empty": lambda _: "",
    "one dot": lambda _: ".",
    "two dots": lambda _: "..",
    "word": lambda _: "Zm9v",
    "two segments": lambda issuer: issuer.token().rpartition(".")[0],
    "four segments": lambda issuer: issuer.token() + ".Zm9v",
    "trailing dot": lambda issuer: issuer.token() + ".",
    "no header": lambda issuer: "." + issuer.token().partition(".")[2],
    "no signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "JSON serialization": lambda issuer: json.dumps({"payload": b64(PAYLOAD), "signatures": []}),
    "JWE": lambda issuer: ".".join([issuer.token(), "AAAA", "AAAA"]),
    "one byte too many": of_size(MAX_BYTES + 1),
    "ten megabytes": lambda _: "a" * 10_000_000,
    "ten megabytes of dots": lambda _: "." * 10_000_000,
    "leading space": lambda issuer: " " + issuer.token(),
    "trailing newline": lambda issuer: issuer.token() + "\n",
    "tab within": lambda issuer: issuer.token().replace(".", "\t.", 1),
    "NUL within": lambda issuer: issuer.token().replace(".", "\0.", 1),
    "not ASCII": lambda issuer: issuer.token() + "é",
    "full width": lambda issuer: issuer.token().replace("e", "ｅ", 1),
    "lone surrogate": lambda issuer: issuer.token() + "\ud800",
    "byte order mark": lambda issuer: "\ufeff" + issuer.token(),
    "bytes that are not ASCII": lambda issuer: issuer.token().encode() + b"\xff",
    "UTF-16": lambda issuer: issuer.token().encode("utf-16"),
    "padded header": padded,
    "padded signature": padded_signature,
    "spare bits": spare_bits,
    "spare bits in the signature": spare_bits_in_signature,
    "standard base64": standard_base64,
    "None": lambda _: None,
    "number": lambda _: 7,
    "list": lambda issuer: [issuer.token()],
    "bytearray": lambda issuer: bytearray(issuer.token().encode()),
}

HEADERS: dict[str, Callable[[Issuer], str]] = {
    "not JSON": with_header("alg=RS256"),
    "nothing": with_header(b" "),
    "a list": with_header('["RS256"]'),
    "a string": with_header('"RS256"'),
    "null": with_header("null"),
    "two objects": with_header('{"alg":"RS256","kid":"key-1"}{}'),
    "trailing comma": with_header('{"alg":"RS256","kid":"key-1",}'),
    "single quotes": with_header("{'alg':'RS256','kid':'key-1'}"),
    "byte order mark": with_header(b'\xef\xbb\xbf{"alg":"RS256","kid":"key-1"}'),
    "UTF-16": with_header('{"alg":"RS256","kid":"key-1"}'.encode("utf-16")),
    "UTF-16 without mark": with_header('{"alg":"RS256","kid":"key-1"}'.encode("utf-16-le")),
    "UTF-32": with_header('{"alg":"RS256","kid":"key-1"}'.encode("utf-32")),
    "Latin-1": with_header(b'{"alg":"RS256","kid":"key-1","x":"\xe9"}'),
    "alg twice": with_header('{"alg":"none","alg":"RS256","kid":"key-1"}'),
    "kid twice": with_header('{"alg":"RS256","kid":"key-2","kid":"key-1"}'),
    "kid twice, once escaped": with_header('{"alg":"RS256","k\\u0069d":"key-2","kid":"key-1"}'),
    "a name twice, deep": with_header('{"alg":"RS256","kid":"key-1","x":{"a":1,"a":1}}'),
    "NaN": with_header('{"alg":"RS256","kid":"key-1","x":NaN}'),
    "Infinity": with_header('{"alg":"RS256","kid":"key-1","x":-Infinity}'),
    "1e400": with_header('{"alg":"RS256","kid":"key-1","x":1e400}'),
    "5 000 digits": with_header('{"alg":"RS256","kid":"key-1","x":' + "9" * 5000 + "}"),
    "deep": with_header('{"alg":"RS256","kid":"key-1","x":' + "[" * 16 + "]" * 16 + "}"),
    "depth bomb": with_header('{"x":' + "[" * 5000),
    "object bomb": with_header('{"x":' * 2000),
    "lone surrogate": with_header('{"alg":"RS256","kid":"key-1","x":"\\ud800"}'),
    "lone surrogate in a name": with_header('{"alg":"RS256","kid":"key-1","\\udfff":1}'),
    "lone surrogate, deep": with_header('{"alg":"RS256","kid":"key-1","x":[{"y":["\\uDC00"]}]}'),
    "NUL": with_header('{"alg":"RS256","kid":"key-1","x":"\\u0000"}'),
    "NUL in a name": with_header('{"alg":"RS256","kid":"key-1","x\\u0000":1}'),
    "raw NUL": with_header(b'{"alg":"RS256","kid":"key-1","x":"\0"}'),
    "alg absent": with_member(alg=None),
    "alg null": with_header('{"alg":null,"kid":"key-1"}'),
    "alg list": with_member(alg=["RS256"]),
    "alg object": with_member(alg={"RS256": 1}),
    "alg number": with_member(alg=256),
    "alg empty": with_member(alg=""),
    "alg none": with_member(alg="none"),
    "alg None": with_member(alg="None"),
    "alg NONE": with_member(alg="NONE"),
    "alg rs256": with_member(alg="rs256"),
    "alg RS256 and space": with_member(alg="RS256 "),
    "alg HS256": with_member(alg="HS256"),
    "alg RS384": with_member(alg="RS384"),
    "alg PS256": with_member(alg="PS256"),
    "alg ES256": with_member(alg="ES256"),
    "alg RSA-OAEP": with_member(alg="RSA-OAEP"),
    "alg of another name": with_header('{"ALG":"RS256","kid":"key-1"}'),
    "kid absent": with_member(kid=None),
    "kid null": with_header('{"alg":"RS256","kid":null}'),
    "kid empty": with_member(kid=""),
    "kid number": with_member(kid=1),
    "kid list": with_member(kid=["key-1"]),
    "kid too long": with_member(kid="k" * 129),
    "kid with newline": with_member(kid="key-1\n"),
    "kid with DEL": with_member(kid="key-1\x7f"),
    "kid not ASCII": with_member(kid="clé-1"),
    "kid of another key": with_member(kid="key-2"),
    "typ JWE": with_member(typ="JWE"),
    "typ jwt": with_member(typ="jwt"),
    "typ dpop+jwt": with_member(typ="dpop+jwt"),
    "typ logout+jwt": with_member(typ="logout+jwt"),
    "typ ID token of its own": with_member(typ="id+jwt"),
    "typ empty": with_member(typ=""),
    "typ number": with_member(typ=1),
    "typ list": with_member(typ=["JWT"]),
    "typ null": with_header('{"alg":"RS256","kid":"key-1","typ":null}'),
    "crit": with_member(crit=["exp"]),
    "crit empty": with_member(crit=[]),
    "crit null": with_header('{"alg":"RS256","kid":"key-1","crit":null}'),
    "b64": with_member(b64=False, crit=["b64"]),
    "b64 true": with_member(b64=True),
    "zip": with_member(zip="DEF"),
    "enc": with_member(enc="A256GCM"),
    "epk": with_member(epk={}),
    "jku": with_member(jku="https://evil.example/jwks.json"),
    "x5u": with_member(x5u="https://evil.example/cert.pem"),
    "x5c": with_member(x5c=["MIIB"]),
    "cty": with_member(cty="JWT"),
    "jwk": lambda issuer: issuer.token(jwk=issuer.jwk()),
}


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_hostile_shape(issuer: Issuer, make: Callable[[Issuer], Any]) -> None:
    """What is not exactly three segments of strict base64url in 16 KiB of ASCII is refused, of whatever type it is."""
    with pytest.raises(InvalidToken):
        verify_jws(make(issuer), issuer.jwk())


@pytest.mark.parametrize("make", HEADERS.values(), ids=HEADERS)
def test_hostile_header(issuer: Issuer, make: Callable[[Issuer], str]) -> None:
    """A header that is not strict JSON, or that policy does not allow, is refused although its signature is right."""
    with pytest.raises(InvalidToken):
        verify_jws(make(issuer), issuer.jwk())


@pytest.mark.parametrize(
    "make",
    [
        with_member(),
        with_member(typ=None),
        with_member(typ="at+jwt"),
        with_member(typ="application/at+jwt"),
        with_member(nonce="x", x5t="AAAA"),
        with_header(' {\n"kid" : "key-1",\t"alg" : "RS256" }\r'),
        with_header('{"\\u0061lg":"RS256","kid":"k\\u0065y-1","x":"\\ud83d\\ude00"}'),
        with_header('{"alg":"RS256","kid":"key-1","x":"naïve"}'),
        with_header('{"alg":"RS256","kid":"key-1","x":' + "[" * 15 + "]" * 15 + "}"),
        of_size(MAX_BYTES),
    ],
)
def test_good_header(issuer: Issuer, make: Callable[[Issuer], str]) -> None:
    """What the rules allow is accepted, as text and as bytes, up to the last byte of 16 KiB."""
    token = make(issuer)
    expected = verify_jws(token, issuer.jwk())
    assert verify_jws(token.encode(), issuer.jwk()) == expected


def test_longest_kid(issuer: Issuer) -> None:
    """A `kid` of 128 characters, spaces included, is accepted."""
    kid = "k " * 64
    assert verify_jws(issuer.token(kid=kid), issuer.jwk(kid=kid))


def test_payload_is_given_as_signed(issuer: Issuer) -> None:
    """The payload comes back byte for byte, whether JSON or not."""
    for payload in (b"", b"\0\xff", b"foo", PAYLOAD):
        assert verify_jws(issuer.sign(dumps(issuer.header()), payload), issuer.jwk()) == payload


def test_too_large_is_told_before_anything_else(issuer: Issuer) -> None:
    """Size comes first: of an oversized token nothing more is looked at."""
    with pytest.raises(InvalidToken, match="16 KiB"):
        verify_jws("é" * (MAX_BYTES + 1), issuer.jwk())
