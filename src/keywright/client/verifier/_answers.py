"""Reads the answers to a verification, and turns every other answer into an error."""

import json
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf
from typing import Any, TypeVar, cast

import httpx
import msgspec

from keywright.client._answers import error_of, not_keywright, read_retry_after
from keywright.client.errors import CredentialRefused, KeywrightError, Refused, ServiceUnavailable
from keywright.client.verifier._verdicts import KeyInfo, Verdict
from keywright.contract import (
    BatchResponse,
    ContractError,
    FactsResponse,
    LimitStateResponse,
    VerifiedKey,
    VerifyResponse,
    read,
)
from keywright.keys.addresses import canonical_network, read_networks
from keywright.keys.bounded import BoundedDict
from keywright.keys.cache import weight_of
from keywright.keys.rate_limiter import LimitState
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import NO_METADATA, Code, Explanation, KeyFacts

# The facts that this version can judge. A key with any other fact is verified by the service each time.
_JUDGED_FACTS = frozenset({"revoked", "disabled", "expires_at", "retires_at", "allowed_ips", "rate_limits"})

_Value = TypeVar("_Value", bound=Hashable)
# The longest list of values that facts share, and the number of values.
_LONGEST_SHARED = 8
_MOST_SHARED = 16_384


class UnknownRule(ServiceUnavailable):
    """
    Keys have rules that this version does not know, so it may not decide on them.

    Args:
        found: The facts of the other keys.
        unknown: The digests of these.
    """

    def __init__(self, found: Mapping[bytes, KeyFacts], unknown: Collection[bytes]) -> None:
        super().__init__("The service has rules for a key that this version does not know. Upgrade it.")
        self.found = found
        self.unknown = unknown


