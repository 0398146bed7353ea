"""
Forward authentication, `/forward-auth` and `/ext-authz/{path}`: a proxy checks the key of each request.

The request of the proxy has headers, and for Envoy path and query, of a client that may be hostile. So the client's
part only presents a key; the requirements come from what the proxy itself writes: the query of `/forward-auth`, and a
header for `/ext-authz`. docs/operate/proxies.md has the tested configuration of each proxy.

A plain question about a good key in the cache is answered from its bytes: `ForwardAuth.answer_request`. All others take
the ASGI application, `ForwardAuth` itself, which is the reference: tests/api/test_proxy_questions.py compares the two.
"""

import re
from dataclasses import replace
from time import perf_counter
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keywright import telemetry
from keywright.api.http.principal import bearer_of
from keywright.api.http.problems import REALM, KeyRefusal, Refusal
from keywright.api.http.routing import header_values
from keywright.api.verify.callers import Senders
from keywright.api.verify.proxy_answers import accepted_headers, for_nginx, opening, written_answer
from keywright.api.verify.proxy_clients import AdmittedPeers, Peer, ProxyClients
from keywright.api.verify.proxy_head import is_ext_authz, query_of, read_question
from keywright.api.verify.proxy_options import NO_OPTIONS, Misconfigured, ProxyOptions, read_options
from keywright.api.verify.responses import EXT_AUTHZ_METER, FORWARD_AUTH_METER, Headers, error_response, request_ids
from keywright.keys.addresses import Networks, address_text, client_address
from keywright.keys.bounded import BoundedDict
from keywright.keys.format import digest_of
from keywright.keys.usage import agent_family
from keywright.keys.usage_records import CallerName
from keywright.keys.verdict import Requirements
from keywright.service.checking.verdicts import Caller, KeyVerdict
from keywright.service.checking.verification import Checker
from keywright.service.verifiers import Verifiers

FORWARD_AUTH = "/forward-auth"
EXT_AUTHZ = "/ext-authz"
PATHS = re.compile(f"{FORWARD_AUTH}/*|{EXT_AUTHZ}(?:/.*)?", re.DOTALL)

_log = telemetry.Log("keywright.forward_auth")

# The name of the caller where proxies need no credential.
_OPEN_NAME = "forward-auth"
_ANY_CALLER = Caller(_OPEN_NAME, None, None)
_MOST_OPTIONS = 256


