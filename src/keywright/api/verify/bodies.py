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

from keywright import strict_json
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
from keywright.keys.bounded import BoundedDict
from keywright.keys.rate_limiter import LimitState, RateLimitDecision
from keywright.keys.rate_limits import MOST_COST, RateLimit
from keywright.keys.verdict import NO_REQUIREMENTS, Code, Explanation, KeyFacts, Requirements, explain
from keywright.service.checking.failure_limit import FAILURE_SECONDS, MOST_FAILURES
from keywright.service.checking.verdicts import KeyVerdict

# When the failure limit allows one more failure.
_FAILURE_RETRY_SECONDS = ceil(FAILURE_SECONDS / MOST_FAILURES)
NOT_FOUND = b'{"valid":false,"code":"not_found","api_key":null}'
"""The answer on an unknown key."""
_TOO_OFTEN = b'{"valid":false,"code":"rate_limited","api_key":null,"retry_after_seconds":%d}' % _FAILURE_RETRY_SECONDS
_BEFORE_ID = b'{"id":"'
_BEFORE_BODY = b'{"valid":true,"code":"valid","api_key":' + _BEFORE_ID
_LONGEST_SHARED = 1024
_ends: BoundedDict[Any, bytes] = BoundedDict(4096)
_limits: BoundedDict[RateLimit, bytes] = BoundedDict(4096)


# A list would be made anew for each request.
_NONE: Any = ()


_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_Scope = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT)]


class PlainRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
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

    def quotes(self) -> int:
        """Count the quotation marks of a body with these members, each once, and without a null."""
        lists: list[Any] = [each for each in (self.scopes, self.include) if each is not _NONE]
        texts = (self.key, self.environment, self.client_ip, self.method, self.path)
        others = (each for each in (self.cost, self.explain) if not isinstance(each, msgspec.UnsetType))
        return sum(2 + 2 * len(each) for each in lists) + 4 * (len(texts) - texts.count(None)) + 2 * len([*others])


class _PlainBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    keys: Annotated[list[PlainRequest], msgspec.Meta(min_length=1, max_length=MOST_IN_A_BATCH)]


_decode = msgspec.json.Decoder(PlainRequest).decode
_decode_batch = msgspec.json.Decoder(_PlainBatch).decode


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
    # The decoder accepts a name given twice, and the strict reader does not. Without escapes, each string of the body
    # has two quotation marks, so a member too many shows in their number.
    quotes = raw.count(b'"')
    if quotes != _usual_quotes(request) and quotes != request.quotes():
        return None
    return None if b"\\" in raw else request


def read_plain_batch(raw: bytes) -> list[PlainRequest] | None:
    """Read the body of a batch as `read_plain` does; None for every other body: `read_batch` reads it."""
    try:
        requests = _decode_batch(raw).keys
    except msgspec.DecodeError:
        return None
    quotes = raw.count(b'"') - 2
    if quotes != sum(map(_usual_quotes, requests)) and quotes != sum(each.quotes() for each in requests):
        return None
    return None if b"\\" in raw else requests


def _usual_quotes(request: PlainRequest) -> int:
    """Count the quotation marks of a body with a key, and with scopes and an address where the request has them."""
    quotes = 4 if request.client_ip is None else 8
    return quotes + 2 + 2 * len(request.scopes) if request.scopes else quotes


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
    plain = read_plain(raw)
    if plain is not None:
        return check_of(plain)
    try:
        request = VerifyRequest.model_validate(strict_json.read_object(raw))
    except ValueError:
        # Read again, for a refusal that lists all flaws.
        request = as_model(VerifyRequest, raw)
    return KeyCheck(request.key, options_of(request))


def read_batch(raw: bytes) -> list[KeyCheck]:
    """Read the body of a batch; *raw* and what is raised are those of `read`."""
    plain = read_plain_batch(raw)
    if plain is not None:
        return list(map(check_of, plain))
    return [KeyCheck(each.key, options_of(each)) for each in as_model(BatchRequest, raw).keys]


def check_of(plain: PlainRequest) -> KeyCheck:
    """Give a plain request as `read` does."""
    requirements = _requirements(plain.environment, tuple(plain.scopes), plain.client_ip)
    cost = 1 if isinstance(plain.cost, msgspec.UnsetType) else plain.cost
    return KeyCheck(plain.key, CheckOptions(requirements, cost, plain.explain is True, bool(plain.include)))


def options_of(request: VerifyRequest) -> CheckOptions:
    """Give the options of a request."""
    requirements = _requirements(request.environment, tuple(request.scopes), request.client_ip)
    return CheckOptions(requirements, request.cost, request.explain, bool(request.include))


def _requirements(environment: str | None, scopes: tuple[str, ...], client_ip: str | None) -> Requirements:
    # `judge` compares this object by identity.
    if environment is None and client_ip is None and not scopes:
        return NO_REQUIREMENTS
    return Requirements(environment=environment, scopes=scopes, client_ip=client_ip)


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
        return _TOO_OFTEN if verdict.code is Code.RATE_LIMITED else NOT_FOUND
    valid = b"true" if verdict.code is Code.VALID else b"false"
    key = b"null" if verdict.facts is None else _written_key(verdict.facts)
    if (metadata or facts) and verdict.facts is not None:
        key = with_metadata(key, verdict.facts)
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


def write_accepted(facts: KeyFacts, decision: RateLimitDecision | None, metadata: bool) -> bytes:
    """Write the verdict on a valid key in the cache, out of what `prepare` wrote; see `write`."""
    end = with_metadata(facts.body_end, facts) if metadata else facts.body_end
    states = b"" if decision is None else written_states(decision.states)
    return b"".join((_BEFORE_BODY, facts.body, end, states, b"}"))


def written_states(states: tuple[LimitState, ...]) -> bytes:
    """Write the states of a key's limits, as the member of the answer that follows the key."""
    if len(states) == 1:
        ((limit, remaining, reset_seconds),) = states
        return b',"rate_limits":[%b,"remaining":%d,"reset_seconds":%d}]' % (
            _limits.get(limit) or _written_limit(limit), remaining, ceil(reset_seconds),
        )  # fmt: skip
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
