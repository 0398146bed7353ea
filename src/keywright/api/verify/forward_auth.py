"""
Forward authentication, `/forward-auth` and `/ext-authz/{path}`: a proxy checks the key of each request.

The request of the proxy has headers, and for Envoy path and query, of a client that may be hostile. So the client's
part only presents a key; the requirements come from what the proxy itself writes: the query of `/forward-auth`, and a
header for `/ext-authz`. Every 200 has all identity headers, even if empty: some proxies copy only the headers of
the answer, and a forged one would stay beside them. `RateLimit` and `RateLimit-Policy`
(draft-ietf-httpapi-ratelimit-headers-10) have the states of the key's limits. docs/operate/proxies.md has the tested
configuration of each proxy.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import Literal, NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keywright import telemetry
from keywright.api.http.principal import bearer_of
from keywright.api.http.problems import REALM, KeyRefusal, Refusal
from keywright.api.verify.bodies import retry_after_seconds
from keywright.api.verify.request_head import read_plain_head
from keywright.api.verify.responses import (
    EXT_AUTHZ_METER,
    FORWARD_AUTH_METER,
    Headers,
    error_response,
    lines_of,
    request_ids,
)
from keywright.keys.addresses import Network, client_address
from keywright.keys.cache import cached_by_key
from keywright.keys.format import ENVIRONMENT, digest
from keywright.keys.rate_limiter import RateLimitDecision, rate_limit_headers
from keywright.keys.usage import agent_family
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, Requirements
from keywright.service.checking.verdicts import Caller, KeyVerdict
from keywright.service.checking.verification import Checker
from keywright.service.verifiers import Verifiers

FORWARD_AUTH = "/forward-auth"
EXT_AUTHZ = "/ext-authz"
PATHS = re.compile(f"{FORWARD_AUTH}/*|{EXT_AUTHZ}(?:/.*)?", re.DOTALL)

Peer = tuple[str, int]

_log = telemetry.Log("keywright.forward_auth")

# Its query has only characters with one meaning.
_USUAL_LINE = re.compile(rb"GET /forward-auth(?:\?([A-Za-z0-9%&=+,.:;_~*/@!$'()-]*))? HTTP/1\.1\r\n")
_ANY_CALLER = Caller("forward-auth", None, None)
_PARAMETERS = frozenset({"scopes", "environment", "include", "proxy"})
_MOST_SCOPES = 100
_LONGEST_SCOPE = 255
# Characters that are not quoted in a header; a comma separates scopes, and a percent sign begins a quoted character.
_PLAIN = "!#$&'()*+./:;=?@[]^_`{|}~-"
# JSON is visible in a header; only spaces, percent signs and other letters are quoted.
_PLAIN_JSON = _PLAIN + '",\\<>'
_LONGEST_METADATA = 2048
_FIXED_HEADERS = [(b"content-length", b"0"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_STALE = "Keywright-Stale"
_NOT_VALID = (Code.NOT_FOUND, Code.REVOKED, Code.DISABLED, Code.EXPIRED, Code.REPLACED)
# nginx passes 401 and 403 on to its client, without their bodies, and answers 500 for every other refusal.
_FORBIDDEN = 403
_UNKNOWN_TO_NGINX = frozenset({400, 429})


class _ProxyOptions(NamedTuple):
    """The options of a proxy: its requirements for keys, whether it is nginx, and whether it wants the metadata."""

    requirements: Requirements
    by_nginx: bool
    metadata: bool


_NO_OPTIONS = _ProxyOptions(NO_REQUIREMENTS, by_nginx=False, metadata=False)


class _Misconfigured(KeyRefusal):
    """The configuration of the proxy is wrong, not the request of its client; *reason* is for the log."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, headers={"WWW-Authenticate": REALM} if code == "verifier_required" else {})
        self.reason = reason