class ForwardAuth:
    """
    Answers the questions of proxies: every request to a path of `PATHS`.

    Args:
        checker: Checks keys.
        verifiers: Recognises the credentials of proxies.
        who: `verifier`: a proxy sends its credential in `X-Keywright-Verifier`. `open`: no credential is needed.
        trusted: The networks of proxies whose `X-Forwarded-For` is trusted.
        admitted: The networks of proxies that need no credential, also with `verifier`.
    """

    def __init__(
        self,
        checker: Checker,
        verifiers: Verifiers,
        *,
        who: Literal["verifier", "open"],
        trusted: Networks,
        admitted: Networks = (),
    ) -> None:
        self._checker = checker
        self._request_ids = request_ids()
        self._verifiers = verifiers
        self._open = who == "open"
        self._admitted = AdmittedPeers(admitted) if admitted else None
        self._clients = ProxyClients(trusted)
        self._accept, self._clock, self._monotonic = checker.accept, checker.clock, checker.monotonic
        # First lines of `/forward-auth` are a proxy's. Those of `/ext-authz` are its clients', so the options are found
        # by their own text.
        self._by_line: BoundedDict[bytes, ProxyOptions] = BoundedDict(_MOST_OPTIONS)
        self._by_text: BoundedDict[bytes, ProxyOptions] = BoundedDict(_MOST_OPTIONS)
        self._senders = Senders(verifiers, checker.verifier_number)
        self._opened_for: Headers | None = None
        self._opened = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        meter = EXT_AUTHZ_METER if scope["path"].startswith(EXT_AUTHZ) else FORWARD_AUTH_METER
        request_id = next(self._request_ids)
        options = NO_OPTIONS
        try:
            request = Request(scope)
            options = read_options(_options_text(request))
            verdict = await self._decide(request, options.requirements)
            headers = accepted_headers(verdict, request_id, metadata=options.metadata)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer; the unexpected is logged whole
            response = self._refuse(error, scope, request_id.decode(), by_nginx=options.by_nginx)
            await response(scope, receive, send)
            meter.observe(perf_counter() - began, response.status_code)
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        meter.observe(perf_counter() - began)

    def answer_request(self, data: bytes, peer: Peer | None, default_headers: Headers) -> bytes | None:
        """
        Write the whole answer on a valid key in the cache.

        Args:
            data: The bytes of a request.
            peer: The proxy, as in an ASGI scope.
            default_headers: The first headers of every answer.

        Returns:
            None, with nothing counted, where the key is refused, the check takes a database or Redis, or the question
            is not plain.
        """
        question = read_question(data)
        if question is None:
            return None
        line, key, credential, forwarded, required, agent = question
        options = self._by_line.get(line) or self._read_plain_options(line, required)
        at = self._monotonic()
        caller = self._caller_of(peer, credential, agent, at)
        if options is None or caller is None:
            return None
        requirements, _, metadata = options
        address = self._clients.number(peer, () if forwarded is None else (forwarded,))
        accepted = self._accept(
            digest_of(key), requirements.scopes, requirements.environment, address, 1, None, caller, at, self._clock()
        )
        if accepted is None:
            return None
        if default_headers is not self._opened_for:
            # uvicorn gives a new list each second, for the date.
            self._opened, self._opened_for = opening(default_headers), default_headers
        return written_answer(self._opened, *accepted, next(self._request_ids), metadata=metadata)

    def _read_plain_options(self, line: bytes, required: bytes | None) -> ProxyOptions | None:
        """Read the options of a plain question; None where they are malformed, or its first line is not plain."""
        query = query_of(line)
        if query is None and not is_ext_authz(line):
            return None
        try:
            if query is not None:
                return self._by_line.keep(line, read_options(query))
            text = required or b""
            return self._by_text.get(text) or self._by_text.keep(text, read_options(text))
        except Misconfigured:
            return None

    def _caller_of(
        self, peer: Peer | None, credential: bytes | None, agent: str | None, at: float
    ) -> int | CallerName | None:
        """Give the proxy at this address, with this credential, for `Checker.accept`; None where it is not cached."""
        if self._open or (self._admitted is not None and self._admitted.admits(peer)):
            return _OPEN_NAME, agent
        sender = None if credential is None else self._senders.find(credential, at)
        if sender is None:
            return None
        return sender.number if agent is None else (sender.caller.name, agent)

    async def _decide(self, request: Request, requirements: Requirements) -> KeyVerdict:
        caller = await self._caller(request)
        key = _presented(request)
        if key is None:
            raise KeyRefusal("missing_key", headers={"WWW-Authenticate": REALM})
        address = self._clients.number(request.scope.get("client"), header_values(request, b"x-forwarded-for"))
        if address:
            requirements = replace(requirements, client_ip=address_text(address))
        agent = "".join(header_values(request, b"user-agent")[-1:])
        return await self._checker.check(caller, key, requirements, agent=agent_family(agent))

    async def _caller(self, request: Request) -> Caller:
        if self._open or (self._admitted is not None and self._admitted.admits(request.scope.get("client"))):
            # Its credential is not looked at: it may be one that its client sent.
            return _ANY_CALLER
        credentials = header_values(request, b"x-keywright-verifier")
        if len(credentials) != 1:
            raise self._unknown_proxy(f"it sent {len(credentials)} X-Keywright-Verifier headers, not 1")
        verifier = await self._verifiers.recognize(credentials[0])
        if verifier is None:
            raise self._unknown_proxy("its X-Keywright-Verifier is no credential, or was revoked")
        return Caller(verifier.name, verifier, None)

    def _unknown_proxy(self, reason: str) -> Misconfigured:
        also = ", and its address is not in KEYWRIGHT_FORWARD_AUTH_FROM" if self._admitted is not None else ""
        return Misconfigured("verifier_required", f"{reason}{also}")

    def _refuse(self, error: Exception, scope: Scope, request_id: str, *, by_nginx: bool) -> Response:
        if isinstance(error, Misconfigured):
            peer: Peer | None = scope.get("client")
            proxy = client_address(None if peer is None else peer[0], (), ())
            _log.warning("a proxy is misconfigured", reason=error.reason, proxy=proxy, request_id=request_id)
        response = error_response(error, scope, request_id)
        return for_nginx(response) if by_nginx else response


def _options_text(request: Request) -> bytes:
    """Give the text of the proxy's options, from the place that its client cannot write to."""
    if not request.scope["path"].startswith(EXT_AUTHZ):
        query: bytes = request.scope["query_string"]
        return query
    required = header_values(request, b"x-keywright-require")
    if len(required) > 1:
        raise Misconfigured("misconfigured_proxy", "it sent more than one X-Keywright-Require header")
    return "".join(required).encode("latin-1")


def _presented(request: Request) -> str | None:
    """Give the key in the headers; None where there is none. An alias such as `x_api_key` is not read."""
    key, *others = header_values(request, b"x-api-key") or [""]
    # Some proxies join headers of one name with a comma. No key contains one.
    if others or "," in key:
        raise _ambiguous("There is more than one X-API-Key header.")
    bearer = _bearer(header_values(request, b"authorization"))
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
