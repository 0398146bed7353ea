"""
The bodies of `/verify` and `/verify/batch`: requests and verdicts.

`read_plain` reads the bodies that API servers send; it accepts a part of what the strict readers accept, with the same
meaning. Those, `read` and `read_batch`, read all others. tests/api/test_verify_bodies.py compares them.
"""

import json
from math import ceil, isinf
from sys import getsizeof
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from keywright.api.http.bodies import as_model
from keywright.api.verify.schemas import (
    LONGEST_METHOD,
    LONGEST_PATH,
    LONGEST_TEXT,
    MOST_IN_A_BATCH,
    MOST_SCOPES,
    BatchRequest,
    VerifyRequest,
)
from keywright.keys.addresses import packed
from keywright.keys.bounded import BoundedDict
from keywright.keys.rate_limiter import LimitState, RateLimitDecision
from keywright.keys.rate_limits import MOST_COST, RateLimit
from keywright.keys.usage_records import CallerName
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, Requirements, explain
from keywright.service.checking.failure_limit import FAILURE_SECONDS, MOST_FAILURES
from keywright.service.checking.verdicts import KeyVerdict
from keywright.service.checking.verification import Checker

# When the failure limit allows one more failure.
_FAILURE_RETRY_SECONDS = ceil(FAILURE_SECONDS / MOST_FAILURES)
NOT_FOUND = b'{"valid":false,"code":"not_found","api_key":null}'
"""The answer on an unknown key."""
_TOO_OFTEN = b'{"valid":false,"code":"rate_limited","api_key":null,"retry_after_seconds":%d}' % _FAILURE_RETRY_SECONDS
_BEFORE_ID = b'{"id":"'
_BEFORE_BODY = b'{"valid":true,"code":"valid","api_key":' + _BEFORE_ID
_LONGEST_SHARED = 1024
_BACKSLASH = ord("\\")
_ends: BoundedDict[Any, bytes] = BoundedDict(4096)
_limits: BoundedDict[RateLimit, bytes] = BoundedDict(4096)


# A list would be made anew for each request.
_NONE: Any = ()


_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_Scope = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT)]


class PlainRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A request that `read_plain` has read; its members are those of `VerifyRequest`."""

    key: str
    scopes: Annotated[list[_Scope], msgspec.Meta(max_length=MOST_SCOPES)] = _NONE
    environment: _Text | None = None
    client_ip: _Text | None = None
    cost: Annotated[int, msgspec.Meta(ge=0, le=MOST_COST)] | msgspec.UnsetType = msgspec.UNSET
    include: Annotated[list[Literal["metadata"]], msgspec.Meta(max_length=1)] = _NONE
    explain: bool | msgspec.UnsetType = msgspec.UNSET
    method: Annotated[str, msgspec.Meta(max_length=LONGEST_METHOD)] | None = None
    path: Annotated[str, msgspec.Meta(max_length=LONGEST_PATH)] | None = None


class _PlainBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    keys: Annotated[list[PlainRequest], msgspec.Meta(min_length=1, max_length=MOST_IN_A_BATCH)]


_decode = msgspec.json.Decoder(PlainRequest).decode
_decode_batch = msgspec.json.Decoder(_PlainBatch).decode
_encode = msgspec.json.Encoder().encode


def read_plain(raw: bytes) -> PlainRequest | None:
    """
    Read the body of a verification as most API servers send it.

    Args:
        raw: Anything at all; the caller has bounded its length.

    Returns:
        None for every other body, good or not: `read` reads it.
    """
    try:
        request = _decode(raw)
    except msgspec.DecodeError:
        return None
    return request if _has_each_once(raw, _usual_quotes(request), request) else None


def read_plain_batch(raw: bytes) -> list[PlainRequest] | None:
    """Read the body of a batch as `read_plain` does; None for every other body: `read_batch` reads it."""
    try:
        batch = _decode_batch(raw)
    except msgspec.DecodeError:
        return None
    return batch.keys if _has_each_once(raw, 2 + sum(map(_usual_quotes, batch.keys)), batch) else None


def _has_each_once(raw: bytes, usual: int, decoded: PlainRequest | _PlainBatch) -> bool:
    """
    Tell whether a body has no escape, and each member once and without a null.

    The decoder accepts a name given twice, and the strict reader does not. Without escapes, each string of the body has
    two quotation marks, so a member too many shows in their number: more than *usual*, or than what was decoded has
    when it is written.
    """
    quotes = raw.count(b'"')
    return _BACKSLASH not in raw and (quotes == usual or quotes == _encode(decoded).count(b'"'))


def _usual_quotes(request: PlainRequest) -> int:
    """Count the quotation marks of a body with a key, and with scopes and an address where the request has them."""
    quotes = 4 if request.client_ip is None else 8
    return quotes + 2 + 2 * len(request.scopes) if request.scopes else quotes


class KeyCheck(NamedTuple):
    """
    A presented text, and how to check it: what the request requires of the key, its cost, whether to explain a refusal,
    and whether the answer has the key's metadata.
    """

    text: str
    requirements: Requirements
    cost: int
    explain: bool
    metadata: bool


def read(raw: bytes) -> KeyCheck:
    """
    Read the body of one verification.

    Args:
        raw: Anything at all; the caller has bounded its length.

    Raises:
        Refusal: It is not strict JSON, or not of the schema.
    """
    return check_of(read_plain(raw) or as_model(VerifyRequest, raw))


def read_batch(raw: bytes) -> list[KeyCheck]:
    """Read the body of a batch; *raw* and what is raised are those of `read`."""
    return list(map(check_of, read_plain_batch(raw) or as_model(BatchRequest, raw).keys))


def check_of(request: PlainRequest | VerifyRequest) -> KeyCheck:
    """Give the check that a request asks for."""
    environment, scopes, client_ip = request.environment, request.scopes, request.client_ip
    requirements = NO_REQUIREMENTS
    # `judge` compares this object by identity.
    if environment is not None or client_ip is not None or scopes:
        requirements = Requirements(environment=environment, scopes=tuple(scopes), client_ip=client_ip)
    cost = 1 if request.cost is msgspec.UNSET else request.cost
    return KeyCheck(request.key, requirements, cost, request.explain is True, bool(request.include))


def write(check: KeyCheck, verdict: KeyVerdict, *, facts: bool = False) -> bytes:
    """
    Write a verdict.

    Args:
        check: What was asked; it says whether to explain a refusal, and whether to add the metadata of the key, which
            the facts contain.
        verdict: The verdict.
        facts: Whether to add the state of the key, for an in-process verifier, and its metadata if that is short.
    """
    found = verdict.facts
    if found is None and not verdict.stale:
        return _TOO_OFTEN if verdict.code is Code.RATE_LIMITED else NOT_FOUND
    valid = b"true" if verdict.code is Code.VALID else b"false"
    key = b"null" if found is None else _written_key(found)
    if (check.metadata or facts) and found is not None:
        key = with_metadata(key, found)
    counted = b"" if verdict.rate_limits is None else _written_rate_limits(verdict.rate_limits)
    stale = b',"stale":true' if verdict.stale else b""
    more: dict[str, Any] = {}
    explanation = explain(verdict.code, found, check.requirements) if check.explain else None
    if explanation is not None:
        more["explanation"] = explanation._asdict()
    if facts and found is not None:
        more["facts"] = _facts_of(found)
    rest = b"," + json.dumps(more, separators=(",", ":")).encode()[1:-1] if more else b""
    return b'{"valid":%b,"code":"%b","api_key":%b%b%b%b}' % (
        valid, verdict.code.encode(), key, counted, stale, rest,
    )  # fmt: skip


def prepare(facts: KeyFacts) -> int:
    """
    Write the key in the answer, once, when it is cached: `facts.body` from its id on, then
    `facts.body_end`, which keys that differ in id and name only share. Give the memory of what was made, in bytes.
    """
    body, end, size = _written(facts)
    facts.keep(body=body, body_end=end)
    return size


def _written(facts: KeyFacts) -> tuple[bytes, bytes, int]:
    body = uuid_text(facts.id) + b'","org_id":"%b","name":%b,' % (uuid_text(facts.org_id), _json(facts.name))
    same = facts.environment, facts.scopes, facts.expires_at, facts.external_id, facts.org_external_id, facts.created_by
    end = _ends.get(same)
    size = getsizeof(body)
    if end is None:
        end = _written_end(facts)
        size += getsizeof(end)
        if len(end) <= _LONGEST_SHARED:
            _ends.keep(same, end)
    return body, end, size


def with_metadata(end: bytes, facts: KeyFacts) -> bytes:
    """Add the metadata of a key, which its facts contain, to *end*, the end of the key in the answer."""
    return end if facts.metadata is None else b'%b,"metadata":%b}' % (end[:-1], facts.metadata.encode())


def accept(
    checker: Checker,
    request: PlainRequest,
    presented: bytes,
    org_id: bytes | None,
    caller: int | CallerName,
    at: float,
    now: float,
) -> bytes | None:
    """
    Give the verdict on a valid key in the cache, out of what `prepare` wrote; None, with nothing counted, for all else.

    Args:
        checker: Decides; see `Checker.accept`, also for the other arguments.
        request: What is asked.
        presented: The digest of its key.
    """
    cost, address, told = request.cost, request.client_ip, bool(request.include)
    accepted = checker.accept(
        presented,
        request.scopes,
        request.environment,
        0 if address is None else packed(address),
        1 if cost is msgspec.UNSET else cost,
        org_id,
        caller,
        at,
        now,
        told,
    )
    if accepted is None:
        return None
    facts, decision = accepted
    end = with_metadata(facts.body_end, facts) if told else facts.body_end
    states = b"" if decision is None else written_states(decision.states)
    return b"".join((_BEFORE_BODY, facts.body, end, states, b"}"))


def written_states(states: tuple[LimitState, ...]) -> bytes:
    """Write the states of a key's limits, as the member of the answer that follows the key."""
    limits = [
        b'%b,"remaining":%d,"reset_seconds":%d}' % (
            _limits.get(limit) or _written_limit(limit), remaining, ceil(reset_seconds),
        )
        for limit, remaining, reset_seconds in states
    ]  # fmt: skip
    return b',"rate_limits":[%b]' % b",".join(limits)


