"""Requests for a `LocalChecker` without a session: made as `decide` makes them, and decided from memory."""

from typing import Any

from keywright.client.verifier import Verdict
from keywright.client.verifier._checker import LocalChecker, UncachedRequest
from keywright.keys.format import digest


def request(
    text: str,
    scopes: tuple[str, ...] = (),
    environment: str | None = None,
    client_ip: str | None = None,
    user_agent: str | None = None,
    explain: bool = False,
    cost: int = 1,
) -> UncachedRequest:
    """Make the request that `decide` gives back for these arguments where memory has no answer."""
    return UncachedRequest(text, digest(text), scopes, environment, client_ip, user_agent, explain, cost)


def from_memory(checker: LocalChecker, text: str, *arguments: Any, **named: Any) -> Verdict | None:
    """Decide from memory; None where the service has to be asked."""
    decided = checker.decide(text, *arguments, **named)
    return decided if isinstance(decided, Verdict) else None