class ProxyRequest:
    """
    A request of a proxy: its options, and the headers that the service reads, each with all its values.

    An alias such as `x_api_key` is not read.

    Args:
        headers: All headers, names in lower case.
        query: The query with the options; None where a header has them.
    """

    __slots__ = ("agent", "api_keys", "authorization", "forwarded", "query", "required_headers", "verifiers")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], *, query: bytes | None) -> None:
        self.query = query
        self.authorization: list[str] = []
        self.api_keys: list[str] = []
        self.verifiers: list[str] = []
        self.required_headers: list[bytes] = []
        self.forwarded: list[str] = []
        self.agent: str | None = None
        for name, value in headers:
            if name == b"authorization":
                self.authorization.append(value.decode("latin-1"))
            elif name == b"x-api-key":
                self.api_keys.append(value.decode("latin-1"))
            elif name == b"x-keywright-verifier":
                self.verifiers.append(value.decode("latin-1"))
            elif name == b"x-keywright-require":
                self.required_headers.append(value)
            elif name == b"user-agent":
                self.agent = value.decode("latin-1")
            elif name == b"x-forwarded-for":
                self.forwarded.append(value.decode("latin-1"))

    def options_text(self) -> bytes:
        """Give the text of the proxy's options, from the place that its client cannot write to."""
        if self.query is not None:
            return self.query
        if len(self.required_headers) > 1:
            raise _Misconfigured("misconfigured_proxy", "it sent more than one X-Keywright-Require header")
        return self.required_headers[0] if self.required_headers else b""


class ForwardAuth:
    """
    Answers the questions of proxies: every request to a path of `PATHS`.

    Args:
        checker: Checks keys.
        verifiers: Recognises the credentials of proxies.
        who: `verifier`: a proxy sends its credential in `X-Keywright-Verifier`. `open`: no credential is needed.
        trusted: The networks of proxies whose `X-Forwarded-For` is trusted.
    """

    def __init__(
        self,
        checker: Checker,
        verifiers: Verifiers,
        *,
        who: Literal["verifier", "open"],
        trusted: Sequence[Network],
    ) -> None:
        self._checker = checker
        self._request_ids = request_ids()
        self._verifiers = verifiers
        self._open = who == "open"
        self._trusted = trusted
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        meter = EXT_AUTHZ_METER if scope["path"].startswith(EXT_AUTHZ) else FORWARD_AUTH_METER
        request_id = next(self._request_ids)
        options = _NO_OPTIONS
        try:
            request = ProxyRequest(
                scope["headers"], query=None if scope["path"].startswith(EXT_AUTHZ) else scope["query_string"]
            )
            options = _read_options(request.options_text())
            verdict = await self._decide(request, options.requirements, scope.get("client"))
            headers = _accepted_headers(verdict, request_id, metadata=options.metadata)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer; the unexpected is logged whole
            response = self._refuse(error, scope, request_id.decode(), by_nginx=options.by_nginx)
            await response(scope, receive, send)
            meter.observe(perf_counter() - began, response.status_code)
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        meter.observe(perf_counter() - began)

    def answer_request(self, data: bytes, peer: Peer | None) -> bytes | None:
        """
        Write the answer on a valid key from memory, from the first header of this service on.

        Args:
            data: The bytes of a request.
            peer: The proxy, as in an ASGI scope.

        Returns:
            None, with nothing counted, where the key is refused, the check takes a database or Redis, or the request
            is not a plain head of the usual form.
        """
        first = _USUAL_LINE.match(data)
        plain = None if first is None else read_plain_head(data)
        if first is None or plain is None:
            return None
        head, fields, length = plain
        if length or len(head) != len(data):
            return None
        return self._answer_now(ProxyRequest(fields, query=first[1] or b""), peer)

    def _answer_now(self, request: ProxyRequest, peer: Peer | None) -> bytes | None:
        try:
            options, key = _read_options(request.options_text()), _presented(request)
        except Refusal:
            return None
        caller = self._caller_now(request.verifiers)
        if caller is None or key is None:
            return None
        requirements = _with_address(options.requirements, self._client(request, peer))
        verdict = self._checker.check_now(caller, key, requirements, agent=agent_family(request.agent), only_valid=True)
        if verdict is None:
            return None
        limits = b"" if verdict.rate_limits is None else lines_of(_encoded(_rate_limits(verdict.rate_limits)))
        identity = _written_identity(_accepted_facts(verdict), options.metadata)
        return b"".join((identity, limits, b"x-request-id: ", next(self._request_ids), b"\r\n\r\n"))

    async def _decide(self, request: ProxyRequest, requirements: Requirements, peer: Peer | None) -> KeyVerdict:
        caller = await self._caller(request.verifiers)
        key = _presented(request)
        if key is None:
            raise KeyRefusal("missing_key", headers={"WWW-Authenticate": REALM})
        requirements = _with_address(requirements, self._client(request, peer))
        return await self._checker.check(caller, key, requirements, agent=agent_family(request.agent))

    async def _caller(self, credentials: list[str]) -> Caller:
        if self._open:
            return _ANY_CALLER
        if len(credentials) != 1:
            raise _Misconfigured("verifier_required", f"it sent {len(credentials)} X-Keywright-Verifier headers, not 1")
        verifier = await self._verifiers.recognize(credentials[0])
        if verifier is None:
            raise _Misconfigured("verifier_required", "its X-Keywright-Verifier is no credential, or was revoked")
        return Caller(verifier.name, verifier, None)

    def _caller_now(self, credentials: list[str]) -> Caller | None:
        if self._open:
            return _ANY_CALLER
        if len(credentials) != 1 or not credentials[0].isascii():
            return None
        verifier = self._verifiers.cached(digest(credentials[0]), self._checker.monotonic())
        return None if verifier is None else Caller(verifier.name, verifier, None)

    def _client(self, request: ProxyRequest, peer: Peer | None) -> str | None:
        host = None if peer is None else peer[0]
        address = client_address(host, request.forwarded, self._trusted)
        if address != client_address(host, (), ()):
            return address
        # The peer is a proxy. As the client's address, it would put all clients under one failure limit.
        if request.forwarded and not self._warned:
            self._warned = True
            _log.warning("X-Forwarded-For is not trusted; name the proxy in KEYWRIGHT_TRUSTED_PROXIES", proxy=address)
        return None

    def _refuse(self, error: Exception, scope: Scope, request_id: str, *, by_nginx: bool) -> Response:
        if isinstance(error, _Misconfigured):
            peer: Peer | None = scope.get("client")
            proxy = client_address(None if peer is None else peer[0], (), ())
            _log.warning("a proxy is misconfigured", reason=error.reason, proxy=proxy, request_id=request_id)
        response = error_response(error, scope, request_id)
        return _for_nginx(response) if by_nginx else response


