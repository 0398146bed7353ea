"""Which JWKs may be used, seen through `verify_jws` with a token that is good for the untouched key."""

from typing import Any

import pytest

from keywright.auth import rsa_key
from keywright.auth.access_token import verify_jws
from keywright.service.faults import InvalidToken
from tests.auth.issuer import Issuer, b64, b64_integer

HOSTILE: dict[str, dict[str, Any]] = {
    "kty absent": {"kty": None},
    "kty EC": {"kty": "EC"},
    "kty oct": {"kty": "oct"},
    "kty rsa": {"kty": "rsa"},
    "kty list": {"kty": ["RSA"]},
    "use enc": {"use": "enc"},
    "use empty": {"use": ""},
    "use list": {"use": ["sig"]},
    "alg of another scheme": {"alg": "RS512"},
    "alg of encryption": {"alg": "RSA-OAEP-256"},
    "alg none": {"alg": "none"},
    "alg list": {"alg": ["RS256"]},
    "alg object": {"alg": {}},
    "key_ops without verify": {"key_ops": ["encrypt"]},
    "key_ops empty": {"key_ops": []},
    "key_ops string": {"key_ops": "verify"},
    "key_ops object": {"key_ops": {"verify": True}},
    "key_ops number": {"key_ops": 1},
    "another kid": {"kid": "key-2"},
    "kid number": {"kid": 1},
    "kid empty": {"kid": ""},
    "n absent": {"n": None},
    "n empty": {"n": ""},
    "n number": {"n": 2**2047 + 1},
    "n list": {"n": ["AQAB"]},
    "n bytes": {"n": b"AQAB"},
    "n zero": {"n": "AA"},
    "n not base64url": {"n": "!" * 342},
    "n not ASCII": {"n": "é" * 342},
    "n even": {"n": b64_integer(2**2047)},
    "n of 2047 bits": {"n": b64_integer(2**2046 + 1)},
    "n of 8193 bits": {"n": b64_integer(2**8192 + 1)},
    "n of a megabyte": {"n": "A" * 1_000_000},
    "e absent": {"e": None},
    "e empty": {"e": ""},
    "e zero": {"e": "AA"},
    "e one": {"e": "AQ"},
    "e two": {"e": "Ag"},
    "e even": {"e": b64_integer(65536)},
    "e number": {"e": 65537},
    "e boolean": {"e": True},
    "e with leading zero": {"e": b64(b"\0\1\0\1")},
    "e padded": {"e": "AQAB===="},
    "e of 65 bits": {"e": b64_integer(2**64 + 1)},
    "e of 2 000 bits": {"e": b64_integer(2**2000 + 1)},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_hostile_key(issuer: Issuer, changes: dict[str, Any]) -> None:
    """A key that is malformed, weak, or meant for something else verifies nothing."""
    with pytest.raises(InvalidToken):
        verify_jws(issuer.token(), issuer.jwk(**changes))


@pytest.mark.parametrize("name", ["use", "alg", "key_ops", "kid"])
def test_null_is_not_absent(issuer: Issuer, name: str) -> None:
    """A key with a member that is null is refused."""
    with pytest.raises(InvalidToken):
        verify_jws(issuer.token(), issuer.jwk() | {name: None})


@pytest.mark.parametrize("jwk", [None, [], "key", 7, b"key", {}, {"kty": "RSA"}, {1: 2}, object()])
def test_no_key_at_all(issuer: Issuer, jwk: Any) -> None:
    """Anything in the place of a key is refused like a key that may not be used."""
    with pytest.raises(InvalidToken, match="key"):
        verify_jws(issuer.token(), jwk)


def test_modulus_with_leading_zero(issuer: Issuer) -> None:
    """A modulus written with a byte too many (RFC 7518, section 6.3.1.1) is refused."""
    modulus = issuer.private.public_key().public_numbers().n
    with pytest.raises(InvalidToken):
        verify_jws(issuer.token(), issuer.jwk(n=b64(b"\0" + modulus.to_bytes(256, "big"))))


def test_1024_bits() -> None:
    """A key of 1024 bits verifies nothing, not even what it signed."""
    weak = Issuer("key-1", bits=1024)
    with pytest.raises(InvalidToken):
        verify_jws(weak.token(), weak.jwk())


@pytest.mark.parametrize(("bits", "exponent"), [(2048, 3), (3072, 65537), (2049, 65537)])
def test_other_good_keys(bits: int, exponent: int) -> None:
    """Other sizes from 2048 bits, and the exponent 3, are accepted."""
    signer = Issuer("key-1", bits=bits, exponent=exponent)
    assert verify_jws(signer.token(), signer.jwk())


@pytest.mark.parametrize(
    "changes",
    [
        {"use": None, "alg": None},
        {"kid": None},
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]},
        {"x5c": ["MIIB"], "x5t": "AAAA"},
    ],
)
def test_good_key(issuer: Issuer, changes: dict[str, Any]) -> None:
    """What a JWK may leave out it may leave out, and what it may say besides does not matter."""
    assert verify_jws(issuer.token(), issuer.jwk(**changes))


def test_same_jwk_gives_equal_keys(issuer: Issuer, other_issuer: Issuer) -> None:
    """Keys compare by what they are, so that an unchanged key set is seen to be unchanged."""
    assert rsa_key.read(issuer.jwk()) == rsa_key.read(issuer.jwk())
    assert rsa_key.read(issuer.jwk()) != rsa_key.read(other_issuer.jwk())
