"""
Signing keys of an issuer: RSA public keys, read from JWKs (RFC 7517, RFC 7518 section 6.3). They verify signatures.

No other module checks a token's signature. A key is parsed once, not once for every token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from keywright.compact_jws import Jws, decode_base64url
from keywright.service.faults import InvalidToken

MIN_BITS = 2048
MAX_BITS = 8192
_LONGEST_MODULUS = (MAX_BITS // 8 * 4 + 2) // 3
# Real exponents are 65537 and 3; a long one makes every verification as slow as signing.
_MAX_EXPONENT_BITS = 64
_LONGEST_EXPONENT = 11

DEFAULT_ALGORITHMS = frozenset({"RS256"})

_SCHEMES: Mapping[str, tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]] = {
    "RS256": (padding.PKCS1v15(), hashes.SHA256()),
    "RS384": (padding.PKCS1v15(), hashes.SHA384()),
    "RS512": (padding.PKCS1v15(), hashes.SHA512()),
    "PS256": (padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size), hashes.SHA256()),
}
SUPPORTED_ALGORITHMS = frozenset(_SCHEMES)


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A parsed public key; `kid` and `algorithm` are None if its JWK has no such member."""

    kid: str | None
    algorithm: str | None
    public: RSAPublicKey

    def verify(self, jws: Jws) -> bytes:
        """
        Verify the signature of a token.

        Returns:
            The payload, exactly as signed.

        Raises:
            InvalidToken: The signature is wrong, or the token names another key or algorithm.
        """
        if self.kid not in (None, jws.kid) or self.algorithm not in (None, jws.algorithm):
            raise InvalidToken("The token names another signing key or algorithm than the key does.")
        scheme, digest = _SCHEMES[jws.algorithm]
        try:
            self.public.verify(jws.signature, jws.signing_input, scheme, digest)
        except InvalidSignature:
            raise InvalidToken("The signature of the token is wrong.") from None
        return jws.payload


def read(jwk: object) -> IssuerKey | None:
    """
    Parse the key of a JWK.

    Args:
        jwk: Untrusted input, such as a member of a key set.

    Returns:
        The key; None unless it is an RSA key of 2048 to 8192 bits for verifying signatures with a supported
        algorithm.
    """
    if not isinstance(jwk, dict) or jwk.get("kty") != "RSA" or not _is_for_verifying(jwk):
        return None
    if not all(isinstance(jwk[name], str) for name in ("kid", "alg") if name in jwk):
        return None
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    public = _public_key(jwk.get("n"), jwk.get("e"))
    if public is None or not (algorithm is None or algorithm in SUPPORTED_ALGORITHMS):
        return None
    return IssuerKey(kid, algorithm, public)


def _is_for_verifying(jwk: dict[Any, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _public_key(modulus: object, exponent: object) -> RSAPublicKey | None:
    n, e = _read_integer(modulus, _LONGEST_MODULUS), _read_integer(exponent, _LONGEST_EXPONENT)
    if n is None or e is None or not MIN_BITS <= n.bit_length() <= MAX_BITS or e.bit_length() > _MAX_EXPONENT_BITS:
        return None
    # An even modulus or exponent is no RSA key, and libraries fail on it in different ways.
    if n % 2 == 0 or e % 2 == 0 or e < 3:
        return None
    try:
        return RSAPublicNumbers(e, n).public_key()
    except ValueError:
        return None


def _read_integer(text: object, longest: int) -> int | None:
    """Read a Base64urlUInt (RFC 7518, section 2): base64url, big-endian, as few bytes as possible."""
    if not isinstance(text, str) or len(text) > longest or not text.isascii():
        return None
    raw = decode_base64url(text.encode("ascii"))
    return None if not raw or raw[0] == 0 else int.from_bytes(raw, "big")
