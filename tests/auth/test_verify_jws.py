"""The seam itself: published vectors, forgeries, and whatever Hypothesis thinks of."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keywright.auth.access_token import verify_jws
from keywright.auth.rsa_key import SUPPORTED_ALGORITHMS
from keywright.service.faults import InvalidToken
from tests.auth.issuer import Issuer, b64, claims, dumps

RFC_7520 = json.loads((Path(__file__).parent / "rfc7520_section_4_1.json").read_text("utf-8"))

thorough = settings(max_examples=300)


def refused(token: Any, jwk: Any) -> bool:
    """Tell whether `verify_jws` refuses; any other exception than the one it promises ends the test."""
    try:
        verify_jws(token, jwk)
    except InvalidToken as refusal:
        reason = refusal.reason
    else:
        return False
    assert is_speakable(reason)
    return True


def is_speakable(reason: str) -> bool:
    """Tell whether a reason fits into a quoted header parameter as it is."""
    return reason.isascii() and reason.isprintable() and not set(reason) & set("\"'\\")


def test_rfc_7520_vector() -> None:
    """The RS256 example of RFC 7520, section 4.1, is accepted and gives its payload."""
    assert verify_jws(RFC_7520["compact"], RFC_7520["jwk"]).decode() == RFC_7520["payload"]


def test_rfc_7520_vector_with_another_payload() -> None:
    """The same signature does not hold for other words."""
    header, _, signature = RFC_7520["compact"].split(".")
    assert refused(f"{header}.{b64(b'Stay at home.')}.{signature}", RFC_7520["jwk"])


def test_forged_with_another_key(issuer: Issuer, other_issuer: Issuer) -> None:
    """A token of a key of the same name but another number is refused."""
    assert refused(other_issuer.token(), issuer.jwk())


def test_public_key_as_secret(issuer: Issuer) -> None:
    """A token signed by HMAC with the public key, in any form of it, is refused."""
    public = issuer.private.public_key()
    secrets = [
        public.public_bytes(encoding, form)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
        for form in (serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1)
    ]
    for secret in [*secrets, dumps(issuer.jwk()), issuer.jwk()["n"].encode()]:
        signed = f"{b64(dumps(issuer.header(alg='HS256')))}.{b64(dumps(claims()))}"
        signature = b64(hmac.digest(secret, signed.encode(), hashlib.sha256))
        assert refused(f"{signed}.{signature}", issuer.jwk())
        assert refused(f"{signed}.{signature}", {"kty": "oct", "kid": "key-1", "k": b64(secret)})


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "RS256"])
@pytest.mark.parametrize("signature", ["", "AA", b64(bytes(256))])
def test_unsigned(issuer: Issuer, alg: str, signature: str) -> None:
    """A token without a signature, or with nothing in it, is refused whatever its header says."""
    signed = f"{b64(dumps(issuer.header(alg=alg)))}.{b64(dumps(claims()))}"
    assert refused(f"{signed}.{signature}", issuer.jwk())


def test_key_in_the_header(issuer: Issuer, other_issuer: Issuer) -> None:
    """A token that brings the key it is to be checked with is refused, and that key never used."""
    assert refused(other_issuer.token(jwk=other_issuer.jwk()), issuer.jwk())


def test_signature_of_another_length(issuer: Issuer) -> None:
    """A right signature that is cut or has zeros around it is refused."""
    signed, _, signature = issuer.token().rpartition(".")
    raw = _decode(signature)
    for other in (raw[:-1], raw[1:], b"\0" + raw, raw + b"\0", raw * 2):
        assert refused(f"{signed}.{b64(other)}", issuer.jwk())


def test_signature_plus_modulus(issuer: Issuer) -> None:
    """The same signature written as a larger number of the same remainder is refused."""
    signed, _, signature = issuer.token().rpartition(".")
    larger = int.from_bytes(_decode(signature), "big") + issuer.private.public_key().public_numbers().n
    for width in (256, 257):
        if larger.bit_length() <= width * 8:
            assert refused(f"{signed}.{b64(larger.to_bytes(width, 'big'))}", issuer.jwk())


@pytest.mark.parametrize("algorithm", sorted(SUPPORTED_ALGORITHMS))
def test_every_algorithm_by_choice_only(issuer: Issuer, algorithm: str) -> None:
    """Each supported algorithm verifies its own signatures where it is allowed, and nobody else's."""
    schemes = {
        "RS256": (padding.PKCS1v15(), hashes.SHA256()),
        "RS384": (padding.PKCS1v15(), hashes.SHA384()),
        "RS512": (padding.PKCS1v15(), hashes.SHA512()),
        "PS256": (padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    }
    signed = f"{b64(dumps(issuer.header(alg=algorithm)))}.{b64(dumps(claims()))}"
    for name, (scheme, digest) in schemes.items():
        token = f"{signed}.{b64(issuer.private.sign(signed.encode(), scheme, digest))}"
        if name == algorithm:
            assert verify_jws(token, issuer.jwk(alg=None), algorithms=frozenset({algorithm}))
        else:
            with pytest.raises(InvalidToken):
                verify_jws(token, issuer.jwk(alg=None), algorithms=SUPPORTED_ALGORITHMS)
        assert algorithm == "RS256" or refused(token, issuer.jwk(alg=None))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "RS1"])
