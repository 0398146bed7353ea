"""
What middlewares for every framework share: how a key is presented, who presents it, and what a refusal looks like.

A framework hands over header values, and gets a verdict to go on with or `KeyRefused` with what to answer.
"""

import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TypedDict

from httpx import codes

from keywright.client.checking import wanted_scopes
from keywright.client.errors import CredentialRefused, KeywrightError, ServiceUnavailable
from keywright.client.verdicts import Verdict
from keywright.keys.addresses import client_address
from keywright.keys.rate_limits import check_cost
from keywright.keys.spending import rate_limit_headers
from keywright.keys.verdict import Code

_REALM = 'Bearer realm="api"'
_RETRY_SECONDS = 1
_LONGEST_RETRY_SECONDS = 60

_logger = logging.getLogger("keywright.client")

_SENTENCES = {
    Code.NOT_FOUND: "The API key is not known.",
    Code.REVOKED: "The API key was revoked.",
    Code.EXPIRED: "The API key has expired.",
    Code.WRONG_ENVIRONMENT: "The API key belongs to another environment.",
    Code.INSUFFICIENT_SCOPE: "The API key may not do this.",
    Code.IP_NOT_ALLOWED: "The API key may not be used from this address.",
    Code.RATE_LIMITED: "Too many requests.",
}
_STATUSES = {
    Code.NOT_FOUND: codes.UNAUTHORIZED,
    Code.REVOKED: codes.UNAUTHORIZED,
    Code.EXPIRED: codes.UNAUTHORIZED,
    Code.WRONG_ENVIRONMENT: codes.FORBIDDEN,
    Code.INSUFFICIENT_SCOPE: codes.FORBIDDEN,
    Code.IP_NOT_ALLOWED: codes.FORBIDDEN,
    Code.RATE_LIMITED: codes.TOO_MANY_REQUESTS,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to answer in place of what was asked for."""

    status: int
    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def answer_headers(self) -> dict[str, str]:
        """All headers of the answer."""
        return {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}

    @property
    def body(self) -> bytes:
        """The answer's content, JSON."""
        return json.dumps({"detail": self.detail, "code": self.code}).encode()


class KeyRefused(Exception):
    """A refusal on its way to whatever answers."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class Asked(TypedDict):
    """What `Verifier.verify` is asked beside the key."""

    scopes: tuple[str, ...]
    environment: str | None
    client_ip: str | None
    user_agent: str | None
    cost: int


class Guard:
    """
    What requests have to present.

    Args:
        scopes: What a key must be allowed to do, all of it.
        environment: The environment it must belong to; None for any.
        trusted_proxies: Networks in CIDR form whose `X-Forwarded-For` is believed.
        cost: How many units of a key's rate limits each request takes.

    Raises:
        TypeError: *scopes* or *trusted_proxies* is one string, or *cost* no whole number.
        ValueError: A network is none, or *cost* is no cost.
    """

    def __init__(
        self,
        *,
        scopes: Collection[str] = (),
        environment: str | None = None,
        trusted_proxies: Collection[str] = (),
        cost: int = 1,
    ) -> None:
        if isinstance(trusted_proxies, str):
            raise TypeError("trusted_proxies must be a collection of networks, not one string")
        check_cost(cost)
        self._cost = cost
        self._scopes = wanted_scopes(scopes)
        self._environment = environment
        self._trusted = [ip_network(network) for network in trusted_proxies]

    def asked(self, *, peer: str | None, forwarded: Iterable[str], user_agent: str | None) -> Asked:
        """
        Say what to ask of the key of a request.

        Args:
            peer: The address that the connection came from.
            forwarded: The values of all `X-Forwarded-For` headers.
            user_agent: The value of the header of that name.
        """
        return Asked(
            scopes=self._scopes,
            environment=self._environment,
            client_ip=client_address(peer, forwarded, self._trusted) if self._trusted else peer,
            user_agent=user_agent,
            cost=self._cost,
        )

    def pass_or_refuse(self, verdict: Verdict) -> Verdict:
        """
        Give the verdict back when the key may be used.

        Raises:
            KeyRefused: It may not.
        """
        if verdict:
            return verdict
        status, sentence = _STATUSES[verdict.code], _SENTENCES[verdict.code]
        headers = limit_headers(verdict)
        if status == codes.UNAUTHORIZED:
            headers["WWW-Authenticate"] = f'{_REALM}, error="invalid_token", error_description="{sentence}"'
        elif verdict.code is Code.INSUFFICIENT_SCOPE:
            wanted = " ".join(self._scopes)
            headers["WWW-Authenticate"] = f'{_REALM}, error="insufficient_scope", scope="{wanted}"'
        elif verdict.retry_after_seconds is not None or (verdict.code is Code.RATE_LIMITED and not verdict.limits):
            # Without any limits it was the service that turned the customer's address away, for a short time.
            headers["Retry-After"] = str(verdict.retry_after_seconds or _RETRY_SECONDS)
        raise KeyRefused(Refusal(status, verdict.code.value, sentence, headers))


def limit_headers(verdict: Verdict) -> dict[str, str]:
    """Write the state of the key's rate limits as headers, for every response to its holder."""
    return rate_limit_headers(verdict.limits)


def presented_key(authorization: Iterable[str], api_key: Iterable[str]) -> str:
    """
    Find the one key of a request.

    Args:
        authorization: The values of all `Authorization` headers; schemes other than Bearer are passed over.
        api_key: The values of all `X-API-Key` headers.

    Raises:
        KeyRefused: There is none, or there are two that differ: which of them counts, two programs may disagree on.
    """
    found = {value.strip() for value in api_key}
    for value in authorization:
        scheme, _, key = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            found.add(key.strip())
    found.discard("")
    if not found:
        sentence = "An API key is required: Authorization: Bearer <key>, or X-API-Key: <key>."
        raise KeyRefused(Refusal(codes.UNAUTHORIZED, "key_required", sentence, {"WWW-Authenticate": _REALM}))
    if len(found) > 1:
        raise KeyRefused(Refusal(codes.BAD_REQUEST, "several_keys", "The request presents two different keys."))
    return found.pop()


def refused_for_trouble(error: KeywrightError) -> KeyRefused:
    """Say what to answer when no verdict could be had. The log learns why, whoever presented the key does not."""
    if isinstance(error, CredentialRefused):
        _logger.error("the service does not accept this verifier's credential: %s", error)
    else:
        # The feed has told that it is cut off; here it would be told with every request.
        _logger.info("a key could not be checked: %s", error)
    after = error.retry_after if isinstance(error, ServiceUnavailable) else None
    seconds = min(max(after or 0, _RETRY_SECONDS), _LONGEST_RETRY_SECONDS)
    sentence = "API keys cannot be checked right now. Try again soon."
    headers = {"Retry-After": str(seconds)}
    return KeyRefused(Refusal(codes.SERVICE_UNAVAILABLE, "service_unavailable", sentence, headers))
