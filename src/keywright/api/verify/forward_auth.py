"""
Forward authentication, `/forward-auth` and `/ext-authz/{path}`: a proxy checks the key of each request.

The request of the proxy has headers, and for Envoy path and query, of a client that may be hostile. So the client's
part only presents a key; the requirements come from what the proxy itself writes: the query of `/forward-auth`, and a
header for `/ext-authz`. docs/operate/proxies.md has the tested configuration of each proxy.

A plain question about a good key in the cache is answered from its bytes: `ForwardAuth.answer_request`. All others take
the ASGI application, `ForwardAuth` itself, which is the reference: tests/api/test_proxy_questions.py compares the two.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import Literal

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keywright import telemetry
from keywright.api.http.principal import bearer_of
from keywright.api.http.problems import REALM, KeyRefusal, Refusal
from keywright.api.verify.proxy_answers import (
    accepted_facts,
    accepted_headers,
    for_nginx,
    written_identity,
    written_rate_limits,
)
from keywright.api.verify.proxy_head import Question, is_ext_authz, query_of, read_question
from keywright.api.verify.proxy_options import NO_OPTIONS, Misconfigured, ProxyOptions, read_options
from keywright.api.verify.responses import EXT_AUTHZ_METER, FORWARD_AUTH_METER, error_response, request_ids
from keywright.keys.addresses import Network, client_address
from keywright.keys.format import digest_of
from keywright.keys.usage import agent_family
from keywright.keys.verdict import Requirements
from keywright.service.checking.verdicts import Caller, KeyVerdict
from keywright.service.checking.verification import Checker
from keywright.service.verifiers import Verifiers

FORWARD_AUTH = "/forward-auth"
EXT_AUTHZ = "/ext-authz"
PATHS = re.compile(f"{FORWARD_AUTH}/*|{EXT_AUTHZ}(?:/.*)?", re.DOTALL)

Peer = tuple[str, int]

_log = telemetry.Log("keywright.forward_auth")

_ANY_CALLER = Caller("forward-auth", None, None)


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
            raise Misconfigured("misconfigured_proxy", "it sent more than one X-Keywright-Require header")
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
        options = NO_OPTIONS
        try:
            request = ProxyRequest(
                scope["headers"], query=None if scope["path"].startswith(EXT_AUTHZ) else scope["query_string"]
            )
            options = read_options(request.options_text())
            verdict = await self._decide(request, options.requirements, scope.get("client"))
            headers = accepted_headers(verdict, request_id, metadata=options.metadata)
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
            None, with nothing counted, where the key is refused, the check takes a database or Redis, or the question
            is not plain.
        """
        question = read_question(data)
        options = None if question is None else self._options(question)
        if question is None or options is None:
            return None
        caller = self._caller_now(question.credential)
        if caller is None:
            return None
        forwarded = () if question.forwarded is None else (question.forwarded.decode(),)
        requirements = _with_address(options.requirements, self._client(forwarded, peer))
        agent = None if question.agent is None else question.agent.decode()
        verdict = self._checker.check_now(caller, question.key.decode(), requirements, agent=agent, only_valid=True)
        if verdict is None:
            return None
        return b"".join((
            written_identity(accepted_facts(verdict), options.metadata),
            written_rate_limits(verdict.rate_limits),
            b"x-request-id: ", next(self._request_ids), b"\r\n\r\n",
        ))  # fmt: skip

    def _options(self, question: Question) -> ProxyOptions | None:
        """Give the options of a plain question; None where they are malformed, or its first line is not plain."""
        text = query_of(question.line)
        if text is None:
            if not is_ext_authz(question.line):
                return None
            text = question.required or b""
        try:
            return read_options(text)
        except Misconfigured:
            return None

    async def _decide(self, request: ProxyRequest, requirements: Requirements, peer: Peer | None) -> KeyVerdict:
        caller = await self._caller(request.verifiers)
        key = _presented(request)
        if key is None:
            raise KeyRefusal("missing_key", headers={"WWW-Authenticate": REALM})
        requirements = _with_address(requirements, self._client(request.forwarded, peer))
        return await self._checker.check(caller, key, requirements, agent=agent_family(request.agent))

    async def _caller(self, credentials: list[str]) -> Caller:
        if self._open:
            return _ANY_CALLER
        if len(credentials) != 1:
            raise Misconfigured("verifier_required", f"it sent {len(credentials)} X-Keywright-Verifier headers, not 1")
        verifier = await self._verifiers.recognize(credentials[0])
        if verifier is None:
            raise Misconfigured("verifier_required", "its X-Keywright-Verifier is no credential, or was revoked")
        return Caller(verifier.name, verifier, None)

    def _caller_now(self, credential: bytes | None) -> Caller | None:
        if self._open:
            return _ANY_CALLER
        if credential is None:
            return None
        verifier = self._verifiers.cached(digest_of(credential), self._checker.monotonic())
        return None if verifier is None else Caller(verifier.name, verifier, None)

    def _client(self, forwarded: Sequence[str], peer: Peer | None) -> str | None:
        host = None if peer is None else peer[0]
        address = client_address(host, forwarded, self._trusted)
        if address != client_address(host, (), ()):
            return address
        # The peer is a proxy. As the client's address, it would put all clients under one failure limit.
        if forwarded and not self._warned:
            self._warned = True
            _log.warning("X-Forwarded-For is not trusted; name the proxy in KEYWRIGHT_TRUSTED_PROXIES", proxy=address)
        return None

    def _refuse(self, error: Exception, scope: Scope, request_id: str, *, by_nginx: bool) -> Response:
        if isinstance(error, Misconfigured):
            peer: Peer | None = scope.get("client")
            proxy = client_address(None if peer is None else peer[0], (), ())
            _log.warning("a proxy is misconfigured", reason=error.reason, proxy=proxy, request_id=request_id)
        response = error_response(error, scope, request_id)
        return for_nginx(response) if by_nginx else response


@lru_cache(maxsize=4096)
def _with_address(requirements: Requirements, address: str | None) -> Requirements:
    return requirements if address is None else replace(requirements, client_ip=address)


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