def _for_nginx(response: Response) -> Response:
    """Put what nginx does not pass on into headers, out of which its configuration makes the answer."""
    response.headers["X-Keywright-Status"] = str(response.status_code)
    response.headers["X-Keywright-Refusal"] = bytes(response.body).decode()
    if response.status_code in _UNKNOWN_TO_NGINX:
        response.status_code = _FORBIDDEN
    return response


@lru_cache(maxsize=256)
def _read_options(text: bytes) -> _ProxyOptions:
    """Read `scopes=a:read,b:write&environment=live&proxy=nginx`; every part is optional."""
    if not text:
        return _NO_OPTIONS
    try:
        pairs = parse_qsl(text.decode("ascii"), strict_parsing=True, keep_blank_values=True, errors="strict")
    except ValueError:
        _unreadable("are malformed")
    values = dict(pairs)
    if len(values) < len(pairs) or not values.keys() <= _PARAMETERS:
        _unreadable("repeat a parameter, or have one other than scopes, environment, include and proxy")
    if values.get("include", "metadata") != "metadata":
        _unreadable("include something other than metadata")
    if values.get("proxy", "nginx") != "nginx":
        _unreadable("have a proxy other than nginx")
    environment = values.get("environment")
    if environment is not None and not ENVIRONMENT.fullmatch(environment):
        _unreadable("have a malformed environment")
    scopes = tuple(values["scopes"].split(",")) if "scopes" in values else ()
    if len(scopes) > _MOST_SCOPES or not all(1 <= len(scope) <= _LONGEST_SCOPE for scope in scopes):
        _unreadable("have too many scopes, or an empty or too long one")
    requirements = Requirements(environment=environment, scopes=scopes) if environment or scopes else NO_REQUIREMENTS
    return _ProxyOptions(requirements, by_nginx="proxy" in values, metadata="include" in values)