def retry_after_seconds(decision: RateLimitDecision | None) -> int | None:
    """
    Give the whole seconds until a refused request can pass; None where it never can.

    Args:
        decision: The decision on the key's limits; None where the failure limit refused the request.
    """
    return _FAILURE_RETRY_SECONDS if decision is None else decision.retry_after


def _written_rate_limits(decision: RateLimitDecision) -> bytes:
    counted = written_states(decision.states)
    if decision.allowed:
        return counted
    return counted + b',"retry_after_seconds":' + _json(retry_after_seconds(decision))


def _written_limit(limit: RateLimit) -> bytes:
    return _limits.keep(limit, _json(limit._asdict())[:-1])


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


def _written_key(facts: KeyFacts) -> bytes:
    body, end = facts.body, facts.body_end
    if not body:
        # Of a key that is not in the cache of this process.
        body, end, _ = _written(facts)
    return _BEFORE_ID + body + end


def _written_end(facts: KeyFacts) -> bytes:
    expiry = facts.expiry
    shown = {
        "environment": facts.environment,
        "scopes": facts.scopes,
        "expires_at": None if expiry is None else expiry.isoformat().replace("+00:00", "Z"),
        "external_id": facts.external_id,
        "org_external_id": facts.org_external_id,
        "created_by": facts.created_by,
    }
    return _json(shown)[1:]


def uuid_text(id_bytes: bytes) -> bytes:
    """Write an id as ASCII."""
    # A third of the time of `UUID`.
    text = id_bytes.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()


# `json.dumps` makes an encoder at every call.
_text_of = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _json(value: object) -> bytes:
    return _text_of(value).encode()
