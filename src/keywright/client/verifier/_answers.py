"""Read the answers to a verification, and turn every other answer into the error that it means."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any, TypeVar
from uuid import UUID

import httpx

from keywright.client.answers import error_of, not_keywright
from keywright.client.errors import CredentialRefused, KeywrightError, Refused, ServiceUnavailable
from keywright.client.fields import (
    read_json,
    read_list,
    read_optional,
    read_rate_limit,
    read_retry_after,
    read_seconds,
    read_text,
    read_time,
    read_truth,
    read_whole,
)
from keywright.client.verifier._verdicts import KeyInfo, Verdict
from keywright.keys.addresses import canonical_network
from keywright.keys.rate_limits import RateLimit
from keywright.keys.spending import LimitState
from keywright.keys.verdict import Code, Explanation, KeyFacts

# The facts that this version can judge. A key with any other fact is verified by the service each time.
_WEIGHED = frozenset({"revoked", "expires_at", "retires_at", "allowed_ips", "rate_limits"})

_Value = TypeVar("_Value", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    The service's answer on a key: its verdict, and the facts of the key where the secret matched.

    `complete` is true when this version can judge all facts, `stale` when the service itself answered from memory.
    `limits` and `retry_after_seconds` are there when the service itself counted the request.
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
        """Whether its facts may be cached until the feed names the key."""
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
        ServiceUnavailable: It is not an answer that a verdict can be made of.
    """
    if response.status_code != httpx.codes.OK:
        raise trouble_of(response)
    try:
        return _answer(read_json(response))
    except (KeyError, TypeError, ValueError):
        raise ServiceUnavailable(str(not_keywright(response))) from None


def trouble_of(response: httpx.Response) -> KeywrightError:
    """Turn an error of the service into its meaning here: a refused credential, or an unavailable service."""
    error = error_of(response)
    if isinstance(error, ServiceUnavailable):
        return error
    if isinstance(error, Refused):
        if error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return CredentialRefused(error.code, error.status, error.detail, request_id=error.request_id)
        return ServiceUnavailable(
            f"The service answered {error.status}: {error.detail}",
            retry_after=read_retry_after(response),
            request_id=error.request_id,
        )
    # The page of a gateway, or another server: not the service.
    return ServiceUnavailable(str(error), retry_after=read_retry_after(response))


def _answer(fields: Mapping[str, Any]) -> Answer:
    code = Code(read_text(fields["code"]))
    if read_truth(fields["valid"]) is not (code is Code.VALID):
        raise ValueError("it contradicts itself")
    key, facts = fields["api_key"], fields.get("facts")
    if key is None and code is Code.VALID:
        raise ValueError("valid, but no key")
    return Answer(
        code=code,
        facts=None if key is None else _facts(key, facts),
        complete=key is not None and facts is not None and set(facts) <= _WEIGHED,
        stale=read_truth(fields.get("stale", False)),
        explanation=read_optional(_explanation, fields.get("explanation")),
        limits=read_list(_limit_state, fields.get("rate_limits", [])),
        retry_after_seconds=read_optional(read_whole, fields.get("retry_after_seconds")),
    )


def _facts(key: Mapping[str, Any], facts: Mapping[str, Any] | None) -> KeyFacts:
    if facts is None:
        # The service's own verdict: what its rules weighed beyond this was weighed there.
        expires_at = read_optional(lambda value: read_time(value).timestamp(), key["expires_at"])
        facts = {"revoked": False, "expires_at": expires_at}
    return KeyFacts(
        id=UUID(read_text(key["id"])).bytes,
        org_id=_one_for_all(UUID(read_text(key["org_id"])).bytes),
        name=read_text(key["name"]),
        environment=_one_for_all(read_text(key["environment"])),
        expires_at=_end(facts["expires_at"]),
        revoked=read_truth(facts["revoked"]),
        scopes=_one_for_all(read_list(read_text, key["scopes"])),
        retires_at=_end(facts.get("retires_at")),
        allowed_ips=_one_for_all(read_list(_network, facts.get("allowed_ips", []))),
        rate_limits=_one_for_all(read_list(_limit, facts.get("rate_limits", []))),
    )


def _end(value: Any) -> float:
    seconds = read_optional(read_seconds, value)
    return inf if seconds is None else seconds


def _network(value: Any) -> str:
    network = canonical_network(read_text(value))
    if network is None:
        raise ValueError("not a network")
    return network


def _limit(members: Any) -> RateLimit:
    # The members in this order, without names: shorter, in an answer on every key.
    return read_rate_limit(dict(zip(RateLimit._fields, members, strict=True)))


def _limit_state(fields: Mapping[str, Any]) -> LimitState:
    return LimitState(read_rate_limit(fields), read_whole(fields["remaining"]), read_seconds(fields["reset_seconds"]))


@lru_cache(maxsize=16_384)
def _one_for_all(value: _Value) -> _Value:
    # Many keys share these values; without this each would have its own copy.
    return value


def _explanation(fields: Mapping[str, Any]) -> Explanation:
    return Explanation(read_text(fields["rule"]), read_text(fields["would_pass"]))
