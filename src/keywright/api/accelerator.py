"""
Verifications that need nobody else, answered out of the bytes of a request, before an ASGI cycle is built for it.

A client repeats the head of its requests to the byte. So a head is read once, by the parser that reads all of them, and
known again by its bytes while the connection lasts: it means what the parser said. In the same way a question that was
answered a moment ago is known again by its bytes; its answer counts for as long as what it depends on is the same.

Taken is only a head without any peculiarity with its body in one piece, from a verifier that is held, for a key that is
held or a text that is no key, with limits that are counted here. Every other request goes to the application, which is
also the reference for whatever is answered here: tests/api/test_accelerator.py holds the two against each other, byte
by byte. Nothing is decided here; `keys.verdict` does, and `api.checking` counts.
"""

import asyncio
from collections import OrderedDict
from typing import NamedTuple

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from keywright.api import verify_answers, verify_bodies
from keywright.api.bodies import MAX_BODY_BYTES
from keywright.api.callers import Caller
from keywright.api.checking import FIXED_HEADERS, VERIFY, Checkers, read_headers
from keywright.api.problems import Refusal
from keywright.api.request_head import read_plain_head
from keywright.api.verify_bodies import LONGEST_REST, Wish, read_rest
from keywright.keys.digest import digest_of
from keywright.keys.sightings import network_of
from keywright.keys.verdict import Code, KeyFacts, explain, judge
from keywright.service.checking_ports import Verifier
from keywright.service.usage import Place, hour_end, place_of
from keywright.service.verification import Verdict, limited

_log = structlog.stdlib.get_logger("keywright.error")

_FIRST_LINE = f"POST {VERIFY} HTTP/1.1\r\n".encode()
# As programs write it: without white space, or with some as Python does.
_COLONS = (b":", b": ")
_MOST_READY = 16_384

DefaultHeaders = list[tuple[bytes, bytes]]


class Head(NamedTuple):
    """The head of a request that may be answered here: its bytes, the length of all, and the digest of who asks."""

    raw: bytes
    length: int
    credential: bytes


class _Ready(NamedTuple):
    """
    The answer to a question that was asked before, without what becomes of limits.

    It counts while the verifier and the facts that it was made from are those that are held, from `since` until
    `until`, in seconds since the epoch. `place` is where uses are noted; None where the answer is a refusal. The limits
    to be asked are those of the facts, for a good key.
    """

    verifier: Verifier
    facts: KeyFacts
    since: float
    until: float
    wish: Wish
    code: Code
    body: bytes
    before_states: tuple[bytes, ...]
    place: Place | None


