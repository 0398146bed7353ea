"""Error answers, as plain JSON and as problem documents."""

from dataclasses import dataclass

from keywright.contract.codec import ABSENT


@dataclass(frozen=True, slots=True)
class FieldError:
    """One flaw of a body or parameter."""

    loc: tuple[str | int, ...]
    """`body`, `query` or `path`, then the path of the field"""
    msg: str
    """A sentence for people, which does not quote the value"""
    type: str
    """A stable word for the flaw"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """The answer to a request that was refused or failed."""

    detail: str | tuple[FieldError, ...]
    """A sentence; the list of flaws with `validation_failed`"""
    code: str
    """Stable, for programs"""
    request_id: str
    """Finds the request in the service's log"""
    missing_scopes: tuple[str, ...] = ABSENT
    """The scopes that the token may not give to a key; present with `scopes_not_grantable`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemResponse:
    """The same answer in the form of RFC 9457, for `Accept: application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: tuple[FieldError, ...] = ABSENT
    """Every flaw of body and parameters; present with `validation_failed`"""
    missing_scopes: tuple[str, ...] = ABSENT
    """The scopes that the token may not give to a key; present with `scopes_not_grantable`"""
