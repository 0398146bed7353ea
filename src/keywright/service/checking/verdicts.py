"""Verdicts, and the callers that they are for."""

from typing import NamedTuple

from keywright.keys.rate_limiter import RateLimitDecision
from keywright.keys.verdict import Code, KeyFacts
from keywright.service.verifiers import Verifier


class Caller(NamedTuple):
    """
    The caller that a verdict is for.

    `org_id`, 16 bytes, is the only organization whose keys the caller may check; None for a verifier, which checks all.
    """

    name: str
    verifier: Verifier | None
    org_id: bytes | None

    @property
    def share(self) -> bytes | str:
        """The share of the caller in what all callers use: that of its organization, or its own as a verifier."""
        return self.org_id or self.name


class KeyVerdict(NamedTuple):
    """
    The verdict on a presented key.

    `stale` is true where the facts come from the cache because the database is unavailable. `rate_limits` is the
    decision on the key's limits, None where they were not counted.
    """

    code: Code
    facts: KeyFacts | None
    digest: bytes | None
    stale: bool = False
    rate_limits: RateLimitDecision | None = None


NOT_FOUND = KeyVerdict(Code.NOT_FOUND, None, None)
"""The verdict on a text that is no key's secret."""


def limited(verdict: KeyVerdict, decision: RateLimitDecision) -> KeyVerdict:
    """Give the verdict on a valid key after the decision of the rate limiter."""
    code = verdict.code if decision.allowed else Code.RATE_LIMITED
    return _new(KeyVerdict, (code, verdict.facts, verdict.digest, verdict.stale, decision))


def visible_to(caller: Caller, verdict: KeyVerdict) -> KeyVerdict:
    """Hide another organization's key from a caller that is limited to its own."""
    if caller.org_id is None or verdict.facts is None or verdict.facts.org_id == caller.org_id:
        return verdict
    return KeyVerdict(Code.NOT_FOUND, None, None, verdict.stale)


# What the constructor of a named tuple calls, in a third of the time.
_new = tuple.__new__