@lru_cache(maxsize=4096)
def _with_address(requirements: Requirements, address: str | None) -> Requirements:
    return requirements if address is None else replace(requirements, client_ip=address)


def _unreadable(what: str) -> NoReturn:
    raise _Misconfigured("misconfigured_proxy", f"its requirements {what}")


def _presented(request: ProxyRequest) -> str | None:
    """Give the key in the headers; None where there is none."""
    key, *others = request.api_keys or [""]
    # Some proxies join headers of one name with a comma. No key contains one.
    if others or "," in key:
        raise _ambiguous("There is more than one X-API-Key header.")
    bearer = _bearer(request.authorization)
    if key and bearer is not None and key != bearer:
        raise _ambiguous("There are two different keys: one in Authorization, one in X-API-Key.")
    return bearer or key or None


def _bearer(authorization: list[str]) -> str | None:
    try:
        return bearer_of(authorization)
    except Refusal as refusal:
        if refusal.code == "missing_token":
            return None
        raise


def _ambiguous(sentence: str) -> KeyRefusal:
    return KeyRefusal("invalid_request", sentence, headers={"WWW-Authenticate": f'{REALM}, error="invalid_request"'})


def _accepted_facts(verdict: KeyVerdict) -> KeyFacts:
    """Give the facts of a valid key; raise the refusal of every other verdict."""
    if verdict.code is Code.VALID and verdict.facts is not None:
        return verdict.facts
    headers = {_STALE: "true"} if verdict.stale else {}
    if verdict.code in _NOT_VALID:
        headers["WWW-Authenticate"] = f'{REALM}, error="invalid_token"'
    elif verdict.code is Code.RATE_LIMITED:
        headers |= _rate_limits(verdict.rate_limits)
        seconds = retry_after_seconds(verdict.rate_limits)
        if seconds is not None:
            headers["Retry-After"] = str(seconds)
    raise KeyRefusal(verdict.code.value, headers=headers)


def _accepted_headers(verdict: KeyVerdict, request_id: bytes, *, metadata: bool) -> Headers:
    """Give the headers of the answer on a valid key; raise the refusal of every other verdict."""
    identity = _identity(_accepted_facts(verdict), metadata)
    headers = [*_FIXED_HEADERS, *identity, *_encoded(_rate_limits(verdict.rate_limits))]
    headers.append((b"x-request-id", request_id))
    if verdict.stale:
        headers.append((_STALE.lower().encode(), b"true"))
    return headers


@cached_by_key
def _written_identity(facts: KeyFacts, metadata: bool) -> bytes:
    return lines_of([*_FIXED_HEADERS, *_identity(facts, metadata)])


def _rate_limits(decision: RateLimitDecision | None) -> dict[str, str]:
    return {} if decision is None else rate_limit_headers(decision.states)


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


@cached_by_key
def _identity(facts: KeyFacts, metadata: bool) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-keywright-org", str(UUID(bytes=facts.org_id)).encode()),
        (b"x-keywright-key-id", str(UUID(bytes=facts.id)).encode()),
        (b"x-keywright-environment", quote(facts.environment, safe=_PLAIN).encode()),
        (b"x-keywright-scopes", ",".join(quote(scope, safe=_PLAIN) for scope in facts.scopes).encode()),
        (b"x-keywright-external-id", _quoted(facts.external_id)),
        (b"x-keywright-org-external-id", _quoted(facts.org_external_id)),
        (b"x-keywright-created-by", _quoted(facts.created_by)),
        (b"x-keywright-metadata", _quoted_json(facts.metadata) if metadata else b""),
    )


def _quoted(text: str | None) -> bytes:
    return quote(text or "", safe=_PLAIN).encode()


def _quoted_json(metadata: str | None) -> bytes:
    # Long metadata is not in the facts, and a proxy reads an answer's head into a small buffer.
    quoted = quote(metadata or "", safe=_PLAIN_JSON).encode()
    return quoted if len(quoted) <= _LONGEST_METADATA else b""
