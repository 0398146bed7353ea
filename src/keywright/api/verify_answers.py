"""What a verification is answered: a verdict, as JSON."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil, isinf
from typing import Any
from uuid import UUID

from keywright.keys.rate_limits import RateLimit
from keywright.keys.spending import RateLimitDecision
from keywright.keys.verdict import Code, Explanation, KeyFacts
from keywright.service.failures import ALLOWED, PER_SECONDS
from keywright.service.verification import Verdict

# When one more failure of an address is let through again.
_FAILURE_RETRY_SECONDS = ceil(PER_SECONDS / ALLOWED)
_NOT_FOUND = b'{"valid":false,"code":"not_found","api_key":null}'
_TOO_OFTEN = b'{"valid":false,"code":"rate_limited","api_key":null,"retry_after_seconds":%d}' % _FAILURE_RETRY_SECONDS


def written(verdict: Verdict, *, explanation: Explanation | None = None, facts: bool = False) -> bytes:
    """
    Write a verdict.

    Args:
        verdict: What was decided.
        explanation: Which rule refused, for a caller who asked.
        facts: Whether to tell what a verdict needs to know, for a caller who judges by itself.
    """
    if verdict.facts is None and not verdict.stale:
        return _TOO_OFTEN if verdict.code is Code.RATE_LIMITED else _NOT_FOUND
    valid = b"true" if verdict.code is Code.VALID else b"false"
    key = b"null" if verdict.facts is None else _written_key(verdict.facts)
    counted = b"" if verdict.rate_limits is None else _written_rate_limits(verdict.rate_limits)
    stale = b',"stale":true' if verdict.stale else b""
    more: dict[str, Any] = {}
    if explanation is not None:
        more["explanation"] = explanation._asdict()
    if facts and verdict.facts is not None:
        more["facts"] = _facts_told(verdict.facts)
    rest = b"," + json.dumps(more, separators=(",", ":")).encode()[1:-1] if more else b""
    return b'{"valid":%b,"code":"%b","api_key":%b%b%b%b}' % (
        valid, verdict.code.encode(), key, counted, stale, rest,
    )  # fmt: skip


def before_states(body: bytes, limits: Sequence[RateLimit]) -> tuple[bytes, ...]:
    """Give what `with_states` writes before the state of each limit, made once out of the answer on a good key."""
    begun = [_written_limit(limit) + b',"remaining":' for limit in limits]
    return (body[:-1] + b',"rate_limits":[' + begun[0], *(b"}," + limit for limit in begun[1:]))


def with_states(before: Sequence[bytes], decision: RateLimitDecision) -> bytes:
    """Write the answer on a good key whose limits allowed the request, as `written` does."""
    if len(before) == 1:
        _, remaining, reset_seconds = decision.states[0]
        return b'%b%d,"reset_seconds":%d}]}' % (before[0], remaining, ceil(reset_seconds))
    states = [
        b'%b%d,"reset_seconds":%d' % (begun, remaining, ceil(reset_seconds))
        for begun, (_, remaining, reset_seconds) in zip(before, decision.states, strict=True)
    ]
    return b"".join(states) + b"}]}"


def retry_after_seconds(decision: RateLimitDecision | None) -> int | None:
    """
    Give the whole seconds after which a refused request may pass; None where it never can.

    Args:
        decision: The decision on the key's limits; None where the source of the request failed too often.
    """
    return _FAILURE_RETRY_SECONDS if decision is None else decision.retry_after


def _written_rate_limits(decision: RateLimitDecision) -> bytes:
    limits = [
        b'%b,"remaining":%d,"reset_seconds":%d}' % (_written_limit(limit), remaining, ceil(reset_seconds))
        for limit, remaining, reset_seconds in decision.states
    ]
    counted = b',"rate_limits":[%b]' % b",".join(limits)
    if decision.allowed:
        return counted
    return counted + b',"retry_after_seconds":' + json.dumps(retry_after_seconds(decision)).encode()


@lru_cache(4096)
def _written_limit(limit: RateLimit) -> bytes:
    return json.dumps(limit._asdict(), separators=(",", ":")).encode()[:-1]


def _facts_told(facts: KeyFacts) -> dict[str, Any]:
    return {
        "revoked": facts.revoked,
        "expires_at": None if isinf(facts.expires_at) else facts.expires_at,
        "retires_at": None if isinf(facts.retires_at) else facts.retires_at,
        "allowed_ips": facts.allowed_ips,
        "rate_limits": facts.rate_limits,
    }


@lru_cache(maxsize=16_384)
def _written_key(facts: KeyFacts) -> bytes:
    expires_at = None
    if not isinf(facts.expires_at):
        expires_at = datetime.fromtimestamp(facts.expires_at, UTC).isoformat().replace("+00:00", "Z")
    shown = {
        "id": str(UUID(bytes=facts.id)),
        "org_id": str(UUID(bytes=facts.org_id)),
        "name": facts.name,
        "environment": facts.environment,
        "scopes": list(facts.scopes),
        "expires_at": expires_at,
    }
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()