class Accelerator:
    """
    Answers what needs nobody else.

    Args:
        checkers: What checking needs.
    """

    def __init__(self, checkers: Checkers) -> None:
        self._checkers = checkers
        self._verifiers, self._verification = checkers.callers.verifiers, checkers.verification
        self._now, self._monotonic = checkers.now, checkers.monotonic
        self._ready: OrderedDict[tuple[bytes, bytes, bytes], _Ready] = OrderedDict()
        self._accepted = 0
        self._request_ids = checkers.request_ids
        self._opened_for: DefaultHeaders | None = None
        self._opening = b""

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
        if not headers.plain_json or headers.wants_facts or length > MAX_BODY_BYTES:
            return None
        credential = self._checkers.callers.credential(headers.authorization)
        return None if credential is None else Head(raw, len(raw) + length, credential)

    def is_expected(self, head: Head) -> bool:
        """Tell whether a request with this head can be answered here, once its body is there."""
        return self._verifiers.held(head.credential, self._monotonic()) is not None

    def answer(self, head: Head, data: bytes, default_headers: DefaultHeaders) -> bytes | None:
        """
        Answer one whole request; None, with nothing counted or noted, where that is for the application.

        Args:
            head: What *data* begins with.
            data: The request.
            default_headers: What every answer begins with.
        """
        try:
            body = self._body(head.credential, data[len(head.raw) :])
        except Exception:  # noqa: BLE001 - it is logged whole
            # The application meets the same error, or a better end, and says so to the client.
            _log.exception("unexpected error")
            return None
        if body is None:
            return None
        if default_headers is not self._opened_for:
            self._open(default_headers)
        length = b"%d\r\nx-request-id: " % len(body)
        return b"".join((self._opening, length, next(self._request_ids), b"\r\n\r\n", body))

    def _body(self, credential: bytes, raw: bytes) -> bytes | None:
        at = self._monotonic()
        verifier = self._verifiers.held(credential, at)
        if verifier is None:
            return None
        return self._recalled(verifier, credential, raw, at) or self._answered(verifier, raw)

    def _recalled(self, verifier: Verifier, credential: bytes, raw: bytes, at: float) -> bytes | None:
        """Answer a question on a key that is held, with a key that comes first and has no quotation mark in it."""
        try:
            brace, name, colon, key, rest = raw.split(b'"', 4)
        except ValueError:
            return None
        if brace != b"{" or name != b"key" or colon not in _COLONS:
            return None
        # A digest that is held belongs to exactly one text, and a plain one: nothing can be hidden in it.
        presented = digest_of(key)
        facts = self._verification.held(presented, at)
        if facts is None:
            return None
        now = self._now()
        question = presented, rest, credential
        ready = self._ready.get(question)
        if (
            ready is None
            or ready.facts is not facts
            or ready.verifier is not verifier
            or not ready.since <= now < ready.until
        ):
            ready = self._prepare(question, verifier, facts, now)
            if ready is None:
                return None
        return self._concluded(ready, presented, now)

    def _prepare(
        self, question: tuple[bytes, bytes, bytes], verifier: Verifier, facts: KeyFacts, now: float
    ) -> _Ready | None:
        presented, rest, _ = question
        if len(rest) >= LONGEST_REST:
            return None
        try:
            wish = read_rest(b'"' + rest)
        except Refusal:
            return None
        verdict = Verdict(judge(facts, wish.ask, now), facts, presented)
        body = _written(verdict, wish, now)
        place = None
        if verdict.code is Code.VALID:
            place = place_of(facts, presented, now, verifier=verifier.name, network=network_of(wish.ask.client_ip))
        ends = (facts.expires_at, facts.retires_at, hour_end(now))
        ready = _Ready(
            verifier=verifier,
            facts=facts,
            since=now,
            until=min(end for end in ends if end > now),
            wish=wish,
            code=verdict.code,
            body=body,
            before_states=verify_answers.before_states(body, facts.rate_limits) if facts.rate_limits else (),
            place=place,
        )
        if len(self._ready) >= _MOST_READY:
            self._ready.popitem(last=False)
        self._ready[question] = ready
        return ready

    def _concluded(self, ready: _Ready, presented: bytes, now: float) -> bytes | None:
        place, body, facts = ready.place, ready.body, ready.facts
        if place is None:
            self._checkers.count(ready.code)
            return body
        if facts.rate_limits:
            spending = self._checkers.limiter.spend_now(facts.id, facts.rate_limits, ready.wish.cost)
            if spending is None:
                return None
            if not spending.allowed:
                self._checkers.count(Code.RATE_LIMITED)
                return _written(limited(Verdict(ready.code, facts, presented), spending), ready.wish, now)
            body = verify_answers.with_states(ready.before_states, spending)
        self._checkers.usage.note_at(place, now)
        self._count_accepted()
        return body

    def _answered(self, verifier: Verifier, raw: bytes) -> bytes | None:
        """Answer a question of any other form, as far as nobody has to be asked."""
        try:
            text, wish = verify_bodies.read(raw)
        except Refusal:
            return None
        caller = Caller(verifier.name, verifier, None)
        verdict = self._checkers.verify_now(caller, text, wish.ask, cost=wish.cost)
        return None if verdict is None else _written(verdict, wish, self._now())

    def _count_accepted(self) -> None:
        # One addition to the metric for all that the loop answers in one go.
        self._accepted += 1
        if self._accepted == 1:
            asyncio.get_running_loop().call_soon(self._tell_accepted)

    def _tell_accepted(self) -> None:
        self._checkers.count(Code.VALID, self._accepted)
        self._accepted = 0

    def _open(self, default_headers: DefaultHeaders) -> None:
        # uvicorn gives another list every second, when the date changes.
        lines = [name + b": " + value + b"\r\n" for name, value in (*default_headers, *FIXED_HEADERS)]
        self._opening = b"".join([STATUS_LINE[200], *lines, b"content-length: "])
        self._opened_for = default_headers


def _written(verdict: Verdict, wish: Wish, now: float) -> bytes:
    explanation = explain(verdict.code, verdict.facts, wish.ask, now) if wish.explain else None
    return verify_answers.written(verdict, explanation=explanation)
