"""
The fast path: a valid key in the cache, answered from the bytes of a request, before an ASGI cycle is built.

Each request is read once, and nothing is kept of it. Its head is found by its bytes among the heads that API servers
sent before, or read by one regular expression; its body is decoded by its type; the rest was made when the key was
cached. The fast path takes a plain head of a cached verifier, a plain body, and a valid key with limits that are
counted in this process. Every other request goes to the application, which is also the reference for these answers:
tests/api/test_fast_path.py compares the two, byte by byte. `Checker.accept` decides.
"""

from dataclasses import dataclass
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from keywright import telemetry
from keywright.api.http.bodies import MAX_BODY_BYTES
from keywright.api.verify.bodies import NOT_FOUND, PlainRequest, accept, read_plain
from keywright.api.verify.callers import KnownCallers, Senders
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.proxy_clients import Peer
from keywright.api.verify.request_head import LONGEST_HEAD, read_verify_head
from keywright.api.verify.responses import FIXED_HEADERS, Headers, lines_of, request_ids
from keywright.api.verify.schemas import VERIFY
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


@dataclass(frozen=True, slots=True)
class RequestHead:
    """
    The head of a request that the fast path may answer.

    `size` is its length in bytes, `whole` the length with the body, `caller` the verifier, and `number` its number for
    `Checker.accept`. It is good while `removals` is that of the cache of verifiers.
    """

    # Not a tuple with names: Python 3.11 finds slots in a third of the time.
    size: int
    whole: int
    caller: Caller
    number: int
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

    def __init__(self, checker: Checker, callers: KnownCallers, forward_auth: ForwardAuth | None = None) -> None:
        self._checker = checker
        self._forward_auth = forward_auth
        self._anonymous = callers.anonymous
        self._senders = Senders(callers.verifiers, checker.verifier_number)
        self._verifiers = callers.verifiers.cache
        self._now, self._monotonic = checker.clock, checker.monotonic
        # Heads contain the text of a credential: only those of good verifiers are kept, until any verifier changes.
        self._heads: BoundedDict[bytes, RequestHead] = BoundedDict(MOST_HEADS)
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
            presented = digest_of(request.key.encode()) if seen is None else seen.presented
            told = accept(self._checker, request, presented, None, head.number, at, self._now())
        except Exception:  # noqa: BLE001 - it is logged whole
            # The application answers the request instead, with the same error or without.
            _log.exception("unexpected error")
            return None
        return None if told is None else self._respond(told, default_headers)

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
        found = self._checker.look_up(head.caller, request.key, presented, request.client_ip)
        return None if found is None else FirstSight(request, presented, found)

    def answer_seen(self, head: RequestHead, seen: FirstSight, default_headers: Headers) -> bytes | None:
        """Answer a request whose look-up has ended; None, with nothing counted, where that is for the application."""
        if seen.found.cancelled() or seen.found.exception() is not None:
            return None
        if seen.found.result() is not None:
            return self.answer(head, b"", default_headers, seen)
        if not self._knows_sender(head):
            return None
        self._checker.refuse_unknown(head.caller, seen.request.client_ip)
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
        found = read_verify_head(head, len(FIRST_LINE), anonymous=self._anonymous)
        if found is None or not 0 < found[1] <= MAX_BODY_BYTES:
            return None
        credential, length = found
        removals = self._verifiers.removals
        if removals != self._removals:
            self._removals = removals
            self._heads.clear()
        sender = self._senders.find(credential, self._monotonic())
        if sender is None:
            return None
        return self._heads.keep(head, RequestHead(len(head), len(head) + length, *sender, removals))

    def _respond(self, body: bytes, default_headers: Headers) -> bytes:
        if default_headers is not self._opened_for:
            # uvicorn gives a new list each second, for the date.
            self._opening = STATUS_LINE[200] + lines_of([*default_headers, *FIXED_HEADERS]) + b"content-length: "
            self._opened_for = default_headers
        length = len(body)
        line = _LENGTHS[length] if length < len(_LENGTHS) else b"%d\r\nx-request-id: " % length
        return b"".join((self._opening, line, next(self._request_ids), _END, body))
