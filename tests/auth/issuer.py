"""An issuer for tests: it signs any input, well-formed or not."""

import json
from base64 import urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://acme.eu.auth0.com/"
AUDIENCE = "https://keys.acme.example"
NOW = 1_750_000_000


def b64(raw: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def b64_integer(value: int) -> str:
    """Base64urlUInt of RFC 7518."""
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def dumps(value: object) -> bytes:
    """Compact JSON in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def claims(**changes: Any) -> dict[str, Any]:
    """The payload of a real Auth0 access token for an API with RBAC, changed; None takes a claim out."""
    payload = {
        "iss": ISSUER,
        "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
        "aud": [AUDIENCE, "https://acme.eu.auth0.com/userinfo"],
        "iat": NOW - 100,
        "exp": NOW + 86_300,
        "scope": "openid profile email",
        "org_id": "org_9ybsU1dN2dKfDkBi",
        "azp": "my_client_id_123",
        "permissions": ["create:api_keys", "read:api_keys"],
    }
    return {name: value for name, value in (payload | changes).items() if value is not None}


class Issuer:
    """A signing key and its name."""

    def __init__(self, kid: str, *, bits: int = 2048, exponent: int = 65537) -> None:
        self.kid = kid
        self.private = rsa.generate_private_key(exponent, bits)

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key as Auth0 publishes it, changed; None takes a member out."""
        numbers = self.private.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": b64_integer(numbers.n),
            "e": b64_integer(numbers.e),
        }
        return {name: value for name, value in (key | changes).items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        """The header of a real Auth0 token, changed; None takes a member out."""
        header = {"alg": "RS256", "typ": "JWT", "kid": self.kid}
        return {name: value for name, value in (header | changes).items() if value is not None}

    def token(self, payload: dict[str, Any] | None = None, **header: Any) -> str:
        """A token over claims, with a changed header."""
        return self.sign(dumps(self.header(**header)), dumps(claims() if payload is None else payload))

    def sign(self, header: bytes, payload: bytes) -> str:
        """A token over any bytes, correctly signed."""
        return self.sign_segments(b64(header), b64(payload))

    def sign_segments(self, header: str, payload: str) -> str:
        """A token over any segments, correctly signed."""
        signed = f"{header}.{payload}"
        signature = self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{b64(signature)}"
