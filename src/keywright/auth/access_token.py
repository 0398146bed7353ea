"""
Access tokens: from any text to the principal that it names, or a refusal.

Every signature check goes the way of `verify_jws`: `compact_jws.read`, then `SigningKey.verify`. The order of all
checks is the order of the lines in `AccessTokens.authenticate` and `claims.check`. A token that was verified a moment
ago is found by its SHA-256 in `VerifiedTokens`, so that the next request with it costs no RSA.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from keywright import compact_jws
from keywright.auth import claims as claim_rules
from keywright.auth import rsa_key
from keywright.auth.claims import ClaimRules
from keywright.auth.rsa_key import DEFAULT_ALGORITHMS, SUPPORTED_ALGORITHMS, SigningKey
from keywright.compact_jws import Jws, MalformedJws
from keywright.service.faults import InvalidToken
from keywright.service.ports import Clock
from keywright.service.principal import PermissionPolicy, Principal

MAX_CACHED_SECONDS = 60
DEFAULT_CAPACITY = 10_000
_TYPES = frozenset({"JWT", "at+jwt", "application/at+jwt"})


def verify_jws(token: bytes | str, jwk: dict[str, Any], *, algorithms: frozenset[str] = DEFAULT_ALGORITHMS) -> bytes:
    """
    Check a token against one public key: all that can be decided from the two alone, the signature included.

    Args:
        token: Anything at all, of any type, size and maker.
        jwk: A JSON Web Key (RFC 7517), or anything else.
        algorithms: The values of `alg` to accept, as far as they are supported.

    Returns:
        The payload, exactly as signed. It need not be JSON, and no claim in it is checked.

    Raises:
        InvalidToken: Whatever is wrong with either. Nothing else is ever raised.
    """
    jws = _read(_as_ascii(token), algorithms & SUPPORTED_ALGORITHMS)
    key = rsa_key.read(jwk)
    if key is None:
        raise InvalidToken("The signing key is not one that may be used.")
    return key.verify(jws)


class Keys(Protocol):
    """What is asked of the issuer's key set; `jwks.KeySet` is the real one."""

    @property
    def generation(self) -> int:
        """A number that changes whenever the keys do."""
        ...

    def present(self) -> bool:
        """Tell whether there are keys that may be trusted now."""
        ...

    async def key(self, kid: str) -> SigningKey | None:
        """Give the key called *kid*, None when the issuer has none; raise `AuthUnavailable` when it cannot be told."""
        ...


class _Entry(NamedTuple):
    principal: Principal
    since: float
    until: float


class VerifiedTokens:
    """
    A bounded cache of verified tokens; the oldest is removed first.

    An entry lives at most 60 s, and never longer than the generation of the key set that verified it.

    Args:
        capacity: The most entries, at least 1.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("a memory of verified tokens holds at least one")
        self._capacity = capacity
        self._entries: dict[bytes, _Entry] = {}
        self._generation: int | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, token: bytes, *, generation: int, now: float) -> Principal | None:
        """
        Give the principal of *token* if this generation of the key set verified it less than 60 s ago.

        Args:
            token: The whole token.
            generation: That of the current key set; another one than before empties the cache.
            now: Seconds since the epoch.
        """
        self._follow(generation)
        digest = sha256(token).digest()
        entry = self._entries.get(digest)
        if entry is None:
            return None
        # A clock that was set back would otherwise stretch the time.
        if entry.since <= now < entry.until:
            return entry.principal
        del self._entries[digest]
        return None

    def add(self, token: bytes, principal: Principal, *, generation: int, now: float, expires: float) -> None:
        """
        Add a verified token, for at most 60 s and never past *expires*.

        Args:
            token: The whole token.
            principal: The one that it names.
            generation: The key set that verified it.
            now: Seconds since the epoch.
            expires: Its `exp`, without leeway.
        """
        self._follow(generation)
        until = min(now + MAX_CACHED_SECONDS, expires)
        if until <= now:
            return
        while len(self._entries) >= self._capacity:
            del self._entries[next(iter(self._entries))]
        self._entries[sha256(token).digest()] = _Entry(principal, now, until)

    def _follow(self, generation: int) -> None:
        if generation != self._generation:
            self._entries.clear()
            self._generation = generation


class AccessTokens:
    """
    Verifies the access tokens of one issuer for one audience. Implements `service.ports.Authenticator`.

    Args:
        issuer: What `iss` must be, byte for byte; Auth0's ends in a slash.
        audience: The API identifier that `aud` must be, or contain.
        key_set: The issuer's signing keys.
        clock: Tells the time.
        org_claim: The name of the claim that names the organisation.
        permissions: How permissions are read from a token.
        algorithms: The values of `alg` to accept, out of RS256, RS384, RS512 and PS256.
        verified: The cache of verified tokens; without it every token is verified every time.

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
        algorithms: Iterable[str] = DEFAULT_ALGORITHMS,
        verified: VerifiedTokens | None = None,
    ) -> None:
        self._algorithms = frozenset(algorithms)
        if not self._algorithms or not self._algorithms <= SUPPORTED_ALGORITHMS:
            raise ValueError(f"algorithms: one or more of {', '.join(sorted(SUPPORTED_ALGORITHMS))}")
        self._rules = ClaimRules(issuer=issuer, audience=audience, org_claim=org_claim, permissions=permissions)
        self._key_set = key_set
        self._clock = clock
        self._verified = verified

    async def authenticate(self, token: str) -> Principal:
        """
        Check *token*, which may be anything at all.

        Raises:
            InvalidToken: It cannot be trusted.
            OrganizationRequired: It names no organisation.
            AuthUnavailable: There are no signing keys to check it with.
        """
        cached = self._cached(token)
        if cached is not None:
            return cached
        raw = _as_ascii(token)
        jws = _read(raw, self._algorithms)
        claims = _read_claims(jws)
        # Before the key is asked for, which may mean asking the issuer for it.
        claim_rules.check_issuer(claims, self._rules)
        key = await self._key_set.key(jws.kid)
        if key is None:
            raise InvalidToken("The token is signed with a key that its issuer does not publish.")
        key.verify(jws)
        now = self._now()
        principal = claim_rules.check(claims, self._rules, now=now)
        self._add_to_cache(raw, principal, now=now, expires=claims["exp"])
        return principal

    def _cached(self, token: str) -> Principal | None:
        # Without keys that may be trusted, what they verified is not trusted either.
        if self._verified is None or not self._key_set.present():
            return None
        raw = token.encode(errors="surrogatepass")
        return self._verified.find(raw, generation=self._key_set.generation, now=self._now())

    def _add_to_cache(self, token: bytes, principal: Principal, *, now: float, expires: float) -> None:
        if self._verified is not None:
            generation = self._key_set.generation
            self._verified.add(token, principal, generation=generation, now=now, expires=expires)

    def _now(self) -> float:
        return self._clock().timestamp()


def _as_ascii(token: bytes | str) -> bytes:
    try:
        return compact_jws.as_ascii(token)
    except MalformedJws as flaw:
        raise InvalidToken(str(flaw)) from None


def _read(token: bytes, algorithms: frozenset[str]) -> Jws:
    try:
        return compact_jws.read(token, algorithms, _TYPES)
    except MalformedJws as flaw:
        raise InvalidToken(str(flaw)) from None


def _read_claims(jws: Jws) -> dict[str, Any]:
    try:
        return compact_jws.read_json(jws.payload, "payload")
    except MalformedJws as flaw:
        raise InvalidToken(str(flaw)) from None
