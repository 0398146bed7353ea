"""Reads the answers of a service as classes of the contract, or as the errors of `errors`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx

from keywright.client.errors import KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer
from keywright.contract import (
    ApiKeyResponse,
    ContractError,
    CreatedApiKeyResponse,
    ErrorResponse,
    EventResponse,
    FieldError,
    UsageResponse,
    read,
)

# The answers of a gateway in place of an unavailable service.
_UNAVAILABLE = frozenset({502, 503, 504})
_REQUEST_ID_MAX = 200

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class ApiKeyPage:
    """Keys, newest first; `next` is the cursor of the following page, None on the last one."""

    api_keys: Sequence[ApiKeyResponse]
    next: str | None


@dataclass(frozen=True, slots=True)
class AuditLogPage:
    """Events, newest first; `next` is the cursor of the following page, None on the last one."""

    events: Sequence[EventResponse]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePage(UsageResponse):
    """
    The usage of a key with a page of its secrets, newest first, and their sources; the counts are those of the key.

    `next` is the cursor of the following page, None on the last one.
    """

    next: str | None


def read_key(response: httpx.Response) -> ApiKeyResponse:
    """Read an answer with one key and its `ETag`."""
    return replace(_read(ApiKeyResponse, response), etag=response.headers.get("ETag"))


def read_created(response: httpx.Response) -> CreatedApiKeyResponse:
    """Read an answer with a new pair, its `ETag`, and whether it was replayed."""
    created, headers = _read(CreatedApiKeyResponse, response), response.headers
    return replace(created, etag=headers.get("ETag"), replayed=headers.get("Idempotency-Replayed") == "true")


def read_page(response: httpx.Response) -> ApiKeyPage:
    """Read one page of a list of keys."""
    keys = _read(tuple[ApiKeyResponse, ...], response)
    return ApiKeyPage(tuple(replace(key, etag=None) for key in keys), cursor_of(response))


def read_events(response: httpx.Response) -> AuditLogPage:
    """Read one page of a list of events."""
    return AuditLogPage(_read(tuple[EventResponse, ...], response), cursor_of(response))


def read_usage(response: httpx.Response) -> UsagePage:
    """Read the usage of a key with one page of its secrets."""
    usage = _read(UsageResponse, response)
    return UsagePage(**{each.name: getattr(usage, each.name) for each in fields(usage)}, next=cursor_of(response))


def reader(type_: type[_Answer]) -> Callable[[httpx.Response], _Answer]:
    """Make the function that reads an answer as *type_*."""
    return lambda response: _read(type_, response)


def error_of(response: httpx.Response) -> KeywrightError:
    """Make the error to raise for an answer with an unexpected status."""
    status, after = response.status_code, read_retry_after(response)
    try:
        answer = read(ErrorResponse, response.content)
    except ContractError:
        if status in _UNAVAILABLE:
            return ServiceUnavailable("The service is not available right now.", retry_after=after)
        return not_keywright(response)
    errors = () if isinstance(answer.detail, str) else answer.detail
    detail = answer.detail if isinstance(answer.detail, str) else " ".join(map(_sentence, answer.detail))
    request_id = answer.request_id[:_REQUEST_ID_MAX]
    if status in _UNAVAILABLE:
        return ServiceUnavailable(detail, retry_after=after, request_id=request_id)
    return Refused(answer.code, status, detail, request_id=request_id, errors=errors, retry_after=after)


def not_keywright(response: httpx.Response, flaw: str | None = None) -> UnexpectedAnswer:
    """
    Make the error for an answer that is not a Keywright service's.

    Args:
        response: The answer. The error does not quote its body, which may contain a private key.
        flaw: The flaw of the answer; None where it is not known.
    """
    # Without the parts of the address that may contain credentials.
    address = response.request.url.copy_with(username=None, password=None, query=None)
    reason = "." if flaw is None else f": {flaw}."
    return UnexpectedAnswer(f"{address} answered {response.status_code}, but not as a Keywright service does{reason}")


def read_date(response: httpx.Response) -> datetime | None:
    """Read the `Date` of an answer, by the sender's clock; None where the header is absent or malformed."""
    try:
        return parsedate_to_datetime(response.headers["Date"])
    except (KeyError, TypeError, ValueError):
        return None


def read_retry_after(response: httpx.Response) -> int | None:
    """Read the seconds of `Retry-After`; None where the header is absent or has its other form, a date."""
    value = response.headers.get("Retry-After", "")
    return int(value) if value.isdecimal() and len(value) < 10 else None


def _read(type_: type[_Answer], response: httpx.Response) -> _Answer:
    try:
        return read(type_, response.content)
    except ContractError as error:
        raise not_keywright(response, str(error)) from None


def _sentence(error: FieldError) -> str:
    where = ".".join(str(part) for part in error.loc if part not in ("body", "query", "path"))
    return f"{where}: {error.msg}" if where else error.msg


def cursor_of(response: httpx.Response) -> str | None:
    """Read the cursor of the next page; None on the last one."""
    # Only the cursor is taken from the link: following the address itself could carry the token to another host.
    link = response.links.get("next", {}).get("url")
    if link is None:
        return None
    try:
        (cursor,) = parse_qs(urlsplit(link).query, strict_parsing=True)["cursor"]
    except (KeyError, ValueError):
        raise not_keywright(response, "The Link header has no cursor") from None
    return cursor
