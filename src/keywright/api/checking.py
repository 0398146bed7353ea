"""
`POST /api/v2/api-keys/verify` and `/verify/batch`: the routes that every request of every customer waits for.

Plain ASGI in front of everything else, because routing, models and a log line for each would cost more than the check
itself. `api/openapi.py` documents them beside the others. Nothing here decides: `service.verification` does.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import count
from math import isinf
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from keywright import telemetry
from keywright.api.bodies import MAX_BODY_BYTES, as_model, read_json_bytes
from keywright.api.callers import Caller, Callers
from keywright.api.problems import Refusal, answer, answer_fault
from keywright.api.verify_schemas import BatchRequest, VerifyRequest
from keywright.keys.sightings import network_of
from keywright.keys.verdict import ANY_USE, Ask, Code, KeyFacts, explain
from keywright.service.failures import FailureLimit
from keywright.service.faults import Fault, Unavailable
from keywright.service.usage import UsageBook
from keywright.service.verification import Seconds, Verdict, Verification

VERIFY = "/api/v2/api-keys/verify"
BATCH = f"{VERIFY}/batch"

# What most callers send: one plain member. It means the same to the strict reader, which costs ten times as much.
# White space is JSON's own: `\s` would take form feeds, which the strict reader refuses.
_PLAIN_BODY = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"key"[ \t\r\n]*:[ \t\r\n]*"([!#-\[\]-~]{1,512})"[ \t\r\n]*\}[ \t\r\n]*'
)
_NOT_FOUND = b'{"valid":false,"code":"not_found","api_key":null}'
_TOO_OFTEN = b'{"valid":false,"code":"rate_limited","api_key":null}'
_FIXED_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_STALE_HEADER = (b"keywright-stale", b"true")


class _Headers(NamedTuple):
    """The headers of a request that matter here."""

    authorization: list[str]
    plain_json: bool
    wants_facts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkers:
    """What checking needs; the same for every request."""

    callers: Callers
    verification: Verification
    usage: UsageBook
    failures: FailureLimit
    now: Seconds
    monotonic: Seconds
    _verdicts: dict[Code, Counter] = field(
        init=False, repr=False, default_factory=lambda: {code: telemetry.verdicts.labels(code.value) for code in Code}
    )

    async def verify(
        self,
        caller: Caller,
        text: str,
        ask: Ask,
        *,
        address: str | None,
        agent: str | None = None,
        from_memory: bool = True,
    ) -> Verdict:
        """
        Decide for *caller*, and note what was decided.

        Args:
            caller: Who asks.
            text: What was presented as a key: anything at all.
            ask: What the request asks of it.
            address: The customer's, where it is known; who fails too often from there is turned away.
            agent: The family of the customer's user agent.
            from_memory: Whether what is held may answer while it counts.

        Raises:
            Unavailable: Nobody can be asked.
        """
        network = network_of(address)
        verdict = self.verification.verify_now(text, ask)
        if verdict is None:
            verdict = await self._ask(text, ask, network, from_memory=from_memory)
        elif verdict.facts is not None and not from_memory:
            # A key that is held is no guess, so there is no failure to expect.
            verdict = await self.verification.verify(text, ask, from_memory=False)
        if verdict.facts is not None and caller.org_id not in (None, verdict.facts.org_id):
            verdict = Verdict(Code.NOT_FOUND, None, None, verdict.stale)
        if verdict.code is Code.VALID and verdict.facts is not None and verdict.digest is not None:
            self.usage.note(
                verdict.facts, verdict.digest, self.now(), verifier=caller.name, network=network, agent=agent
            )
        self._verdicts[verdict.code].inc()
        return verdict

    async def _ask(self, text: str, ask: Ask, network: str | None, *, from_memory: bool) -> Verdict:
        if network is not None and self.failures.exceeded(network, self.monotonic()):
            return Verdict(Code.RATE_LIMITED, None, None)
        verdict = await self.verification.verify(text, ask, from_memory=from_memory)
        if network is not None and verdict.code is Code.NOT_FOUND:
            self.failures.note(network, self.monotonic())
        return verdict


def request_ids() -> Iterator[str]:
    """Give ids for requests that are answered here, each only once."""
    return map(f"{uuid4().hex[:16]}-{{:x}}".format, count(1))


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
    """Answers verifications itself, and hands everything else to *app*."""

    def __init__(self, app: ASGIApp, checkers: Checkers) -> None:
        self._app = app
        self._checkers = checkers
        self._request_ids = request_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(VERIFY):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removesuffix("/")
        if path not in (VERIFY, BATCH):
            await self._app(scope, receive, send)
            return
        request_id = next(self._request_ids)
        try:
            body, stale = await self._answer(path, scope, receive)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer; the unexpected is logged whole
            await refused(error, scope, request_id)(scope, receive, send)
            return
        headers = [
            *_FIXED_HEADERS,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            *([_STALE_HEADER] if stale else ()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> tuple[bytes, bool]:
        if scope["method"] != "POST":
            raise Refusal("method_not_allowed", headers={"Allow": "POST"})
        headers = _read_headers(scope)
        caller = await self._checkers.callers.recognize(headers.authorization)
        raw = await _read_body(headers, scope, receive)
        if path == BATCH:
            return await self._batch(caller, as_model(BatchRequest, raw))
        plain = None if headers.wants_facts else _PLAIN_BODY.fullmatch(raw)
        if plain is not None:
            verdict = await self._checkers.verify(caller, plain[1].decode("ascii"), ANY_USE, address=None)
            return _shown(verdict), verdict.stale
        asked = as_model(VerifyRequest, raw)
        return await self._one(caller, asked, facts=headers.wants_facts)

    async def _one(self, caller: Caller, asked: VerifyRequest, *, facts: bool = False) -> tuple[bytes, bool]:
        ask = Ask(environment=asked.environment, scopes=tuple(asked.scopes))
        verdict = await self._checkers.verify(caller, asked.key, ask, address=asked.client_ip, from_memory=not facts)
        more: dict[str, Any] = {}
        if asked.explain and (explanation := explain(verdict.code, verdict.facts, ask)):
            more["explanation"] = explanation._asdict()
        if facts and verdict.facts is not None:
            expires_at = None if isinf(verdict.facts.expires_at) else verdict.facts.expires_at
            more["facts"] = {"revoked": verdict.facts.revoked, "expires_at": expires_at}
        return _shown(verdict, more), verdict.stale

    async def _batch(self, caller: Caller, batch: BatchRequest) -> tuple[bytes, bool]:
        answers = await asyncio.gather(*(self._one(caller, asked) for asked in batch.keys))
        return b'{"results":[%b]}' % b",".join(body for body, _ in answers), any(stale for _, stale in answers)


def _read_headers(scope: Scope) -> _Headers:
    authorization: list[str] = []
    content_type = b""
    encoded = wants_facts = False
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization.append(value.decode("latin-1"))
        elif name == b"content-type":
            content_type = value
        elif name == b"content-encoding":
            encoded = True
        elif name == b"keywright-facts":
            wants_facts = value == b"1"
    return _Headers(authorization, content_type == b"application/json" and not encoded, wants_facts)


async def _read_body(headers: _Headers, scope: Scope, receive: Receive) -> bytes:
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


def _shown(verdict: Verdict, more: dict[str, Any] | None = None) -> bytes:
    if verdict.facts is None and not verdict.stale:
        return _TOO_OFTEN if verdict.code is Code.RATE_LIMITED else _NOT_FOUND
    valid = b"true" if verdict.code is Code.VALID else b"false"
    key = b"null" if verdict.facts is None else _shown_key(verdict.facts)
    stale = b',"stale":true' if verdict.stale else b""
    rest = b"," + json.dumps(more, separators=(",", ":")).encode()[1:-1] if more else b""
    return b'{"valid":%b,"code":"%b","api_key":%b%b%b}' % (valid, verdict.code.encode(), key, stale, rest)


@lru_cache(maxsize=16_384)
def _shown_key(facts: KeyFacts) -> bytes:
    expires_at = None
    if not isinf(facts.expires_at):
        expires_at = datetime.fromtimestamp(facts.expires_at, UTC).isoformat().replace("+00:00", "Z")
    shown = {
        "id": str(UUID(bytes=facts.id)),
        "org_id": str(UUID(bytes=facts.org_id)),
        "name": facts.name,
        "environment": facts.environment,
        "scopes": list(facts.scopes),
        "expires_at": expires_at,
    }
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()