def test_no_choice_of_what_is_not_supported(issuer: Issuer, algorithm: str) -> None:
    """An algorithm that is not supported is refused even where it is asked for."""
    with pytest.raises(InvalidToken):
        verify_jws(issuer.token(alg=algorithm), issuer.jwk(alg=None), algorithms=frozenset({algorithm}))


@thorough
@given(st.data())
def test_no_mutation_is_accepted(issuer: Issuer, data: st.DataObject) -> None:
    """No token but the one that was signed is accepted: not one with a byte changed, added, taken away or moved."""
    good = issuer.token().encode()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 3)))
    mutation = data.draw(st.binary(max_size=3) | st.text("AQgw-_.=+/ \n", max_size=3).map(str.encode))
    token = good[:start] + mutation + good[end:]
    assert (token == good) is not refused(token, issuer.jwk())


@thorough
@given(st.binary(max_size=400) | st.text(max_size=400) | st.none() | st.integers() | st.lists(st.text()))
@example("..")
@example(b"e30.e30.e30")
def test_garbage_token(issuer: Issuer, token: Any) -> None:
    """Any garbage of any type in the place of a token is refused by the one error."""
    assert refused(token, issuer.jwk())


@thorough
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_garbage_header(issuer: Issuer, header: bytes, signature: bytes) -> None:
    """Any bytes in well-formed segments are refused by the one error."""
    assert refused(f"{b64(header)}.e30.{b64(signature)}", issuer.jwk())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
HEADER_MEMBERS = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "cty", "x"])


@thorough
@given(st.dictionaries(HEADER_MEMBERS, JSON.map(lambda value: json.loads(json.dumps(value, default=str)))))
def test_any_header_members(issuer: Issuer, changes: dict[str, Any]) -> None:
    """A correctly signed token with any values in its header is accepted or refused, and nothing else happens."""
    token = issuer.sign(json.dumps(issuer.header() | changes).encode(), b"{}")
    harmless = {"alg": "RS256", "kid": "key-1", "typ": changes.get("typ")}
    if not refused(token, issuer.jwk()):
        assert {name: value for name, value in changes.items() if name != "x"}.items() <= harmless.items()


@thorough
@given(JSON)
def test_garbage_key(issuer: Issuer, jwk: Any) -> None:
    """Any value in the place of a key is refused by the one error."""
    assert refused(issuer.token(), jwk)


@thorough
@given(st.dictionaries(st.sampled_from(["kty", "use", "alg", "key_ops", "n", "e"]), JSON, min_size=1))
def test_any_key_members(issuer: Issuer, changes: dict[str, Any]) -> None:
    """A good key with any values in it verifies, or is refused by the one error."""
    if not refused(issuer.token(), issuer.jwk() | changes):
        assert "verify" in changes.get("key_ops", ["verify"])
        assert all(issuer.jwk().get(name) == value for name, value in changes.items() if name != "key_ops")


@thorough
@given(st.integers(0, 2**2048 - 1), st.integers(0, 2**70))
def test_any_numbers(issuer: Issuer, n: int, e: int) -> None:
    """No numbers but the signer's own verify a token, and none of them upset the library underneath."""
    modulus = (n | 2**2047 | 1).to_bytes(256, "big")
    exponent = e.to_bytes((e.bit_length() + 7) // 8, "big")
    assert refused(issuer.token(), issuer.jwk(n=b64(modulus)))
    assert refused(issuer.token(), issuer.jwk(n=b64(modulus), e=b64(exponent)))
    assert e == 65537 or refused(issuer.token(), issuer.jwk(e=b64(exponent)))


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")
