"""The verdict on a presented key. Cheap to make, because almost every request makes one."""

from datetime import UTC, datetime
from math import isinf
from typing import NamedTuple
from uuid import UUID

from keywright.keys.rate_limiter import LimitState
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import Code, Explanation, KeyFacts


class KeyInfo:
    """A key whose secret was presented, as far as an API server may know it. Does not change."""

    # Members are made when they are read: two UUIDs cost more than the whole check.
    __slots__ = ("_facts",)

    def __init__(self, facts: KeyFacts) -> None:
        self._facts = facts

    @property
    def id(self) -> UUID:
        """Names the key, for logs and for the management API."""
        return UUID(bytes=self._facts.id)

    @property
    def org_id(self) -> UUID:
        """Names the organization that the key belongs to."""
        return UUID(bytes=self._facts.org_id)

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self._facts.name

    @property
    def environment(self) -> str:
        """Such as `live` or `sandbox`."""
        return self._facts.environment

    @property
    def scopes(self) -> tuple[str, ...]:
        """What the key may do."""
        return self._facts.scopes

    @property
    def expires_at(self) -> datetime | None:
        """When it stops working, aware; None for a key that does not expire."""
        at = self._facts.expires_at
        return None if isinf(at) else datetime.fromtimestamp(at, UTC)

    @property
    def rate_limits(self) -> tuple[RateLimit, ...]:
        """How often it may be used."""
        return self._facts.rate_limits

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeyInfo):
            return NotImplemented
        return self._facts == other._facts

    def __hash__(self) -> int:
        return hash(self._facts)

    def __repr__(self) -> str:
        return f"KeyInfo(id={self.id}, org_id={self.org_id}, name={self.name!r}, environment={self.environment!r})"


class Verdict(NamedTuple):
    """
    The decision on a presented key. True in a condition when the key may be used, and only then.

    `key` is given as soon as the secret matched, so for a revoked or expired key too; None for an unknown one.
    `stale` is true in an outage: the verdict comes from a cache that may be as old as the outage.
    `explanation` is there with `explain`, when a rule refused. `limits` has the state of the key's rate limits,
    empty for a key without any and for one that was refused for another reason. `retry_after_seconds` comes with
    `rate_limited`: whole seconds after which the same request may pass, None where its cost never can.
    """

    code: Code
    key: KeyInfo | None = None
    stale: bool = False
    explanation: Explanation | None = None
    limits: tuple[LimitState, ...] = ()
    retry_after_seconds: int | None = None

    @property
    def valid(self) -> bool:
        """Whether the key may be used."""
        return self.code is Code.VALID

    def __bool__(self) -> bool:
        return self.code is Code.VALID


NOT_FOUND = Verdict(Code.NOT_FOUND)
