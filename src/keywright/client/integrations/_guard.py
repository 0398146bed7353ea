"""
The shared part of the integrations: reading the key and the address of a request, and writing a refusal.

An integration reads `RequestHeaders` from its framework's request. It gets a verdict, or `KeyRefused` with the answer.
All decisions are made here, none in an integration.
"""

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from httpx import codes

from keywright.client._bodies import texts
from keywright.client.errors import CredentialRefused, KeywrightError, ServiceUnavailable
from keywright.client.verifier import AsyncVerifier, InProcessVerifier, Verdict, Verifier
from keywright.keys.addresses import client_address, proxy_networks
from keywright.keys.rate_limiter import rate_limit_headers
from keywright.keys.rate_limits import check_cost
from keywright.keys.verdict import Code

App = TypeVar("App")
Result = TypeVar("Result")
AnyVerifier = TypeVar("AnyVerifier", bound=InProcessVerifier)

_REALM = 'Bearer realm="api"'
_RETRY_SECONDS = 1
_LONGEST_RETRY_SECONDS = 60

_logger = logging.getLogger("keywright.client")

_REFUSALS = {
    Code.NOT_FOUND: (codes.UNAUTHORIZED, "The API key is not known."),
    Code.REVOKED: (codes.UNAUTHORIZED, "The API key was revoked."),
    Code.DISABLED: (codes.UNAUTHORIZED, "The API key is disabled."),
    Code.EXPIRED: (codes.UNAUTHORIZED, "The API key has expired."),
    Code.REPLACED: (codes.UNAUTHORIZED, "The API key's secret was replaced by a new one."),
    Code.WRONG_ENVIRONMENT: (codes.FORBIDDEN, "The API key belongs to another environment."),
    Code.INSUFFICIENT_SCOPE: (codes.FORBIDDEN, "The API key may not do this."),
    Code.IP_NOT_ALLOWED: (codes.FORBIDDEN, "The API key may not be used from this address."),
    Code.RATE_LIMITED: (codes.TOO_MANY_REQUESTS, "Too many requests."),
}


class KeyRefused(Exception):
    """
    The request is refused, with this answer.

    Args:
        status: The HTTP status.
        code: Stable, for programs, such as `missing_key`.
        detail: A sentence.
        headers: Headers of the answer, without those of its content.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.body = json.dumps({"detail": detail, "code": code}).encode()
        """The answer's content, JSON."""

    @property
    def answer_headers(self) -> dict[str, str]:
        """All headers of the answer."""
        return {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}


class RequestHeaders(NamedTuple):
    """
    The headers of a request that the guard reads, and the address of the connection.

    `authorization`, `api_key` and `forwarded` (`X-Forwarded-For`) have one value for each header of that name.
    """

    authorization: Sequence[str]
    api_key: Sequence[str]
    forwarded: Sequence[str]
    user_agent: str | None
    peer: str | None


