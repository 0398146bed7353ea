"""
Access tokens: from untrusted text to the principal of the token, or a refusal.

Every signature check takes the two steps of `verify_jws`: `compact_jws.read`, then `IssuerKey.verify`. The order of
all checks is that of the lines in `AccessTokens.authenticate` and `claims.check`. The claims of a token whose key is
not cached are checked before the key is fetched, and again after the signature.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from keywright import compact_jws
from keywright.auth import claims as claim_rules
from keywright.auth import rsa_key
from keywright.auth.claims import ClaimRules
from keywright.auth.rsa_key import DEFAULT_ALGORITHMS, SUPPORTED_ALGORITHMS, IssuerKey
from keywright.compact_jws import Jws, MalformedJws
from keywright.service.faults import InvalidToken
from keywright.service.ports import Clock
from keywright.service.principal import OrganizationFormat, PermissionPolicy, Principal

MAX_CACHED_SECONDS = 60
DEFAULT_CAPACITY = 10_000
_TYPES = frozenset({"JWT", "at+jwt", "application/at+jwt"})


def verify_jws(token: bytes | str, jwk: dict[str, Any], *, algorithms: frozenset[str] = DEFAULT_ALGORITHMS) -> bytes:
    """
    Verify the header policy and the signature of a token with one public key.

    Args:
        token: Untrusted input of any type and size.
        jwk: A JSON Web Key (RFC 7517), or anything else.
        algorithms: The accepted values of `alg`; unsupported ones are ignored.

    Returns:
        The payload, exactly as signed. It need not be JSON, and no claim in it is checked.

    Raises:
        InvalidToken: The token or the key is refused. No other exception is raised.
    """
    jws = _read(token, algorithms & SUPPORTED_ALGORITHMS)
    key = rsa_key.read(jwk)
    if key is None:
        raise InvalidToken("The signing key may not be used.")
    return key.verify(jws)


class Keys(Protocol):
    """The port to the issuer's key set; `jwks.KeySet` implements it."""

    @property
    def generation(self) -> int:
        """A number that changes whenever the keys do."""
        ...

    def present(self) -> bool:
        """Return whether there are keys, and they are not too old to be trusted."""
        ...

    def cached(self, kid: str) -> IssuerKey | None:
        """Return the key called *kid* without waiting; None if it is not cached."""
        ...

    async def key(self, kid: str) -> IssuerKey | None:
        """Return the key called *kid*, None if the issuer has none; raise `AuthUnavailable` if that is unknown."""
        ...


class _Entry(NamedTuple):
    principal: Principal
    since: float
    until: float


