"""
The fast path: a valid key in the cache, answered from the bytes of a request, before an ASGI cycle is built.

Each request is read once, and nothing is kept of it. Its head is found by its bytes among the heads that API servers
sent before, or read by one regular expression; its body is decoded by its type; the rest was made when the key was
cached. The fast path takes a plain head of a cached verifier, a plain body, and a valid key with limits that are
counted in this process. Every other request goes to the application, which is also the reference for these answers:
tests/api/test_fast_path.py compares the two, byte by byte. `Checker.accept` decides.
"""

from typing import NamedTuple

from msgspec import UNSET
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from keywright import telemetry
from keywright.api.http.bodies import MAX_BODY_BYTES
from keywright.api.verify.bodies import NOT_FOUND, PlainRequest, read_plain, write_accepted
from keywright.api.verify.callers import Callers
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.proxy_clients import Peer
from keywright.api.verify.request_head import LONGEST_HEAD, read_verify_head
from keywright.api.verify.responses import FIXED_HEADERS, Headers, lines_of, request_ids
from keywright.api.verify.schemas import VERIFY
from keywright.keys.addresses import packed
from keywright.keys.bounded import BoundedDict
from keywright.keys.format import digest_of
from keywright.service.checking.look_ups import Waiter
from keywright.service.checking.verdicts import Caller
from keywright.service.checking.verification import Checker

_log = telemetry.Log("keywright.error")

FIRST_LINE = f"POST {VERIFY} HTTP/1.1\r\n".encode()
"""The first line of a request that `FastPath.answer` may answer."""
_END = b"\r\n\r\n"
# A verifier sends a head for each length of its bodies.
MOST_HEADS = 1024
_LENGTHS = [b"%d\r\nx-request-id: " % length for length in range(2048)]


class RequestHead(NamedTuple):
    """
    The head of a request that the fast path may answer.

    `size` is its length in bytes, `whole` the length with the body, `caller` the number of its verifier, which is
    `sender`. It is good while `removals` is that of the cache of verifiers.
    """

    size: int
    whole: int
    caller: int
    sender: Caller
    removals: int


class FirstSight(NamedTuple):
    """A request about a key that is not cached: what was read of it, the digest of the key, and its look-up."""

    request: PlainRequest
    presented: bytes
    found: Waiter


