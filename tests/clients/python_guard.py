"""The answers of the Python middlewares, which those of the other clients must equal."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from keywright.client import LimitState, RateLimit, Verdict
from keywright.client.integrations._guard import Guard, KeyRefused, presented_key
from keywright.keys.verdict import Code

SCOPES = ("invoices:read", "reports:read")
SPENT = (LimitState(RateLimit("minute", 100, 60), 0, 35.0), LimitState(RateLimit("day", 1000, 86400), 7, 60.0))
PRESENTED: Sequence[tuple[Sequence[str], Sequence[str]]] = [
    ([], []),
    (["Bearer one"], []),
    (["bearer  one "], []),
    ([], ["one"]),
    (["Bearer one"], ["one"]),
    (["Bearer one"], ["two"]),
    (["Bearer one", "Bearer two"], []),
    ([], ["one", "two"]),
    (["Basic dXNlcjpwYXNz"], ["one"]),
    (["Basic dXNlcjpwYXNz"], []),
    (["Bearer"], []),
    (["Bearer "], [""]),
    (["Bearerone"], []),
]


def expected_answers() -> dict[str, Any]:
    """Give the refusal for each verdict, and the key or refusal for each way to present keys."""
    presented = [{"authorization": bearer, "api_key": key, "found": _found(bearer, key)} for bearer, key in PRESENTED]
    return {"refusals": list(_refusals()), "presented": presented}


def _refusals() -> Iterator[dict[str, Any]]:
    refused = [code for code in Code if code is not Code.VALID]
    yield from (_refusal(code, (), None) for code in refused)
    # Where a limit is spent for a while, and where the cost is above the limit.
    yield from (_refusal(Code.RATE_LIMITED, SPENT, seconds) for seconds in (35, None))


def _refusal(code: Code, limits: tuple[LimitState, ...], seconds: int | None) -> dict[str, Any]:
    refused = _refused_by(Guard(scopes=SCOPES), Verdict(code, limits=limits, retry_after_seconds=seconds))
    verdict: dict[str, Any] = {"valid": False, "code": code.value, "api_key": None}
    if limits:
        states = [{**limit._asdict(), "remaining": left, "reset_seconds": int(reset)} for limit, left, reset in limits]
        verdict |= {"rate_limits": states, "retry_after_seconds": seconds}
    body = json.loads(refused.body)
    return {
        "verdict": verdict,
        "scopes": SCOPES,
        "status": int(refused.status),
        "headers": {"WWW-Authenticate": None, "Retry-After": None, "RateLimit": None, **refused.headers},
        "body": body,
    }


def _refused_by(guard: Guard, verdict: Verdict) -> KeyRefused:
    try:
        guard.pass_or_refuse(verdict)
    except KeyRefused as refused:
        return refused
    raise AssertionError(f"{verdict.code} is not refused")


def _found(authorization: Sequence[str], api_key: Sequence[str]) -> str:
    try:
        return presented_key(authorization, api_key)
    except KeyRefused as refused:
        return refused.code
