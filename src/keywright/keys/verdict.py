"""
The verdict on a presented key: one pure decision, the same in the service and in in-process verifiers.

A caller without the secret learns nothing: a malformed, unknown or wrong text is always `not_found`. After that the
order is fixed, and the first rule that refuses is the verdict: replaced, revoked, disabled, expired, wrong environment,
insufficient scope, address not allowed, rate limited. The end of a secret comes first: no later change of the key is
announced for it. Of the states of a key, the final one comes before those that can be undone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from math import inf, nextafter
from typing import Any, NamedTuple, Protocol

from keywright.keys.addresses import Networks, lies_in, network_texts, packed
from keywright.keys.rate_limits import RateLimit
from keywright.keys.scopes import are_granted, missing


class Code(StrEnum):
    """The code of a verdict, as the HTTP API and the SDK have it. The values never change."""

    VALID = "valid"
    NOT_FOUND = "not_found"
    REVOKED = "revoked"
    DISABLED = "disabled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    WRONG_ENVIRONMENT = "wrong_environment"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    IP_NOT_ALLOWED = "ip_not_allowed"
    RATE_LIMITED = "rate_limited"


NO_METADATA = "{}"
"""The metadata of a key without any."""

LONGEST_HELD_METADATA = 512
"""The most characters of metadata, as compact JSON, that the facts of a key contain."""


# A float has no number for the last microseconds of the year 9999, and the next one is beyond all dates.
_LATEST = nextafter(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() + 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """
    The facts of a key that a verdict depends on or tells; small, because a process may cache a million of them.

    `id` and `org_id` are the 16 bytes of a UUID. `expires_at` is in seconds since the epoch, infinite for a key that
    does not expire; `retires_at` is the same for the presented secret, which a rotation may have replaced. A key
    without `scopes` is refused wherever a scope is required. `networks` are those of `addresses.read_networks`; an
    empty tuple allows any address. `rate_limits` are for the rate limiter: `judge` does not read them, nor what
    follows.

    `external_id` is the key's, `org_external_id` the id that the issuer gave the organization, `created_by` the subject
    of the token that created the key. `metadata` is a JSON object as compact text; None where it is longer than
    `LONGEST_HELD_METADATA`, so that it has to be read from the database.

    `until` is the end of the key, in seconds since the epoch: minus infinity for one that is revoked or disabled.

    The last members are made once in each process, when it caches the facts, so that no request makes them again:
    `weight` is the memory of all, in units of `cache.WEIGHT_BYTES`; `body` and `body_end` are the key in the answer of
    `/verify`, `headers` the headers of the answer of forward authentication, empty before they are written. `keep` sets
    them. Facts that differ in nothing else are equal.
    """

    id: bytes
    org_id: bytes
    name: str
    environment: str
    expires_at: float = inf
    revoked: bool = False
    disabled: bool = False
    scopes: tuple[str, ...] = ()
    retires_at: float = inf
    networks: Networks = ()
    rate_limits: tuple[RateLimit, ...] = ()
    external_id: str | None = None
    org_external_id: str | None = None
    created_by: str | None = None
    metadata: str | None = NO_METADATA
    weight: int = field(default=1, compare=False, repr=False)
    until: float = field(init=False, compare=False, repr=False)
    body: bytes = field(default=b"", init=False, compare=False, repr=False)
    body_end: bytes = field(default=b"", init=False, compare=False, repr=False)
    headers: bytes = field(default=b"", init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        ends = -inf if self.revoked or self.disabled else min(self.expires_at, self.retires_at)
        object.__setattr__(self, "until", ends)

    def keep(self, **made: Any) -> None:
        """Set what the process has made of these facts: any of `weight`, `body`, `body_end`, `headers`."""
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def allowed_ips(self) -> tuple[str, ...]:
        """The networks in canonical form, written anew each time."""
        return network_texts(self.networks)

    @property
    def expiry(self) -> datetime | None:
        """`expires_at` as a time in UTC; None for a key that does not expire."""
        return None if self.expires_at == inf else datetime.fromtimestamp(min(self.expires_at, _LATEST), UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """
    The requirements of a request for the key that it presents: an environment, scopes. By default none.

    `client_ip` is the address of the request, None where it is unknown; any text at all.
    """

    environment: str | None = None
    scopes: tuple[str, ...] = ()
    client_ip: str | None = None


NO_REQUIREMENTS = Requirements()


class Explanation(NamedTuple):
    """The rule that refused, and a key that would pass; sentences for the developer of an API server."""

    reason: str
    would_pass: str


def judge(facts: KeyFacts | None, requirements: Requirements, now: float) -> Code:
    """
    Decide on a key by all rules but its rate limits.

    Args:
        facts: The facts of the key with the presented secret; None when there is no such key.
        requirements: What the request requires of the key.
        now: Seconds since the epoch.
    """
    if facts is None:
        return Code.NOT_FOUND
    # No change of a key announces a secret that has ended, so its verdict depends on nothing else.
    if facts.retires_at <= now:
        return Code.REPLACED
    if facts.revoked:
        return Code.REVOKED
    if facts.disabled:
        return Code.DISABLED
    if facts.expires_at <= now:
        return Code.EXPIRED
    # By far the most requests require nothing.
    if requirements is not NO_REQUIREMENTS:
        if requirements.environment is not None and requirements.environment != facts.environment:
            return Code.WRONG_ENVIRONMENT
        if requirements.scopes and not are_granted(facts.scopes, requirements.scopes):
            return Code.INSUFFICIENT_SCOPE
    if facts.networks and not lies_in(packed(requirements.client_ip), facts.networks):
        return Code.IP_NOT_ALLOWED
    return Code.VALID


class ComparedFacts(Protocol):
    """What `passes` compares: `KeyFacts`, or a copy of these members."""

    @property
    def until(self) -> float: ...
    @property
    def environment(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def networks(self) -> Networks: ...


def passes(facts: ComparedFacts, scopes: Sequence[str], environment: str | None, address: int, now: float) -> bool:
    """
    Tell whether `judge` gives `valid`, from numbers instead of objects: for each request about a cached key.

    Args:
        facts: The facts of the key.
        scopes: The scopes that the request requires.
        environment: The environment that it requires; None for any.
        address: Its address, of `addresses.packed`.
        now: Seconds since the epoch.
    """
    if facts.until <= now or (environment is not None and environment != facts.environment):
        return False
    granted = facts.scopes
    for scope in scopes:
        if scope not in granted and not are_granted(granted, (scope,)):
            return False
    return not facts.networks or lies_in(address, facts.networks)


def explain(code: Code, facts: KeyFacts | None, requirements: Requirements) -> Explanation | None:
    """
    Explain a refusal; None for a key that passed and for an unknown one.

    Args:
        code: The code that `judge` gave.
        facts: The facts of the key.
        requirements: What the request required of it.
    """
    if facts is None or code is Code.VALID:
        return None
    if code is Code.WRONG_ENVIRONMENT:
        return Explanation(
            f"The key belongs to the environment {facts.environment}.",
            f"A key of the environment {requirements.environment}.",
        )
    if code is Code.INSUFFICIENT_SCOPE:
        lacking = ", ".join(missing(facts.scopes, requirements.scopes))
        return Explanation(f"The key lacks: {lacking}.", f"A key with the scopes {', '.join(requirements.scopes)}.")
    if code is Code.IP_NOT_ALLOWED:
        came_from = "from an address that is not known" if requirements.client_ip is None else "from another address"
        return Explanation(f"The request came {came_from}.", f"One from {', '.join(facts.allowed_ips)}.")
    return _ALWAYS[code]


_ALWAYS = {
    Code.REVOKED: Explanation("The key was revoked.", "Another key; a revoked one never works again."),
    Code.DISABLED: Explanation("The key is disabled.", "The same key, once it is enabled."),
    Code.REPLACED: Explanation("The secret was replaced by a rotation.", "The key's new secret."),
    Code.EXPIRED: Explanation("The key has expired.", "Another key, or this one with a later expiry."),
    Code.RATE_LIMITED: Explanation("A rate limit of the key is spent.", "The same again a little later."),
}