class FastPath:
    """
    Answers checks of valid keys in the cache.

    Args:
        checker: Checks keys.
        callers: Recognises callers.
        forward_auth: Answers proxies; None without forward authentication.
    """

    def __init__(self, checker: Checker, callers: Callers, forward_auth: ForwardAuth | None = None) -> None:
        self._checker = checker
        self._callers = callers
        self._forward_auth = forward_auth
        self._verifiers = callers.verifiers.cache
        self._now, self._monotonic, self._accept = checker.clock, checker.monotonic, checker.accept
        # Heads contain the text of a credential: only those of good verifiers are kept, until any verifier changes.
        self._heads: BoundedDict[bytes, RequestHead] = BoundedDict(MOST_HEADS)
        self._senders: BoundedDict[bytes, tuple[int, Caller]] = BoundedDict(MOST_HEADS)
        self._removals = self._verifiers.removals
        self._request_ids = request_ids()
        self._opened_for: Headers | None = None
        self._opening = b""

    def head_of(self, data: bytes) -> RequestHead | None:
        """
        Read the head that *data* begins with; None where the fast path takes no request with it, whatever its body.

        Args:
            data: Received bytes, from the beginning of a request.
        """
        size = data.find(_END, 0, LONGEST_HEAD) + len(_END)
        head = data[:size]
        known = self._heads.get(head)
        if known is not None and known.removals == self._verifiers.removals:
            return known
        return self._read_head(head)

    def answer(
        self, head: RequestHead, body: bytes, default_headers: Headers, seen: FirstSight | None = None
    ) -> bytes | None:
        """
        Answer a request about a valid key; None, with nothing counted or noted, where that is for the application.

        Args:
            head: Its head.
            body: Its body, whole.
            default_headers: The first headers of every answer.
            seen: The request, where it was read before; then *body* is not read.
        """
        try:
            request = read_plain(body) if seen is None else seen.request
            at = self._monotonic()
            if request is None or at > self._verifiers.fresh_until or head.removals != self._verifiers.removals:
                return None
            address, cost = request.client_ip, request.cost
            accepted = self._accept(
                digest_of(request.key.encode()) if seen is None else seen.presented,
                request.scopes,
                request.environment,
                0 if address is None else packed(address),
                1 if cost is UNSET else cost,
                None,
                head.caller,
                at,
                self._now(),
                bool(request.include),
            )
        except Exception:  # noqa: BLE001 - it is logged whole
            # The application answers the request instead, with the same error or without.
            _log.exception("unexpected error")
            return None
        if accepted is None:
            return None
        facts, decision = accepted
        return self._respond(write_accepted(facts, decision, bool(request.include)), default_headers)

    def look_up(self, head: RequestHead, body: bytes) -> FirstSight | None:
        """
        Look up the key of a request that `answer` could not answer; None where that is for the application.

        `answer_seen` may have the answer once the look-up has ended.

        Args:
            head: Its head.
            body: Its body, whole.
        """
        request = read_plain(body) if self._knows_sender(head) else None
        if request is None:
            return None
        presented = digest_of(request.key.encode())
        found = self._checker.look_up(head.sender, request.key, presented, request.client_ip)
        return None if found is None else FirstSight(request, presented, found)

    def answer_seen(self, head: RequestHead, seen: FirstSight, default_headers: Headers) -> bytes | None:
        """Answer a request whose look-up has ended; None, with nothing counted, where that is for the application."""
        if seen.found.cancelled() or seen.found.exception() is not None:
            return None
        if seen.found.result() is not None:
            return self.answer(head, b"", default_headers, seen)
        if not self._knows_sender(head):
            return None
        self._checker.refuse_unknown(head.sender, seen.request.client_ip)
        return self._respond(NOT_FOUND, default_headers)

    def _knows_sender(self, head: RequestHead) -> bool:
        return self._monotonic() <= self._verifiers.fresh_until and head.removals == self._verifiers.removals

    def answer_proxy(self, data: bytes, peer: Peer | None, default_headers: Headers) -> bytes | None:
        """
        Answer a proxy that a key is valid; None, with nothing counted, for every other answer.

        Args:
            data: Received bytes, from the beginning of a request.
            peer: The proxy.
            default_headers: The first headers of every answer.
        """
        if self._forward_auth is None:
            return None
        try:
            return self._forward_auth.answer_request(data, peer, default_headers)
        except Exception:  # noqa: BLE001 - it is logged whole
            _log.exception("unexpected error")
            return None

    def _read_head(self, head: bytes) -> RequestHead | None:
        if not head.startswith(FIRST_LINE):
            return None
        found = read_verify_head(head, len(FIRST_LINE))
        if found is None or not 0 < found.length <= MAX_BODY_BYTES:
            return None
        removals = self._verifiers.removals
        if removals != self._removals:
            self._removals = removals
            self._heads.clear()
            self._senders.clear()
        sender = self._senders.get(found.credential)
        if sender is None:
            verifier = self._callers.cached_verifier(found.credential, self._monotonic())
            if verifier is None:
                return None
            known = self._checker.verifier_number(verifier.name), Caller(verifier.name, verifier, None)
            sender = self._senders.keep(found.credential, known)
        return self._heads.keep(head, RequestHead(len(head), len(head) + found.length, *sender, removals))

    def _respond(self, body: bytes, default_headers: Headers) -> bytes:
        if default_headers is not self._opened_for:
            # uvicorn gives a new list each second, for the date.
            self._opening = STATUS_LINE[200] + lines_of([*default_headers, *FIXED_HEADERS]) + b"content-length: "
            self._opened_for = default_headers
        length = len(body)
        line = _LENGTHS[length] if length < len(_LENGTHS) else b"%d\r\nx-request-id: " % length
        return b"".join((self._opening, line, next(self._request_ids), _END, body))
