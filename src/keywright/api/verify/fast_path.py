"""
The fast path: checks that need no waiting, answered from the bytes of a request, before an ASGI cycle is built.

A client repeats its bytes. So a head is parsed once, by the parser of all requests, and compared by its bytes while the
connection lasts. A whole request is found by its digest, on any connection; its cached answer is valid as long as its
verdict can be repeated. A request of a proxy is only a head, different for every client: it is read each time.

The fast path takes only a plain head with its body in one piece, from a cached verifier, for a cached key or a text
that is no key, with rate limits that are counted in this process. Every other request goes to the application, which
is also the reference for the answers of the fast path: tests/api/test_fast_path.py compares the two, byte by byte.
`service.checking` decides.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from keywright import telemetry
from keywright.api.http.bodies import MAX_BODY_BYTES
from keywright.api.http.problems import Refusal
from keywright.api.verify import bodies as verify_bodies
from keywright.api.verify.bodies import CheckOptions
from keywright.api.verify.callers import Callers
from keywright.api.verify.forward_auth import FORWARD_AUTH, ForwardAuth, Peer
from keywright.api.verify.request_head import read_plain_head
from keywright.api.verify.responses import FIXED_HEADERS, Headers, lines_of, request_ids
from keywright.api.verify.schemas import VERIFY
from keywright.service.checking.verdicts import Caller, KeyVerdict, RepeatableVerdict
from keywright.service.checking.verification import Checker
from keywright.service.verifiers import Verifier

_log = telemetry.Log("keywright.error")

_FIRST_LINE = f"POST {VERIFY} HTTP/1.1\r\n".encode()
_FROM_A_PROXY = f"GET {FORWARD_AUTH}".encode()
BEGINNINGS = (_FIRST_LINE, _FROM_A_PROXY)
"""The first bytes of the requests that the fast path may answer."""
_MOST_CACHED = 16_384
LONGEST_CACHED = 2048


class VerifyHeaders(NamedTuple):
    """The headers of a check that the service reads."""

    authorization: list[str]
    plain_json: bool
    wants_facts: bool
    of_page: bool


def read_headers(fields: Iterable[tuple[bytes, bytes]]) -> VerifyHeaders:
    """Read the headers of a check; names are in lower case."""
    authorization: list[str] = []
    content_type = b""
    encoded = wants_facts = of_page = False
    for name, value in fields:
        if name == b"authorization":
            authorization.append(value.decode("latin-1"))
        elif name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            encoded = True
        elif name == b"keywright-facts":
            wants_facts = value == b"1"
        elif name == b"origin":
            of_page = True
    return VerifyHeaders(authorization, content_type == b"application/json" and not encoded, wants_facts, of_page)


class RequestHead(NamedTuple):
    """The head of a request for the fast path: its bytes, the whole length, and the digest of the credential."""

    raw: bytes
    length: int
    credential: bytes


@dataclass(slots=True, eq=False)
class _CachedAnswer:
    """
    The answer to a request, for the same request.

    It is valid while the verdict can be repeated, and while the cache of verifiers has this one by the digest of its
    credential. `before_id` and `after_id` are written around the request id; for a key with rate limits the body is
    written anew, with `before_states`.
    """

    credential: bytes
    verifier: Verifier | None
    verdict: RepeatableVerdict
    before_id: bytes
    after_id: bytes
    before_states: tuple[bytes, ...]
    metadata: bool


class FastPath:
    """
    Answers checks that need no waiting.

    Args:
        checker: Checks keys.
        callers: Recognises callers.
        forward_auth: Answers proxies; None without forward authentication.
    """

    def __init__(self, checker: Checker, callers: Callers, forward_auth: ForwardAuth | None = None) -> None:
        self._checker = checker
        self._callers = callers
        self._forward_auth = forward_auth
        self._cached_verifier = callers.verifiers.cache.get_fresh
        self._now, self._monotonic, self._repeat_verdict = checker.clock, checker.monotonic, checker.repeat
        self._answers: OrderedDict[bytes, _CachedAnswer] = OrderedDict()
        self._request_ids = request_ids()
        self._opened_for: Headers | None = None
        self._beginning = self._opening = b""

    def head_of(self, data: bytes) -> RequestHead | None:
        """
        Read the head that *data* begins with; None where the fast path takes no request with it, whatever its body.

        Args:
            data: Received bytes, from the beginning of a request.
        """
        plain = read_plain_head(data) if data.startswith(_FIRST_LINE) else None
        if plain is None:
            return None
        raw, fields, length = plain
        headers = read_headers(fields)
        # The answer to a page of another origin has headers that the application adds.
        if not headers.plain_json or headers.wants_facts or headers.of_page or not 0 < length <= MAX_BODY_BYTES:
            return None
        credential = self._callers.credential(headers.authorization)
        return None if credential is None else RequestHead(raw, len(raw) + length, credential)

    def is_expected(self, head: RequestHead) -> bool:
        """Tell whether a request with this head can be answered here once its body has arrived."""
        return self._caller(head.credential) is not None

    def repeat(self, data: bytes, default_headers: Headers) -> bytes | None:
        """
        Answer a request that `answer` answered before; None, with nothing counted, where that is not possible.

        Args:
            data: Received bytes, from the beginning of a request.
            default_headers: The first headers of every answer.
        """
        if len(data) > LONGEST_CACHED:
            return None
        try:
            # A request contains the texts of two secrets, so only its digest is kept.
            answer = self._answers.get(sha256(data).digest())
            if answer is None:
                return None
            at = self._monotonic()
            if self._cached_verifier(answer.credential, at) is not answer.verifier:
                return None
            verdict = self._repeat_verdict(answer.verdict, at, self._now())
            if verdict is None:
                return None
            decision = verdict.rate_limits
            if decision is None:
                return self._whole(default_headers, answer.before_id, answer.after_id)
            if decision.allowed:
                return self._with_body(default_headers, verify_bodies.with_states(answer.before_states, decision))
            return self._with_body(default_headers, verify_bodies.write(verdict, metadata=answer.metadata))
        except Exception:  # noqa: BLE001 - it is logged whole
            _log.exception("unexpected error")
            return None

    def answer(self, head: RequestHead, data: bytes, default_headers: Headers) -> bytes | None:
        """
        Answer one whole request; None, with nothing counted or noted, where that is for the application.

        Args:
            head: The head that *data* begins with.
            data: The whole request.
            default_headers: The first headers of every answer.
        """
        try:
            body = self._body(head, data)
        except Exception:  # noqa: BLE001 - it is logged whole
            # The application answers the request instead, with the same error or without.
            _log.exception("unexpected error")
            return None
        return None if body is None else self._with_body(default_headers, body)

    def answer_proxy(self, data: bytes, peer: Peer | None, default_headers: Headers) -> bytes | None:
        """
        Answer a proxy that a key is valid; None, with nothing counted, for every other answer.

        Args:
            data: Received bytes, from the beginning of a request.
            peer: The proxy.
            default_headers: The first headers of every answer.
        """
        if self._forward_auth is None or not data.startswith(_FROM_A_PROXY):
            return None
        try:
            answer = self._forward_auth.answer_request(data, peer)
        except Exception:  # noqa: BLE001 - it is logged whole
            _log.exception("unexpected error")
            return None
        if answer is None:
            return None
        if default_headers is not self._opened_for:
            self._open(default_headers)
        return self._beginning + answer

    def _caller(self, credential: bytes) -> Caller | None:
        verifier = self._cached_verifier(credential, self._monotonic())
        return None if verifier is None or verifier.revoked_at is not None else Caller(verifier.name, verifier, None)

    def _body(self, head: RequestHead, data: bytes) -> bytes | None:
        caller = self._caller(head.credential)
        if caller is None:
            return None
        try:
            text, options = verify_bodies.read(data[len(head.raw) :])
        except Refusal:
            return None
        # Read before the verdict: a key that expires in between must not be repeated as valid.
        since = self._now()
        verdict = self._checker.check_now(
            caller, text, options.requirements, cost=options.cost, metadata=options.metadata
        )
        if verdict is None:
            return None
        if len(data) <= LONGEST_CACHED and not options.explain:
            written = self._keep(head.credential, data, caller, verdict, options, since)
            if written is not None and verdict.rate_limits is None:
                return written
        return verify_bodies.write_with(options, verdict)

    def _keep(
        self, credential: bytes, data: bytes, caller: Caller, verdict: KeyVerdict, options: CheckOptions, since: float
    ) -> bytes | None:
        """
        Cache the answer to a request; *since* is a time before its verdict was given.

        Returns:
            The body that was written, without the state of rate limits; None where the verdict cannot be repeated.
        """
        cached = self._checker.cacheable(caller, verdict, options.requirements, since, cost=options.cost)
        if cached is None:
            return None
        body, limits = verify_bodies.write(cached.verdict, metadata=options.metadata), cached.facts.rate_limits
        if len(self._answers) >= _MOST_CACHED:
            self._answers.popitem(last=False)
        self._answers[sha256(data).digest()] = _CachedAnswer(
            credential,
            caller.verifier,
            cached,
            *_around_id(body),
            verify_bodies.before_states(body, limits) if limits else (),
            options.metadata,
        )
        return body

    def _with_body(self, default_headers: Headers, body: bytes) -> bytes:
        if default_headers is not self._opened_for:
            self._open(default_headers)
        length = b"%d\r\nx-request-id: " % len(body)
        return b"".join((self._opening, length, next(self._request_ids), b"\r\n\r\n", body))

    def _whole(self, default_headers: Headers, before_id: bytes, after_id: bytes) -> bytes:
        if default_headers is not self._opened_for:
            self._open(default_headers)
        return b"".join((self._opening, before_id, next(self._request_ids), after_id))

    def _open(self, default_headers: Headers) -> None:
        """Write the beginning of every response; uvicorn gives a new list each second, for the date."""
        self._beginning = STATUS_LINE[200] + lines_of(default_headers)
        self._opening = self._beginning + lines_of(FIXED_HEADERS) + b"content-length: "
        self._opened_for = default_headers


def _around_id(body: bytes) -> tuple[bytes, bytes]:
    """Give the bytes before and after the request id, from the length of *body* on."""
    return b"%d\r\nx-request-id: " % len(body), b"\r\n\r\n" + body