@dataclass(frozen=True, slots=True)
class _Facts:
    """All facts of an answer by name, also those that this version does not know."""

    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _ManyFacts:
    """The facts of several answers."""

    results: tuple[_Facts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    The service's answer on a key: its verdict, and the facts of the key where the secret matched.

    `complete` is true when this version can judge all facts, `stale` when the service answered from its cache in an
    outage. `limits` and `retry_after_seconds` are given when the service counted the request.
    """

    code: Code
    facts: KeyFacts | None = None
    complete: bool = False
    stale: bool = False
    explanation: Explanation | None = None
    limits: tuple[LimitState, ...] = ()
    retry_after_seconds: int | None = None

    @property
    def cacheable(self) -> bool:
        """Whether its facts may be cached until a change names the key."""
        return self.complete and not self.stale

    @property
    def verdict(self) -> Verdict:
        """The service's own verdict."""
        key = None if self.facts is None else KeyInfo(self.facts)
        return Verdict(self.code, key, self.stale, self.explanation, self.limits, self.retry_after_seconds)


def read_answer(response: httpx.Response) -> Answer:
    """
    Read the answer to a verification.

    Raises:
        CredentialRefused: The service does not accept the verifier.
        ServiceUnavailable: The answer has no verdict.
    """
    if response.status_code != httpx.codes.OK:
        raise verifier_error_of(response)
    try:
        return _answer(read(VerifyResponse, response.content), read(_Facts, response.content))
    except ContractError as error:
        raise ServiceUnavailable(str(not_keywright(response, str(error)))) from None


def read_facts(response: httpx.Response, digests: Sequence[bytes]) -> dict[bytes, KeyFacts]:
    """
    Read the facts of keys, by the digests that were asked for; one without a key is left out.

    Raises:
        CredentialRefused: The service does not accept the verifier.
        ServiceUnavailable: The answer has no facts.
        UnknownRule: It has some that this version cannot judge, perhaps beside others.
    """
    if response.status_code != httpx.codes.OK:
        raise verifier_error_of(response)
    try:
        answers, names = read(BatchResponse, response.content), read(_ManyFacts, response.content)
        found = [_answer(*each) for each in zip(answers.results, names.results, strict=True)]
        if len(found) != len(digests):
            raise ContractError("Expected an answer for each digest - at `$.results`")
    except ContractError as error:
        raise ServiceUnavailable(str(not_keywright(response, str(error)))) from None
    known = {digest: each.facts for digest, each in zip(digests, found, strict=True) if each.facts and each.complete}
    unknown = [digest for digest, each in zip(digests, found, strict=True) if each.facts and not each.complete]
    if unknown:
        raise UnknownRule(known, unknown)
    return known


def verifier_error_of(response: httpx.Response) -> KeywrightError:
    """Give the error of an answer for a verifier: a refused credential, or an unavailable service."""
    error = error_of(response)
    if isinstance(error, ServiceUnavailable):
        return error
    if isinstance(error, Refused):
        if error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return CredentialRefused(error.code, error.status, error.detail, request_id=error.request_id)
        return ServiceUnavailable(
            f"The service answered {error.status}: {error.detail}",
            retry_after=error.retry_after,
            request_id=error.request_id,
        )
    # The page of a gateway, or another server than the service.
    return ServiceUnavailable(str(error), retry_after=read_retry_after(response))


def _answer(response: VerifyResponse, fact_names: _Facts) -> Answer:
    if response.valid is not (response.code is Code.VALID):
        raise ContractError("`valid` contradicts `code`")
    key, facts, explanation = response.api_key, response.facts, response.explanation
    if key is None and response.valid:
        raise ContractError("`valid` comes without a key")
    return Answer(
        code=response.code,
        facts=None if key is None else _facts(key, facts),
        complete=key is not None and facts is not None and set(fact_names.facts or ()) <= _JUDGED_FACTS,
        stale=response.stale,
        explanation=None if explanation is None else Explanation(explanation.reason, explanation.would_pass),
        limits=tuple(map(_limit_state, response.rate_limits or ())),
        retry_after_seconds=response.retry_after_seconds,
    )


def _facts(key: VerifiedKey, facts: FactsResponse | None) -> KeyFacts:
    if facts is None:
        # The service has decided: the facts that it does not send were judged there.
        facts = FactsResponse(revoked=False, expires_at=None if key.expires_at is None else key.expires_at.timestamp())
    networks = read_networks(map(_network, facts.allowed_ips))
    limits = tuple(RateLimit(*limit) for limit in facts.rate_limits)
    id_, metadata = key.id.bytes, _metadata(key.metadata)
    # What this key alone has. `_shared` adds what it is the first to have.
    parts: list[Any] = [id_, key.name, key.external_id, None if metadata is NO_METADATA else metadata]
    parts += [end for end in (facts.expires_at, facts.retires_at) if end is not None]
    return KeyFacts(
        id=id_,
        org_id=_shared(key.org_id.bytes, parts),
        name=key.name,
        environment=_shared(key.environment, parts),
        expires_at=_end(facts.expires_at),
        revoked=facts.revoked,
        disabled=facts.disabled,
        scopes=_shared(key.scopes, parts, key.scopes),
        retires_at=_end(facts.retires_at),
        # The shifts are small numbers, which are no objects of their own.
        networks=_shared(networks, parts, networks[1::2]),
        rate_limits=_shared(limits, parts, chain(limits, *limits)),
        external_id=key.external_id,
        org_external_id=_shared(key.org_external_id, parts),
        created_by=_shared(key.created_by, parts),
        metadata=metadata,
        weight=weight_of(parts),
    )


def _metadata(metadata: Any) -> str | None:
    """Write metadata as text, which takes less memory; None where the answer has none."""
    if metadata is msgspec.UNSET:
        return None
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":")) if metadata else NO_METADATA


def _end(seconds: float | None) -> float:
    return inf if seconds is None else seconds


def _network(text: str) -> str:
    network = canonical_network(text)
    if network is None:
        raise ContractError("Expected networks in canonical form - at `$.facts.allowed_ips`")
    return network


def _limit_state(state: LimitStateResponse) -> LimitState:
    limit = RateLimit(state.name, state.limit, state.window_seconds)
    return LimitState(limit, state.remaining, state.reset_seconds)


def _shared(value: _Value, parts: list[Any], members: Iterable[Any] = ()) -> _Value:
    """Give one object for equal values, which many keys have; add the first of them, and its members, to *parts*."""
    if not value:
        return value
    found: _Value | None = _values.get(value)
    if found is not None:
        return found
    parts += (value, *members)
    # Long lists take memory beside the cache, and few are equal.
    is_long = isinstance(value, tuple) and len(value) > _LONGEST_SHARED
    return value if is_long else cast("_Value", _values.keep(value, value))


_values: BoundedDict[Hashable, Any] = BoundedDict(_MOST_SHARED)
