"""
ID tokens: OpenID Connect Core 1.0, section 3.1.3.7, for the authorization code flow.

Read as strictly as access tokens, by the same reader and the same signature check. An ID token says who signed in; it
opens nothing.
"""

from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from keywright import compact_jws
from keywright.auth import claims as claim_rules
from keywright.auth.access_token import Keys
from keywright.auth.rsa_key import DEFAULT_ALGORITHMS
from keywright.compact_jws import MalformedJws
from keywright.service.faults import InvalidToken
from keywright.service.ports import Clock

_TYPES = frozenset({"JWT"})
_SHA256_HALF = 16


class IdTokens:
    """
    Verifies the ID tokens of one issuer for one client.

    Args:
        issuer: The exact value of `iss`.
        client_id: The client, which must be the audience.
        key_set: The issuer's signing keys.
        clock: The current time, aware.
    """

    def __init__(self, *, issuer: str, client_id: str, key_set: Keys, clock: Clock) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._key_set = key_set
        self._clock = clock

    async def verify(self, token: object, *, nonce: str, access_token: str) -> dict[str, Any]:
        """
        Verify an ID token.

        Args:
            token: Untrusted: a member of a JSON object.
            nonce: That of the request; the token must repeat it.
            access_token: The access token of the same answer, for `at_hash`.

        Returns:
            The claims; `sub` is a name of 1 to 255 characters.

        Raises:
            InvalidToken: The token is refused.
            AuthUnavailable: There are no signing keys to verify it with.
        """
        try:
            jws = compact_jws.read(compact_jws.as_ascii(token), DEFAULT_ALGORITHMS, _TYPES)  # type: ignore[arg-type]
            claims = compact_jws.read_json(jws.payload, "payload")
        except MalformedJws as flaw:
            raise InvalidToken(str(flaw)) from None
        if claims.get("iss") != self._issuer:
            raise InvalidToken("The ID token is from another issuer.")
        key = await self._key_set.key(jws.kid)
        if key is None:
            raise InvalidToken("The ID token is signed with a key that its issuer does not publish.")
        key.verify(jws)
        self._check(claims, nonce, access_token)
        return claims

    def _check(self, claims: dict[str, Any], nonce: str, access_token: str) -> None:
        claim_rules.check_audience(claims.get("aud"), self._client_id)
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") is None:
            raise InvalidToken("The ID token has several audiences and names no authorized party.")
        if claims.get("azp", self._client_id) != self._client_id:
            raise InvalidToken("The ID token was issued to another client.")
        claim_rules.check_times(claims, self._clock().timestamp())
        if not _same(claims.get("nonce"), nonce):
            raise InvalidToken("The ID token belongs to another sign-in.")
        if "at_hash" in claims and not _same(claims["at_hash"], _half_hash(access_token)):
            raise InvalidToken("The ID token belongs to another access token.")
        if not claim_rules.is_name(claims.get("sub")):
            raise InvalidToken("The sub claim of the ID token is missing or malformed.")


def _same(claimed: object, expected: str) -> bool:
    return isinstance(claimed, str) and compare_digest(claimed.encode("utf-8", "surrogatepass"), expected.encode())


def _half_hash(access_token: str) -> str:
    half = sha256(access_token.encode()).digest()[:_SHA256_HALF]
    return urlsafe_b64encode(half).rstrip(b"=").decode()
