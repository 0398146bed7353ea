"""
The bodies of `/verify` and `/verify/batch`: verdicts, and requests, with a fast reader for the common form.

A key that is the first member and needs no escapes has one meaning, whatever follows it. So the rest of the body is
read strictly once and cached by its bytes; every other body is read strictly every time. A batch is split at its keys,
and is read this way only if every piece is exactly one object. tests/api/test_verify_bodies.py compares both readers.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil, isinf
from typing import Any, NamedTuple
from uuid import UUID

from keywright import strict_json
from keywright.api.http.bodies import as_model
from keywright.api.http.problems import Refusal
from keywright.api.verify.schemas import MOST_IN_A_BATCH, BatchRequest, VerifyRequest
from keywright.keys.cache import cached_by_key
from keywright.keys.rate_limiter import RateLimitDecision
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import NO_REQUIREMENTS, Code, Explanation, KeyFacts, Requirements, explain
from keywright.service.checking.failure_limit import FAILURE_SECONDS, MOST_FAILURES
from keywright.service.checking.verdicts import KeyVerdict

# JSON's own: `\s` would take form feeds, which the strict reader refuses.
_WHITE = b" \t\r\n"
_OBJECT_OF_KEY = rb'\{[ \t\r\n]*"key"[ \t\r\n]*:[ \t\r\n]*"([!#-\[\]-~]{0,512})(?=")'
_KEY_FIRST = re.compile(rb"[ \t\r\n]*" + _OBJECT_OF_KEY)
_KEY_IN_BATCH = re.compile(_OBJECT_OF_KEY)
_BATCH = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"keys"[ \t\r\n]*:[ \t\r\n]*\[(.*)\][ \t\r\n]*\}[ \t\r\n]*', re.DOTALL)
LONGEST_REST = 512
_MOST_RESTS = 8192
# When the failure limit allows one more failure.
_FAILURE_RETRY_SECONDS = ceil(FAILURE_SECONDS / MOST_FAILURES)
_NOT_FOUND = b'{"valid":false,"code":"not_found","api_key":null}'
_TOO_OFTEN = b'{"valid":false,"code":"rate_limited","api_key":null,"retry_after_seconds":%d}' % _FAILURE_RETRY_SECONDS


class CheckOptions(NamedTuple):
    """
    The options of a check: what the request requires of the key, its cost, whether to explain a refusal, and whether
    the answer has the key's metadata.
    """

    requirements: Requirements
    cost: int
    explain: bool
    metadata: bool


class KeyCheck(NamedTuple):
    """A presented text, and the options of its check."""

    text: str
    options: CheckOptions


def read(raw: bytes) -> KeyCheck:
    """
    Read the body of one verification.

    Args:
        raw: Anything at all; the caller has bounded its length.

    Raises:
        Refusal: It is not strict JSON, or not of the schema.
    """
    first = _KEY_FIRST.match(raw)
    if first is not None:
        rest = raw[first.end() :]
        if len(rest) <= LONGEST_REST:
            return KeyCheck(first[1].decode("ascii"), read_rest(rest))
    request = _read_strictly(raw)
    return KeyCheck(request.key, options_of(request))


def read_batch(raw: bytes) -> list[KeyCheck]:
    """
    Read the body of a batch.

    Args:
        raw: Anything at all; the caller has bounded its length.

    Raises:
        Refusal: It is not strict JSON, or not of the schema.
    """
    checks = _read_plain_batch(raw)
    if checks is None:
        checks = [KeyCheck(each.key, options_of(each)) for each in as_model(BatchRequest, raw).keys]
    return checks


def _read_plain_batch(raw: bytes) -> list[KeyCheck] | None:
    """Read a batch of objects whose keys come first and are plain; None for any other, and for one with a flaw."""
    whole = _BATCH.fullmatch(raw)
    if whole is None:
        return None
    # With a comma after the last object all pieces have the same form.
    begin, *parts = _KEY_IN_BATCH.split(whole[1] + b",")
    keys, rests = parts[::2], parts[1::2]
    if begin.strip(_WHITE) or not 1 <= len(keys) <= MOST_IN_A_BATCH:
        return None
    options: dict[bytes, CheckOptions] = {}
    for rest in set(rests):
        behind = rest.rstrip(_WHITE)
        if not behind.endswith(b",") or len(behind) > LONGEST_REST:
            return None
        try:
            options[rest] = read_rest(behind[:-1])
        except Refusal:
            return None
    return list(map(KeyCheck, map(bytes.decode, keys), map(options.__getitem__, rests)))


@lru_cache(_MOST_RESTS)
def read_rest(rest: bytes) -> CheckOptions:
    """Read the rest of a body from the closing quotation mark of the key on; raises `Refusal` as `read` does."""
    return options_of(_read_strictly(b'{"key":"x' + rest))


def _read_strictly(raw: bytes) -> VerifyRequest:
    try:
        return VerifyRequest.model_validate(strict_json.read_object(raw))
    except ValueError:
        # Read again, for a refusal that lists all flaws.
        return as_model(VerifyRequest, raw)


def options_of(request: VerifyRequest) -> CheckOptions:
    """Give the options of a request."""
    requirements = Requirements(
        environment=request.environment, scopes=tuple(request.scopes), client_ip=request.client_ip
    )
    # Most requests require nothing, and `judge` compares that object by identity.
    return CheckOptions(
        NO_REQUIREMENTS if requirements == NO_REQUIREMENTS else requirements,
        request.cost,
        request.explain,
        bool(request.include),
    )


def write(
    verdict: KeyVerdict, *, explanation: Explanation | None = None, facts: bool = False, metadata: bool = False
) -> bytes:
    """
    Write a verdict.

    Args:
        verdict: The verdict.
        explanation: The rule that refused, if the request has `explain`.
        facts: Whether to add the state of the key, for an in-process verifier, and its metadata if that is short.
        metadata: Whether to add the metadata of the key, which its facts contain.
    """
    if verdict.facts is None and not verdict.stale:
        return _TOO_OFTEN if verdict.code is Code.RATE_LIMITED else _NOT_FOUND
    valid = b"true" if verdict.code is Code.VALID else b"false"
    key = b"null" if verdict.facts is None else _written_key(verdict.facts)
    if (metadata or facts) and verdict.facts is not None and verdict.facts.metadata is not None:
        key = b'%b,"metadata":%b}' % (key[:-1], verdict.facts.metadata.encode())
    counted = b"" if verdict.rate_limits is None else _written_rate_limits(verdict.rate_limits)
    stale = b',"stale":true' if verdict.stale else b""
    more: dict[str, Any] = {}
    if explanation is not None:
        more["explanation"] = explanation._asdict()
    if facts and verdict.facts is not None:
        more["facts"] = _facts_of(verdict.facts)
    rest = b"," + json.dumps(more, separators=(",", ":")).encode()[1:-1] if more else b""
    return b'{"valid":%b,"code":"%b","api_key":%b%b%b%b}' % (
        valid, verdict.code.encode(), key, counted, stale, rest,
    )  # fmt: skip


def write_with(options: CheckOptions, verdict: KeyVerdict, *, facts: bool = False) -> bytes:
    """Write a verdict as the options say; see `write`."""
    explanation = explain(verdict.code, verdict.facts, options.requirements) if options.explain else None
    return write(verdict, explanation=explanation, facts=facts, metadata=options.metadata)


def before_states(body: bytes, limits: Sequence[RateLimit]) -> tuple[bytes, ...]:
    """Give the bytes that `with_states` writes before the state of each limit; *body* is the answer on a valid key."""
    begun = [_written_limit(limit) + b',"remaining":' for limit in limits]
    return (body[:-1] + b',"rate_limits":[' + begun[0], *(b"}," + limit for limit in begun[1:]))


def with_states(before: Sequence[bytes], decision: RateLimitDecision) -> bytes:
    """Write the answer on a valid key whose limits allowed the request, as `write` does."""
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
    Give the whole seconds until a refused request can pass; None where it never can.

    Args:
        decision: The decision on the key's limits; None where the failure limit refused the request.
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


def _facts_of(facts: KeyFacts) -> dict[str, Any]:
    return {
        "revoked": facts.revoked,
        # Left out of the facts of an enabled key: a verifier of a version before judges the others by itself.
        **({"disabled": True} if facts.disabled else {}),
        "expires_at": None if isinf(facts.expires_at) else facts.expires_at,
        "retires_at": None if isinf(facts.retires_at) else facts.retires_at,
        "allowed_ips": facts.allowed_ips,
        "rate_limits": facts.rate_limits,
    }


@cached_by_key
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
        "external_id": facts.external_id,
        "org_external_id": facts.org_external_id,
        "created_by": facts.created_by,
    }
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()
