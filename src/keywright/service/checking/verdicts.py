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
