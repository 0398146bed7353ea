"""Answers that refuse a request, in both of their forms."""

from dataclasses import dataclass

from keywright.contract.codec import ABSENT


@dataclass(frozen=True, slots=True)
class FieldError:
    """One flaw of a body or parameter."""

    loc: tuple[str | int, ...]
    """Where: `body`, `query` or `path`, then the field"""
    msg: str
    """A sentence"""
    type: str
    """A stable word for the flaw"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """The answer to a request that is refused, or that failed."""

    detail: str | tuple[FieldError, ...]
    """A sentence; for 422 the list of flaws"""
    code: str
    """Stable, for programs"""
    request_id: str
    """Finds the request in the service's log"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemResponse:
    """The same answer as RFC 9457 has it, for `Accept: application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: tuple[FieldError, ...] = ABSENT
    """Every flaw of a body or parameter, where there is any"""
