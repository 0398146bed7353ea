"""Verdicts, and the callers that they are for."""

from typing import NamedTuple

from keywright.keys.rate_limiter import RateLimitDecision
from keywright.keys.usage import UsageSource
from keywright.keys.verdict import Code, KeyFacts
from keywright.service.verifiers import Verifier


class Caller(NamedTuple):
    """
    The caller that a verdict is for.

    `org_id` is the one organization whose keys it may learn of, 16 bytes; None for a verifier, which checks all keys.
    """

    name: str
    verifier: Verifier | None
    org_id: bytes | None


class KeyVerdict(NamedTuple):
    """
    The verdict on a presented key.

    `stale` where it comes from the cache because the database is unavailable. `rate_limits` is the decision on the
    key's limits, where they were counted.
    """

    code: Code
    facts: KeyFacts | None
    digest: bytes | None
    stale: bool = False
    rate_limits: RateLimitDecision | None = None


class RepeatableVerdict(NamedTuple):
    """
    A verdict from the cache, for callers that repeat a request; made by `Checker.cacheable`.

    It is valid for the same caller and the same requirements while the cache holds these facts of the key, from `since`
    until `until`, in seconds since the epoch. `source` is where its uses are added up; None for a refusal. The rate
    limits are not in it: they are counted anew, `cost` units each time.
    """

    caller: Caller
    verdict: KeyVerdict
    facts: KeyFacts
    digest: bytes
    cost: int
    since: float
    until: float
    source: UsageSource | None
