"""Hand-written answers follow the contract."""

from datetime import UTC, datetime
from math import inf
from typing import Any
from uuid import UUID

import pytest

from keywright.api.verify.bodies import KeyCheck, write
from keywright.contract import VerifyResponse, read
from keywright.keys.addresses import read_networks
from keywright.keys.rate_limiter import LimitState, RateLimitDecision
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, explain
from keywright.service.checking.verdicts import KeyVerdict

LIMIT = RateLimit("minute", 100, 60)
FACTS = KeyFacts(
    id=UUID("019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55").bytes,
    org_id=UUID("6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21").bytes,
    name="Größe",
    environment="live",
    expires_at=1_800_000_000.5,
    revoked=False,
    scopes=("invoices:read",),
    retires_at=inf,
    networks=read_networks(["192.0.2.0/24"]),
    rate_limits=(LIMIT,),
)


def read_back(verdict: KeyVerdict, *, facts: bool = False, **asked: Any) -> VerifyResponse:
    check = KeyCheck("", NO_REQUIREMENTS, cost=1, explain=False, metadata=False)._replace(**asked)
    return read(VerifyResponse, write(check, verdict, facts=facts))


def test_a_good_key() -> None:
    """A good key is answered with what may be known of it."""
    answer = read_back(KeyVerdict(Code.VALID, FACTS, None))
    assert (answer.valid, answer.code, answer.stale, answer.facts) == (True, Code.VALID, False, None)
    assert answer.api_key is not None
    assert (answer.api_key.id.bytes, answer.api_key.name, answer.api_key.scopes) == (FACTS.id, "Größe", FACTS.scopes)
    assert answer.api_key.expires_at == datetime.fromtimestamp(FACTS.expires_at, UTC)


@pytest.mark.parametrize("code", list(Code))
def test_no_key(code: Code) -> None:
    """Without the right secret there is no key in the answer, whatever else there is."""
    answer = read_back(KeyVerdict(code, None, None))
    assert answer.api_key is None
    assert not answer.valid


def test_with_everything() -> None:
    """Facts, an explanation, the state of limits and the age of the answer stand where the contract has them."""
    decision = RateLimitDecision(False, (LimitState(LIMIT, 0, 59.5),), 2.5)
    verdict = KeyVerdict(Code.RATE_LIMITED, FACTS, None, stale=True, rate_limits=decision)
    answer = read_back(verdict, facts=True, explain=True)
    expected = explain(Code.RATE_LIMITED, FACTS, NO_REQUIREMENTS)
    assert expected is not None
    assert (answer.stale, answer.retry_after_seconds) == (True, 3)
    assert answer.rate_limits is not None
    assert (answer.rate_limits[0].name, answer.rate_limits[0].remaining, answer.rate_limits[0].reset_seconds) == (
        "minute",
        0,
        60,
    )
    assert answer.explanation is not None
    assert answer.explanation.would_pass == expected.would_pass
    assert answer.facts is not None
    assert (answer.facts.expires_at, answer.facts.retires_at) == (FACTS.expires_at, None)
    assert answer.facts.rate_limits == (LIMIT,)
