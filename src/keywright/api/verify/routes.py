"""
`POST /api/v2/api-keys/verify` and `/verify/batch`, without a web framework.

Plain ASGI in front of all other routes, because routing, models and a log line would cost more than the check itself.
`api/openapi.py` documents them beside the others. `service.checking` decides; here is only HTTP.
"""

import re
from collections.abc import Callable
from time import perf_counter

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from keywright.api.http.bodies import read_json_bytes
from keywright.api.http.connections import Connections
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import Front, header_values
from keywright.api.verify import bodies as verify_bodies
from keywright.api.verify.batch import Batches
from keywright.api.verify.bodies import KeyCheck
from keywright.api.verify.callers import KnownCallers
from keywright.api.verify.fast_path import FastPath
from keywright.api.verify.forward_auth import PATHS as FORWARD_AUTH_PATHS
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.responses import (
    BATCH_METER,
    FIXED_HEADERS,
    STALE_HEADER,
    VERIFY_METER,
    error_response,
    request_ids,
)
from keywright.api.verify.schemas import BATCH, VERIFY
from keywright.service.checking.verdicts import Caller
from keywright.service.checking.verification import Checker

_PATHS = re.compile(f"(?:{VERIFY}|{BATCH})/?")


class ServiceApp(Front):
    """
    The whole application: checks in front, and behind them everything else.

    Args:
        app: Answers every other request.
        checker: Checks keys.
        callers: Recognises callers.
        forward_auth: Answers proxies; None for no such paths.
        fast_path: The fast path, which `api.server.protocol` tries before it comes here; None for none.
        connections: The count of connections, which `api.server.protocol` keeps; None for no bound.
        for_pages: Wraps the verifications, so that pages of other origins may ask for them; None for no pages.
    """

    def __init__(
        self,
        app: ASGIApp,
        checker: Checker,
        callers: KnownCallers,
        *,
        forward_auth: ForwardAuth | None = None,
        fast_path: FastPath | None = None,
        connections: Connections | None = None,
        for_pages: Callable[[ASGIApp], ASGIApp] | None = None,
    ) -> None:
        proxies = [] if forward_auth is None else [(FORWARD_AUTH_PATHS, forward_auth)]
        verifications: ASGIApp = _Verifications(checker, callers)
        if for_pages is not None:
            verifications = for_pages(verifications)
        super().__init__(app, [(_PATHS, verifications), *proxies])
        self.fast_path = fast_path
        self.connections = connections


class _Verifications:
    """Answers single verifications and batches."""

    def __init__(self, checker: Checker, callers: KnownCallers) -> None:
        self._checker = checker
        self._callers = callers
        self._batches = Batches(checker)
        self._request_ids = request_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        meter = BATCH_METER if scope["path"].startswith(BATCH) else VERIFY_METER
        request_id = next(self._request_ids)
        try:
            body, stale = await self._answer(scope, receive)
        except Exception as error:  # noqa: BLE001 - every error becomes a response; the unexpected is logged whole
            response = error_response(error, scope, request_id.decode())
            await response(scope, receive, send)
            meter.observe(perf_counter() - began, response.status_code)
            return
        headers = [
            *FIXED_HEADERS,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id),
            *([STALE_HEADER] if stale else ()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        meter.observe(perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[bytes, bool]:
        if scope["method"] != "POST":
            raise Refusal("method_not_allowed", headers={"Allow": "POST"})
        request = Request(scope, receive)
        caller = await self._callers.recognize(header_values(request, b"authorization"))
        raw = await read_json_bytes(request)
        if scope["path"].startswith(BATCH):
            return await self._batches.answer(caller, raw)
        facts = header_values(request, b"keywright-facts")[-1:] == ["1"]
        return await self._answer_one(caller, verify_bodies.read(raw), facts=facts)

    async def _answer_one(self, caller: Caller, check: KeyCheck, *, facts: bool) -> tuple[bytes, bool]:
        text, requirements, cost, _, metadata = check
        if facts:
            verdict = await self._checker.facts_for(caller, text, requirements, metadata=metadata)
        else:
            verdict = await self._checker.check(caller, text, requirements, cost=cost, metadata=metadata)
        return verify_bodies.write(check, verdict, facts=facts), verdict.stale
