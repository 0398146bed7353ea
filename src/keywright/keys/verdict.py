"""
The verdict on a presented key: one pure decision, the same on the server and in the callers' own processes.

Nothing about a key is told before its secret matched: a text that is malformed, unknown or wrong is one answer,
`not_found`. After that the order is fixed, and the first rule that refuses is the verdict: revoked, expired, wrong
environment, insufficient scope, address not allowed, rate limited.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import NamedTuple

from keywright.keys.addresses import is_allowed
from keywright.keys.rate_limits import RateLimit
from keywright.keys.scopes import are_granted, missing


class Code(StrEnum):
    """What was decided. The words never change."""

    VALID = "valid"
    NOT_FOUND = "not_found"
    REVOKED = "revoked"
    EXPIRED = "expired"
    WRONG_ENVIRONMENT = "wrong_environment"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    IP_NOT_ALLOWED = "ip_not_allowed"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """
    What a verdict needs to know of a key; small, because a process may hold a million of them.

    `id` and `org_id` are the 16 bytes of a UUID. `expires_at` is in seconds since the epoch, infinite for a key that
    does not expire, and `retires_at` is the same for the secret that was presented, which a rotation may have replaced.
    `scopes` is what the key may do; a key that was given none may do nothing that asks for one. `allowed_ips` are
    networks in canonical form, none for any. `rate_limits` are for whoever counts: no verdict here depends on them.
    """

    id: bytes
    org_id: bytes
    name: str
    environment: str
    expires_at: float = inf
    revoked: bool = False
    scopes: tuple[str, ...] = ()
    retires_at: float = inf
    allowed_ips: tuple[str, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """
    What a request asks of the key that it presents: an environment, scopes. Nothing, unless told.

    `client_ip` is where the request came from, as far as it is known; any text at all.
    """

    environment: str | None = None
    scopes: tuple[str, ...] = ()
    client_ip: str | None = None


NO_REQUIREMENTS = Requirements()


class Explanation(NamedTuple):
    """Which rule refused, and what would pass; sentences for the developer of an API server."""

    rule: str
    would_pass: str


def judge(facts: KeyFacts | None, requirements: Requirements, now: float) -> Code:
    """
    Decide.

    Args:
        facts: What is known of the key whose secret was presented; None when there is no such key.
        ask: What the request asks of it.
        now: Seconds since the epoch.
    """
    if facts is None:
        return Code.NOT_FOUND
    if facts.revoked:
        return Code.REVOKED
    if facts.expires_at <= now or facts.retires_at <= now:
        return Code.EXPIRED
    # By far the most common request asks for nothing.
    if requirements is not NO_REQUIREMENTS:
        if requirements.environment is not None and requirements.environment != facts.environment:
            return Code.WRONG_ENVIRONMENT
        if requirements.scopes and not are_granted(facts.scopes, requirements.scopes):
            return Code.INSUFFICIENT_SCOPE
    if facts.allowed_ips and not is_allowed(requirements.client_ip, facts.allowed_ips):
        return Code.IP_NOT_ALLOWED
    return Code.VALID


def explain(code: Code, facts: KeyFacts | None, requirements: Requirements, now: float) -> Explanation | None:
    """
    Say which rule refused and what would pass; None for a key that passed and for one that is not known.

    Args:
        code: What was decided.
        facts: Of which key.
        ask: What was asked of it.
        now: When, in seconds since the epoch.
    """
    if facts is None or code is Code.VALID:
        return None
    if code is Code.EXPIRED and facts.expires_at > now:
        return Explanation("The secret was replaced by a rotation.", "The key's new secret.")
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
    Code.EXPIRED: Explanation("The key has expired.", "Another key, or this one with a later expiry."),
    Code.RATE_LIMITED: Explanation("A rate limit of the key is spent.", "The same again a little later."),
}