class VerifiedTokens:
    """
    A bounded cache of verified tokens, by their SHA-256; a full one drops its oldest entry.

    The next request with a cached token needs no RSA operation. Refusals are not cached.

    Args:
        capacity: The most entries, at least 1.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("the capacity of verified tokens must be at least 1")
        self._capacity = capacity
        self._entries: dict[bytes, _Entry] = {}
        self._generation: int | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, token: bytes, *, generation: int, now: float) -> Principal | None:
        """
        Return the principal of *token*, if this generation of the key set verified it at most a minute ago.

        Args:
            token: The whole token.
            generation: The current generation of the key set; a new one empties the cache.
            now: Seconds since the epoch.
        """
        self._use_generation(generation)
        digest = sha256(token).digest()
        entry = self._entries.get(digest)
        if entry is None:
            return None
        # Without the lower bound, a clock that was set back would extend the minute.
        if entry.since <= now < entry.until:
            return entry.principal
        del self._entries[digest]
        return None

    def add(self, token: bytes, principal: Principal, *, generation: int, now: float, expires: float) -> None:
        """
        Cache *token* for at most a minute, and never past *expires*.

        Args:
            token: The whole token.
            principal: The principal of the token.
            generation: The generation of the key set that verified it.
            now: Seconds since the epoch.
            expires: Its `exp`, without leeway.
        """
        self._use_generation(generation)
        until = min(now + MAX_CACHED_SECONDS, expires)
        if until <= now:
            return
        while len(self._entries) >= self._capacity:
            del self._entries[next(iter(self._entries))]
        self._entries[sha256(token).digest()] = _Entry(principal, now, until)

    def _use_generation(self, generation: int) -> None:
        if generation != self._generation:
            self._entries.clear()
            self._generation = generation


class AccessTokens:
    """
    Verifies the access tokens of one issuer for one audience. Implements `service.ports.Authenticator`.

    Args:
        issuer: The exact value of `iss`; Auth0's ends in a slash.
        audience: The API identifier that `aud` must be, or contain.
        key_set: The issuer's signing keys.
        clock: The current time, aware.
        org_claim: The name of the organization claim.
        permissions: How permissions are read from a token.
        org_format: Which organization claims are accepted.
        grantable_claim: The name of the claim with the scopes that a token may give to keys; None for any scope.
        algorithms: The accepted values of `alg`, out of RS256, RS384, RS512 and PS256.
        verified: The cache of verified tokens; without it every request verifies its token.

    Raises:
        ValueError: No algorithm is given, or one that is not supported.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        key_set: Keys,
        clock: Clock,
        org_claim: str = "org_id",
        permissions: PermissionPolicy = PermissionPolicy.AUTO,
        org_format: OrganizationFormat = OrganizationFormat.AUTO,
        grantable_claim: str | None = None,
        algorithms: Iterable[str] = DEFAULT_ALGORITHMS,
        verified: VerifiedTokens | None = None,
    ) -> None:
        self._algorithms = frozenset(algorithms)
        if not self._algorithms or not self._algorithms <= SUPPORTED_ALGORITHMS:
            raise ValueError(f"algorithms: one or more of {', '.join(sorted(SUPPORTED_ALGORITHMS))}")
        self._rules = ClaimRules(
            issuer=issuer,
            audience=audience,
            org_claim=org_claim,
            permissions=permissions,
            org_format=org_format,
            grantable_claim=grantable_claim,
        )
        self._key_set = key_set
        self._clock = clock
        self._verified = verified

    async def authenticate(self, token: str) -> Principal:
        """
        Verify *token*, which is untrusted text of any size.

        Raises:
            InvalidToken: The token is refused.
            OrganizationRequired: The token is good, but names no organization.
            AuthUnavailable: There are no signing keys to verify it with.
        """
        verified = self._find_verified(token)
        if verified is not None:
            return verified
        jws = _read(token, self._algorithms)
        claims = _read_claims(jws)
        claim_rules.check_issuer(claims, self._rules)
        key = self._key_set.cached(jws.kid) or await self._fetched_key(jws.kid, claims)
        key.verify(jws)
        now = self._now()
        principal = claim_rules.check(claims, self._rules, now=now)
        self._add_verified(compact_jws.as_ascii(token), principal, now=now, expires=claims["exp"])
        return principal

    async def _fetched_key(self, kid: str, claims: claim_rules.Claims) -> IssuerKey:
        # Before the fetch: a token that is refused in any case must not cause one.
        claim_rules.check(claims, self._rules, now=self._now())
        key = await self._key_set.key(kid)
        if key is None:
            raise InvalidToken("The token is signed with a key that its issuer does not publish.")
        return key

    def _find_verified(self, token: str) -> Principal | None:
        # When the keys are too old to be trusted, so are the tokens that they verified.
        if self._verified is None or not self._key_set.present():
            return None
        raw = token.encode(errors="surrogatepass")
        return self._verified.find(raw, generation=self._key_set.generation, now=self._now())

    def _add_verified(self, token: bytes, principal: Principal, *, now: float, expires: float) -> None:
        if self._verified is not None:
            generation = self._key_set.generation
            self._verified.add(token, principal, generation=generation, now=now, expires=expires)

    def _now(self) -> float:
        return self._clock().timestamp()


def _read(token: bytes | str, algorithms: frozenset[str]) -> Jws:
    try:
        return compact_jws.read(compact_jws.as_ascii(token), algorithms, _TYPES)
    except MalformedJws as flaw:
        raise InvalidToken(str(flaw)) from None


def _read_claims(jws: Jws) -> dict[str, Any]:
    try:
        return compact_jws.read_json(jws.payload, "payload")
    except MalformedJws as flaw:
        raise InvalidToken(str(flaw)) from None