class Guard:
    """
    The requirements for requests.

    Args:
        scopes: The scopes that a key must have, all of them.
        environment: The environment that it must belong to; None for any.
        exempt: Paths that need no key, each exactly as the application sees it.
        trusted_proxies: Networks in CIDR form whose `X-Forwarded-For` is trusted; none by default.
        cost: The units of a key's rate limits that each request uses.

    Raises:
        TypeError: *scopes*, *exempt* or *trusted_proxies* is one string, or *cost* is not a whole number.
        ValueError: A network is malformed, or *cost* is out of range.
    """

    def __init__(
        self,
        *,
        scopes: Collection[str] = (),
        environment: str | None = None,
        exempt: Collection[str] = (),
        trusted_proxies: Collection[str] = (),
        cost: int = 1,
    ) -> None:
        check_cost(cost)
        self._cost = cost
        self._scopes = texts("scopes", scopes)
        self._environment = environment
        self._exempt = frozenset(texts("exempt", exempt))
        self._trusted = proxy_networks(texts("trusted_proxies", trusted_proxies))

    def is_exempt(self, path: str) -> bool:
        """Tell whether requests for *path* need no key."""
        return path in self._exempt

    def check(self, verifier: Verifier, headers: RequestHeaders) -> Verdict:
        """
        Check the key of a request.

        Raises:
            KeyRefused: The request is refused.
        """
        try:
            return self.pass_or_refuse(self.call(verifier.verify, headers))
        except KeywrightError as error:
            raise refused_for_trouble(error) from None

    async def check_async(self, verifier: AsyncVerifier, headers: RequestHeaders) -> Verdict:
        """Check the key of a request on an event loop, as `check` does."""
        try:
            return self.pass_or_refuse(await self.call(verifier.verify, headers))
        except KeywrightError as error:
            raise refused_for_trouble(error) from None

    def call(self, verify: Callable[..., Result], headers: RequestHeaders) -> Result:
        """
        Call the `verify` of a verifier for a request.

        Raises:
            KeyRefused: The request presents no key, or two different ones.
        """
        peer = headers.peer
        return verify(
            presented_key(headers.authorization, headers.api_key),
            scopes=self._scopes,
            environment=self._environment,
            client_ip=client_address(peer, headers.forwarded, self._trusted) if self._trusted else peer,
            user_agent=headers.user_agent,
            cost=self._cost,
        )

    def pass_or_refuse(self, verdict: Verdict) -> Verdict:
        """
        Return a valid verdict.

        Raises:
            KeyRefused: The verdict is not valid.
        """
        if verdict:
            return verdict
        status, sentence = _REFUSALS[verdict.code]
        headers = limit_headers(verdict)
        if status == codes.UNAUTHORIZED:
            headers["WWW-Authenticate"] = f'{_REALM}, error="invalid_token", error_description="{sentence}"'
        elif verdict.code is Code.INSUFFICIENT_SCOPE:
            wanted = " ".join(self._scopes)
            headers["WWW-Authenticate"] = f'{_REALM}, error="insufficient_scope", scope="{wanted}"'
        elif verdict.retry_after_seconds is not None or (verdict.code is Code.RATE_LIMITED and not verdict.limits):
            # Without limits, the failure limit of the service refused the caller's network, for a short time.
            headers["Retry-After"] = str(verdict.retry_after_seconds or _RETRY_SECONDS)
        raise KeyRefused(status, verdict.code.value, sentence, headers)


class GuardedApplication(Generic[App, AnyVerifier]):
    """
    An application behind a guard.

    Args:
        app: The application.
        verifier: Checks the keys; the first request starts it if it was not started.
        scopes: The scopes that a key must have, all of them.
        environment: The environment that it must belong to; None for any.
        exempt: Paths that need no key, each exactly as the application sees it.
        trusted_proxies: Networks in CIDR form whose `X-Forwarded-For` is trusted; none by default.
        cost: The units of a key's rate limits that each request uses.

    Raises:
        TypeError, ValueError: See `Guard`.
    """

    def __init__(
        self,
        app: App,
        verifier: AnyVerifier,
        *,
        scopes: Collection[str] = (),
        environment: str | None = None,
        exempt: Collection[str] = (),
        trusted_proxies: Collection[str] = (),
        cost: int = 1,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._guard = Guard(
            scopes=scopes, environment=environment, exempt=exempt, trusted_proxies=trusted_proxies, cost=cost
        )


def limit_headers(verdict: Verdict) -> dict[str, str]:
    """Write the state of the key's rate limits as headers of an answer; none without limits."""
    return rate_limit_headers(verdict.limits)


def presented_key(authorization: Iterable[str], api_key: Iterable[str]) -> str:
    """
    Find the one key of a request.

    Args:
        authorization: The values of all `Authorization` headers; schemes other than Bearer are ignored.
        api_key: The values of all `X-API-Key` headers.

    Raises:
        KeyRefused: There is none, or there are two different ones: another program might choose the other one.
    """
    found = {value.strip() for value in api_key}
    for value in authorization:
        scheme, _, key = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            found.add(key.strip())
    found.discard("")
    if not found:
        sentence = "An API key is required: Authorization: Bearer <key>, or X-API-Key: <key>."
        raise KeyRefused(codes.UNAUTHORIZED, "missing_key", sentence, {"WWW-Authenticate": _REALM})
    if len(found) > 1:
        raise KeyRefused(codes.BAD_REQUEST, "several_keys", "The request presents two different keys.")
    return found.pop()


def refused_for_trouble(error: KeywrightError) -> KeyRefused:
    """Make the answer for a check that failed without a verdict. The reason goes to the log, not to the caller."""
    if isinstance(error, CredentialRefused):
        _logger.error("the service does not accept this verifier's credential: %s", error)
    else:
        # The feed logs an interruption once; here it would be logged with every request.
        _logger.info("a key could not be checked: %s", error)
    after = error.retry_after if isinstance(error, ServiceUnavailable) else None
    seconds = min(max(after or 0, _RETRY_SECONDS), _LONGEST_RETRY_SECONDS)
    sentence = "API keys cannot be checked right now. Try again soon."
    return KeyRefused(codes.SERVICE_UNAVAILABLE, "service_unavailable", sentence, {"Retry-After": str(seconds)})
