"""
`POST /api/v2/api-keys/verify` and `/verify/batch`: the routes that every request of every customer waits for.

Plain ASGI in front of everything else, because routing, models and a log line for each would cost more than the check
itself. `api/openapi.py` documents them beside the others. Nothing here decides: `service.verification` does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import structlog
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from keywright import telemetry
from keywright.api import verify_bodies
from keywright.api.bodies import MAX_BODY_BYTES, read_json_bytes
from keywright.api.callers import Caller, Callers
from keywright.api.problems import Refusal, answer, answer_fault
from keywright.api.questions import Questions
from keywright.keys.addresses import network_of
from keywright.keys.verdict import Ask, Code
from keywright.service.failures import FailureLimit
from keywright.service.faults import Fault, Unavailable
from keywright.service.limits import RateLimiter
from keywright.service.usage import UsageBook
from keywright.service.verification import Seconds, Verdict, Verification, limited

if TYPE_CHECKING:
    from keywright.api.accelerator import Accelerator

VERIFY = "/api/v2/api-keys/verify"
BATCH = f"{VERIFY}/batch"

FIXED_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
STALE_HEADER = (b"keywright-stale", b"true")


class VerifyHeaders(NamedTuple):
    """The headers of a request that matter here."""

    authorization: list[str]
    plain_json: bool
    wants_facts: bool


def request_ids() -> Iterator[bytes]:
    """Give ids for requests that are answered here, each only once."""
    return map(f"{uuid4().hex[:16]}-%08x".encode().__mod__, count(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkers:
    """What checking needs; the same for every request."""

    callers: Callers
    verification: Verification
    usage: UsageBook
    failures: FailureLimit
    limiter: RateLimiter
    now: Seconds
    monotonic: Seconds
    request_ids: Iterator[bytes] = field(init=False, repr=False, default_factory=request_ids)
    _verdicts: dict[Code, Counter] = field(
        init=False, repr=False, default_factory=lambda: {code: telemetry.verdicts.labels(code.value) for code in Code}
    )

    def verify_now(
        self, caller: Caller, text: str, ask: Ask, *, cost: int = 1, agent: str | None = None
    ) -> Verdict | None:
        """Do what `verify` does without asking anybody; None, with nothing counted, where somebody has to be asked."""
        verdict = self._decide_now(caller, text, ask, cost)
        if verdict is not None:
            self._note(caller, verdict, ask, agent)
        return verdict

    def pass_now(self, caller: Caller, text: str, ask: Ask, *, agent: str | None = None) -> Verdict | None:
        """Do what `verify_now` does for a key that passes; None, with nothing counted or spent, for any other."""
        verdict = self._decide_now(caller, text, ask, 1)
        if verdict is None or verdict.code is not Code.VALID:
            return None
        self._note(caller, verdict, ask, agent)
        return verdict

    def _decide_now(self, caller: Caller, text: str, ask: Ask, cost: int) -> Verdict | None:
        verdict = self.verification.verify_now(text, ask)
        if verdict is None:
            return None
        verdict = _as_far_as_allowed(caller, verdict)
        if verdict.code is Code.VALID and verdict.facts is not None and verdict.facts.rate_limits:
            spending = self.limiter.acquire_now(verdict.facts.id, verdict.facts.rate_limits, cost)
            return None if spending is None else limited(verdict, spending)
        return verdict

    async def verify(
        self, caller: Caller, text: str, ask: Ask, *, cost: int = 1, agent: str | None = None, facts: bool = False
    ) -> Verdict:
        """
        Decide for *caller*, and note what was decided.

        Args:
            caller: Who asks.
            text: What was presented as a key: anything at all.
            ask: What the request asks of it. Who fails too often from its address is turned away.
            cost: How many units of the key's limits the request takes.
            agent: The family of the customer's user agent.
            facts: Whether the caller judges the key by itself from now on: then it is told what the database says, and
                counts limits and reports uses by itself.

        Raises:
            Unavailable: Nobody can be asked.
        """
        verdict = self.verification.verify_now(text, ask)
        if verdict is None or (facts and verdict.facts is not None):
            verdict = await self._look_up(text, ask, held=verdict is not None, facts=facts)
        verdict = _as_far_as_allowed(caller, verdict)
        if not facts and verdict.code is Code.VALID and verdict.facts is not None and verdict.facts.rate_limits:
            key = verdict.facts
            spending = self.limiter.acquire_now(key.id, key.rate_limits, cost)
            if spending is None:
                spending = await self.limiter.acquire(key.id, key.rate_limits, cost)
            verdict = limited(verdict, spending)
        if facts:
            # The caller reports the use itself.
            self.count(verdict.code)
        else:
            self._note(caller, verdict, ask, agent)
        return verdict

    async def _look_up(self, text: str, ask: Ask, *, held: bool, facts: bool) -> Verdict:
        # A key that is held is no guess, so there is no failure to expect.
        network = None if held else network_of(ask.client_ip)
        if network is not None and self.failures.exceeded(network, self.monotonic()):
            return Verdict(Code.RATE_LIMITED, None, None)
        verdict = await self.verification.verify_elsewhere(text, ask, from_memory=not facts)
        if network is not None and verdict.code is Code.NOT_FOUND:
            self.failures.note(network, self.monotonic())
        return verdict

    def _note(self, caller: Caller, verdict: Verdict, ask: Ask, agent: str | None) -> None:
        if verdict.code is Code.VALID and verdict.facts is not None and verdict.digest is not None:
            network = network_of(ask.client_ip)
            self.usage.note(
                verdict.facts, verdict.digest, self.now(), verifier=caller.name, network=network, agent=agent
            )
        self.count(verdict.code)

    def count(self, code: Code, times: int = 1) -> None:
        """Count verdicts of a code."""
        self._verdicts[code].inc(times)


def _as_far_as_allowed(caller: Caller, verdict: Verdict) -> Verdict:
    """Keep what was decided of another organisation's key from a caller who may learn of its own only."""
    if caller.org_id is None or verdict.facts is None or verdict.facts.org_id == caller.org_id:
        return verdict
    return Verdict(Code.NOT_FOUND, None, None, verdict.stale)


