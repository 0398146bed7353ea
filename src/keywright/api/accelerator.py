"""
Verifications that need nobody else, answered out of the bytes of a request, before an ASGI cycle is built for it.

A client repeats itself to the byte. So a head is read once, by the parser that reads all of them, and known again by
its bytes while the connection lasts: it means what the parser said. And a whole request that was answered a moment ago
is known again by its digest, wherever it comes from; its answer counts for as long as what it depends on is the same.
What a proxy asks is all head, and another one for every client: it is read each time.

Taken is only a head without any peculiarity with its body in one piece, from a verifier that is held, for a key that is
held or a text that is no key, with limits that are counted here. Every other request goes to the application, which is
also the reference for whatever is answered here: tests/api/test_accelerator.py holds the two against each other, byte
by byte. Nothing is decided here; `keys.verdict` does, and `api.checking` counts.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from keywright.api import verify_answers, verify_bodies
from keywright.api.bodies import MAX_BODY_BYTES
from keywright.api.callers import Caller
from keywright.api.checking import FIXED_HEADERS, VERIFY, Checkers, read_headers
from keywright.api.forward_auth import FORWARD_AUTH, ForwardAuth, Peer
from keywright.api.problems import Refusal
from keywright.api.request_head import read_plain_head
from keywright.api.verify_bodies import Wish
from keywright.keys.addresses import network_of
from keywright.keys.verdict import Code, KeyFacts, explain
from keywright.service.checking_ports import Verifier
from keywright.service.usage import Place, hour_end, place_of
from keywright.service.verification import Verdict, limited

_log = structlog.stdlib.get_logger("keywright.error")

_FIRST_LINE = f"POST {VERIFY} HTTP/1.1\r\n".encode()
_ASKED = f"GET {FORWARD_AUTH}".encode()
_MOST_READY = 16_384
LONGEST_READY = 2048

DefaultHeaders = list[tuple[bytes, bytes]]


class Head(NamedTuple):
    """The head of a request that may be answered here: its bytes, the length of all, and the digest of who asks."""

    raw: bytes
    length: int
    credential: bytes


@dataclass(slots=True, eq=False, kw_only=True)
class _Ready:
    """
    The answer to a request that was answered before, without what becomes of limits.

    It counts while the verifier and the facts that it was made from are those that are held by these digests, from
    `since` until `until`, in seconds since the epoch. `before_id` and `after_id` are what is written around the id of
    the request; `before_states` instead, for a key with limits. `place` is where uses are noted; None where the answer
    is a refusal. The limits to be asked are those of the facts, for a good key.
    """

    credential: bytes
    verifier: Verifier
    presented: bytes
    facts: KeyFacts
    since: float
    until: float
    wish: Wish
    code: Code
    before_id: bytes
    after_id: bytes
    before_states: tuple[bytes, ...]
    place: Place | None


class Accelerator:
    """
    Answers what needs nobody else.

    Args:
        checkers: What checking needs.
        forward_auth: What answers proxies; None for nothing.
    """

    def __init__(self, checkers: Checkers, forward_auth: ForwardAuth | None = None) -> None:
        self._checkers = checkers
        self._forward_auth = forward_auth
        self._verifiers = checkers.callers.verifiers
        self._held_verifier, self._held_facts = self._verifiers.known.held, checkers.verification.held
        self._now, self._monotonic = checkers.now, checkers.monotonic
        self._ready: OrderedDict[bytes, _Ready] = OrderedDict()
        self._accepted = 0
        self._request_ids = checkers.request_ids
        self._spend_now, self._note_at = checkers.limiter.acquire_now, checkers.usage.note_at
        self._opened_for: DefaultHeaders | None = None
        self._beginning = self._opening = b""

    def head_of(self, data: bytes) -> Head | None:
        """
        Read the head that *data* begins with; None where a request with it, whatever its body, is not for here.

        Args:
            data: What came in where a request may begin.
        """
        plain = read_plain_head(data) if data.startswith(_FIRST_LINE) else None
        if plain is None:
            return None
        raw, fields, length = plain
        headers = read_headers(fields)
        if not headers.plain_json or headers.wants_facts or not 0 < length <= MAX_BODY_BYTES:
            return None
        credential = self._checkers.callers.credential(headers.authorization)
        return None if credential is None else Head(raw, len(raw) + length, credential)

    def is_expected(self, head: Head) -> bool:
        """Tell whether a request with this head can be answered here, once its body is there."""
        return self._verifiers.held(head.credential, self._monotonic()) is not None

    def repeat(self, data: bytes, default_headers: DefaultHeaders) -> bytes | None:
        """
        Answer a request that `answer` answered before; None, with nothing counted or noted, where that is not possible.

        Args:
            data: What came in where a request may begin.
            default_headers: What every answer begins with.
        """
        try:
            return self._repeat(data, default_headers)
        except Exception:  # noqa: BLE001 - it is logged whole
            _log.exception("unexpected error")
            return None

    def answer(self, head: Head, data: bytes, default_headers: DefaultHeaders) -> bytes | None:
        """
        Answer one whole request; None, with nothing counted or noted, where that is for the application.

        Args:
            head: What *data* begins with.
            data: The request.
            default_headers: What every answer begins with.
        """
        try:
            body = self._body(head, data)
        except Exception:  # noqa: BLE001 - it is logged whole
            # The application meets the same error, or a better end, and says so to the client.
            _log.exception("unexpected error")
            return None
        return None if body is None else self._whole(default_headers, *_around_id(body))

    def let_through(self, data: bytes, peer: Peer | None, default_headers: DefaultHeaders) -> bytes | None:
        """
        Answer a proxy about a key that is let through; None, with nothing counted, noted or spent, for all else.

        Args:
            data: What came in where a request may begin.
            peer: The proxy.
            default_headers: What every answer begins with.
        """
        if self._forward_auth is None or not data.startswith(_ASKED):
            return None
        try:
            told = self._forward_auth.answer_request(data, peer)
        except Exception:  # noqa: BLE001 - it is logged whole
            _log.exception("unexpected error")
            return None
        if told is None:
            return None
        self._open(default_headers)
        return self._beginning + told

    def _repeat(self, data: bytes, default_headers: DefaultHeaders) -> bytes | None:
        if len(data) > LONGEST_READY:
            return None
        # A request holds the texts of two secrets, and is remembered as they are, by a digest.
        ready = self._ready.get(sha256(data).digest())
        if ready is None:
            return None
        at = self._monotonic()
        facts = ready.facts
        if (
            self._held_facts(ready.presented, at) is not facts
            or self._held_verifier(ready.credential, at) is not ready.verifier
        ):
            return None
        now = self._now()
        if not ready.since <= now < ready.until:
            return None
        place = ready.place
        before_id, after_id = ready.before_id, ready.after_id
        if place is None:
            self._checkers.count(ready.code)
        else:
            if facts.rate_limits:
                spending = self._spend_now(facts.id, facts.rate_limits, ready.wish.cost)
                if spending is None:
                    return None
                if not spending.allowed:
                    self._checkers.count(Code.RATE_LIMITED)
                    verdict = limited(Verdict(ready.code, facts, ready.presented), spending)
                    return self._whole(default_headers, *_around_id(_written(verdict, ready.wish, now)))
                before_id, after_id = _around_id(verify_answers.with_states(ready.before_states, spending))
            self._note_at(place, now)
            self._count_accepted()
        return self._whole(default_headers, before_id, after_id)

    def _body(self, head: Head, data: bytes) -> bytes | None:
        verifier = self._verifiers.held(head.credential, self._monotonic())
        if verifier is None:
            return None
        try:
            text, wish = verify_bodies.read(data[len(head.raw) :])
        except Refusal:
            return None
        # Read before the verdict, so that a key which expires meanwhile is not taken for one that goes on.
        since = self._now()
        verdict = self._checkers.verify_now(Caller(verifier.name, verifier, None), text, wish.ask, cost=wish.cost)
        if verdict is None:
            return None
        if len(data) <= LONGEST_READY and verdict.code is not Code.RATE_LIMITED and not wish.explain:
            self._keep(head.credential, data, verifier, verdict, wish, since)
        return _written(verdict, wish, self._now())

    def _keep(
        self, credential: bytes, data: bytes, verifier: Verifier, verdict: Verdict, wish: Wish, since: float
    ) -> None:
        """Be ready for the same request; *verdict* is what was decided of it after *since*."""
        facts, presented = verdict.facts, verdict.digest
        if facts is None or presented is None:
            return
        body = verify_answers.written(Verdict(verdict.code, facts, presented))
        before_id, after_id = _around_id(body)
        place = None
        if verdict.code is Code.VALID:
            place = place_of(facts, presented, since, verifier=verifier.name, network=network_of(wish.ask.client_ip))
        ends = (facts.expires_at, facts.retires_at, hour_end(since))
        if len(self._ready) >= _MOST_READY:
            self._ready.popitem(last=False)
        self._ready[sha256(data).digest()] = _Ready(
            credential=credential,
            verifier=verifier,
            presented=presented,
            facts=facts,
            since=since,
            until=min(end for end in ends if end > since),
            wish=wish,
            code=verdict.code,
            before_id=before_id,
            after_id=after_id,
            before_states=verify_answers.before_states(body, facts.rate_limits) if facts.rate_limits else (),
            place=place,
        )

    def _count_accepted(self) -> None:
        # One addition to the metric for all that the loop answers in one go.
        self._accepted += 1
        if self._accepted == 1:
            asyncio.get_running_loop().call_soon(self._tell_accepted)

    def _tell_accepted(self) -> None:
        self._checkers.count(Code.VALID, self._accepted)
        self._accepted = 0

    def _whole(self, default_headers: DefaultHeaders, before_id: bytes, after_id: bytes) -> bytes:
        self._open(default_headers)
        return b"".join((self._opening, before_id, next(self._request_ids), after_id))

    def _open(self, default_headers: DefaultHeaders) -> None:
        """Write what every answer begins with, anew when uvicorn gives another list: every second, for the date."""
        if default_headers is self._opened_for:
            return
        self._beginning = STATUS_LINE[200] + _lines(default_headers)
        self._opening = self._beginning + _lines(FIXED_HEADERS) + b"content-length: "
        self._opened_for = default_headers


def _lines(headers: DefaultHeaders) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def _around_id(body: bytes) -> tuple[bytes, bytes]:
    """Give what stands before and after the id of the request, from the length of *body* on."""
    return b"%d\r\nx-request-id: " % len(body), b"\r\n\r\n" + body


def _written(verdict: Verdict, wish: Wish, now: float) -> bytes:
    explanation = explain(verdict.code, verdict.facts, wish.ask, now) if wish.explain else None
    return verify_answers.written(verdict, explanation=explanation)
