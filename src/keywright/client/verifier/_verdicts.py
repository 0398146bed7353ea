"""The verdict on a presented key. Cheap to make, because most requests make one."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from keywright.keys.rate_limiter import LimitState
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import Code, Explanation, KeyFacts


class KeyInfo:
    """The API key of a presented secret, as API servers see it. Immutable."""

    # Attributes are made when they are read: two UUIDs cost more than the whole check.
    __slots__ = ("_facts",)

    def __init__(self, facts: KeyFacts) -> None:
        self._facts = facts

    @property
    def id(self) -> UUID:
        """The id of the key, for logs and for the management API."""
        return UUID(bytes=self._facts.id)

    @property
    def org_id(self) -> UUID:
        """The id of the organization that the key belongs to."""
        return UUID(bytes=self._facts.org_id)

    @property
    def name(self) -> str:
        """The name that its owner gave it."""
        return self._facts.name

    @property
    def environment(self) -> str:
        """The environment, such as `live` or `sandbox`."""
        return self._facts.environment

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that the key was granted."""
        return self._facts.scopes

    @property
    def expires_at(self) -> datetime | None:
        """When it stops working, aware; None for a key that does not expire."""
        return self._facts.expiry

    @property
    def external_id(self) -> str | None:
        """The id of the key's owner in your own records; None for a key without one."""
        return self._facts.external_id

    @property
    def org_external_id(self) -> str | None:
        """The organization's id in access tokens; None from a service that does not tell it yet."""
        return self._facts.org_external_id

    @property
    def created_by(self) -> str | None:
        """The subject of the token that created the key; None from a service that does not tell it yet."""
        return self._facts.created_by

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """
        The metadata of the key, read anew each time; None for long metadata that the request did not include.

        Call `verify` with `metadata=True` to have it always.
        """
        text = self._facts.metadata
        return None if text is None else cast("dict[str, Any]", json.loads(text))

    @property
    def rate_limits(self) -> tuple[RateLimit, ...]:
        """The rate limits of the key; empty for none."""
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

    `key` is given when the secret matched, also for a revoked or expired key; None for an unknown one. `stale` is true
    in an outage: the verdict comes from a cache that may be as old as the outage. `explanation` is given with
    `explain`, when a rule refused. `limits` has the states of the key's rate limits; it is empty for a key without
    limits and for one that was refused for another reason. `retry_after_seconds` is for `rate_limited`: whole seconds
    until the same request can pass, None where its cost never can.
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