def refused(error: Exception, scope: Scope, request_id: str) -> Response:
    """Write the answer to a request that met *error*; the unexpected is logged whole."""
    scope.setdefault("state", {})["request_id"] = request_id
    request = Request(scope)
    if isinstance(error, Refusal):
        response = answer(error, request)
    elif isinstance(error, Fault):
        if isinstance(error, Unavailable):
            telemetry.unavailable.labels(error.code).inc()
        response = answer_fault(error, request)
    else:
        structlog.stdlib.get_logger("keywright.error").error("unexpected error", exc_info=error, request_id=request_id)
        response = answer(Refusal("internal"), request)
    response.headers["X-Request-Id"] = request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


class Checking:
    """
    Answers verifications itself, and hands everything else to *app*.

    Args:
        app: What answers everything else.
        checkers: What checking needs.
        accelerator: What `http_protocol` may ask before it asks here; None for nothing.
    """

    def __init__(self, app: ASGIApp, checkers: Checkers, *, accelerator: "Accelerator | None" = None) -> None:
        self.accelerator = accelerator
        self._app = app
        self._checkers = checkers
        self._questions = Questions(checkers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(VERIFY):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removesuffix("/")
        if path not in (VERIFY, BATCH):
            await self._app(scope, receive, send)
            return
        request_id = next(self._checkers.request_ids)
        try:
            body, stale = await self._answer(path, scope, receive)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer; the unexpected is logged whole
            await refused(error, scope, request_id.decode())(scope, receive, send)
            return
        headers = [
            *FIXED_HEADERS,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id),
            *([STALE_HEADER] if stale else ()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> tuple[bytes, bool]:
        if scope["method"] != "POST":
            raise Refusal("method_not_allowed", headers={"Allow": "POST"})
        headers = read_headers(scope["headers"])
        caller = await self._checkers.callers.recognize(headers.authorization)
        raw = await _read_body(headers, scope, receive)
        if path == BATCH:
            return await self._questions.answer_batch(caller, raw)
        return await self._questions.answer(caller, verify_bodies.read(raw), facts=headers.wants_facts)


def read_headers(fields: Iterable[tuple[bytes, bytes]]) -> VerifyHeaders:
    """Take what matters here out of header fields whose names are in lower case."""
    authorization: list[str] = []
    content_type = b""
    encoded = wants_facts = False
    for name, value in fields:
        if name == b"authorization":
            authorization.append(value.decode("latin-1"))
        elif name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            encoded = True
        elif name == b"keywright-facts":
            wants_facts = value == b"1"
    return VerifyHeaders(authorization, content_type == b"application/json" and not encoded, wants_facts)


async def _read_body(headers: VerifyHeaders, scope: Scope, receive: Receive) -> bytes:
    """Read a body; the common one, announced as plain JSON, arrives in one piece."""
    if not headers.plain_json:
        return await read_json_bytes(Request(scope, receive))
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > MAX_BODY_BYTES:
            raise Refusal("payload_too_large", headers={"Connection": "close"})
        return body
    return await read_json_bytes(Request(scope, partial(_again, [message], receive)))


async def _again(first: list[Any], receive: Receive) -> Any:
    return first.pop() if first else await receive()
