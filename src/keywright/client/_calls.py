"""
The operations of the management API as functions that return a `Call`: the request, and the reader of its answer. No
I/O. `_management` makes methods of these functions and sends the calls.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx

from keywright.client._answers import (
    ApiKeyPage,
    AuditLogPage,
    UsagePage,
    read_created,
    read_events,
    read_key,
    read_page,
    read_usage,
    reader,
)
from keywright.client._bodies import UNCHANGED, AnyRateLimit, Unchanged, body_of, flaw_in, moment, plain_limits, texts
from keywright.client.errors import KeywrightError
from keywright.contract import ApiKeyResponse, CreatedApiKeyResponse, OptionsResponse, RevocationResponse
from keywright.keys.record import RevocationReason

KEYS = "/api/v2/api-keys"
EVENTS = "/api/v2/api-key-events"
OPTIONS = "/api/v2/api-key-options"

Result_co = TypeVar("Result_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Result_co]):
    """
    One request: its method, path and content, the status of a good answer, and the reader of that answer.

    A `idempotent` request is sent with *idempotency_key* or a new one, and sent again with the same one when its answer
    was lost.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], Result_co]
    expect: int = httpx.codes.OK
    body: bytes | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotent: bool = False
    idempotency_key: str | None = field(default=None, repr=False)


def create(
    name: str,
    *,
    description: str | None = None,
    environment: str | None = None,
    expires_at: datetime | None = None,
    scopes: Collection[str] = (),
    allowed_ips: Collection[str] = (),
    rate_limits: Collection[AnyRateLimit] = (),
    external_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[CreatedApiKeyResponse]:
    """
    Create a key.

    Args:
        name: 1 to 100 characters, for people.
        description: At most 255 characters, or None.
        environment: Such as `live`; None for the service's first.
        expires_at: When it stops working, aware and in the future; None for never, if the policy allows it.
        scopes: What it may do, each `resource:action`.
        allowed_ips: Addresses and CIDR blocks that it may be used from; none for any.
        rate_limits: How often it may be used, at most 4 limits with different names.
        external_id: The id of its owner in your own records, at most 255 characters.
        metadata: Any JSON object of at most 8 KiB.
        idempotency_key: Names this creation: 22 to 255 random characters; None to generate one. The same call with the
            same idempotency key within 24 hours gives the same answer and creates nothing.

    Returns:
        The key with its private key, which no other answer shows.
    """
    fields = {
        "name": name,
        "description": description,
        "environment": environment,
        "expires_at": expires_at,
        "scopes": texts("scopes", scopes),
        "allowed_ips": texts("allowed_ips", allowed_ips),
        "rate_limits": plain_limits(rate_limits),
        "external_id": external_id,
        "metadata": metadata,
    }
    given = {name: value for name, value in fields.items() if value not in (None, (), [])}
    return _with_new_pair(KEYS, given, idempotency_key, expect=httpx.codes.CREATED)


def list_page(
    *,
    limit: int = 100,
    cursor: str | None = None,
    status: str | None = None,
    q: str | None = None,
    environment: str | None = None,
    external_id: str | None = None,
    unused_since: datetime | None = None,
    created_by: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    scope: str | None = None,
    sort: str | None = None,
) -> Call[ApiKeyPage]:
    """
    Read one page of keys, newest first. All given filters apply.

    Args:
        limit: The most keys of the page, 1 to 1000.
        cursor: The `next` of the page before; None for the first page.
        status: `active`, `disabled`, `expired`, `revoked`, or `expiring`: active, and expiring within 14 days.
        q: Part of the name or description, the beginning of the public key, or the end of the private one.
        environment: Such as `live`.
        external_id: The id of the owner in your own records.
        unused_since: Keys that existed at this moment and were not used since; aware.
        created_by: The subject of the access token that created the key.
        created_after: Created at this moment or later; aware.
        created_before: Created before this moment; aware.
        scope: Exactly this scope of the key; a wildcard that grants it is another scope.
        sort: `created_at` for the oldest keys first; `-created_at`, or None, for the newest first.
    """
    which = {"status": status, "q": q, "environment": environment, "external_id": external_id, "scope": scope}
    times = {"unused_since": unused_since, "created_after": created_after, "created_before": created_before}
    page = {"limit": limit, "cursor": cursor, "sort": sort}
    parameters = given({**page, **which, "created_by": created_by, **times})
    return Call(method="GET", path=KEYS, read=read_page, parameters=parameters)


def get(key_id: UUID | str) -> Call[ApiKeyResponse]:
    """Read one key."""
    return Call(method="GET", path=_path(key_id), read=read_key)


def update(
    key_id: UUID | str,
    *,
    name: str | Unchanged = UNCHANGED,
    description: str | Unchanged | None = UNCHANGED,
    environment: str | Unchanged = UNCHANGED,
    expires_at: datetime | Unchanged | None = UNCHANGED,
    enabled: bool | Unchanged = UNCHANGED,
    scopes: Collection[str] | Unchanged = UNCHANGED,
    allowed_ips: Collection[str] | Unchanged = UNCHANGED,
    rate_limits: Collection[AnyRateLimit] | Unchanged = UNCHANGED,
    external_id: str | Unchanged | None = UNCHANGED,
    metadata: Mapping[str, Any] | Unchanged = UNCHANGED,
    if_match: str | None = None,
) -> Call[ApiKeyResponse]:
    """
    Replace fields of a key; all others stay as they are. See `create` for their meaning.

    Args:
        environment: It is part of the key's text, so only the present one is accepted.
        enabled: False disables the key until True enables it again.
        if_match: The `etag` of the key that was read. If the key was changed since, nothing is changed, and `Refused`
            has the code `precondition_failed`. None to change any version.
    """
    fields = {
        "name": name,
        "description": description,
        "environment": environment,
        "expires_at": expires_at,
        "enabled": enabled,
        "scopes": scopes if isinstance(scopes, Unchanged) else texts("scopes", scopes),
        "allowed_ips": allowed_ips if isinstance(allowed_ips, Unchanged) else texts("allowed_ips", allowed_ips),
        "rate_limits": rate_limits if isinstance(rate_limits, Unchanged) else plain_limits(rate_limits),
        "external_id": external_id,
        "metadata": metadata,
    }
    changes = {name: value for name, value in fields.items() if not isinstance(value, Unchanged)}
    return Call(method="PATCH", path=_path(key_id), read=read_key, body=body_of(changes), headers=_condition(if_match))


def rotate(
    key_id: UUID | str,
    *,
    overlap_seconds: int | None = None,
    retire_when_idle_seconds: int | None = None,
    if_match: str | None = None,
    idempotency_key: str | None = None,
) -> Call[CreatedApiKeyResponse]:
    """
    Give a key a new pair; the old pair still works beside it for a while.

    Args:
        key_id: The id of the key.
        overlap_seconds: How long the old pair works, 0 to 2592000 (30 days); None for a day, or 30 days with the next
            argument.
        retire_when_idle_seconds: End the old pair sooner: once it was not used for this long (60 to 2592000) after
            the first use of the new one.
        if_match: As for `update`.
        idempotency_key: As for `create`.

    Returns:
        The key with its new private key, which no other answer shows.
    """
    fields = {"overlap_seconds": overlap_seconds, "retire_when_idle_seconds": retire_when_idle_seconds}
    return _with_new_pair(_path(key_id, "/rotate"), present(fields), idempotency_key, headers=_condition(if_match))


def set_overlap(key_id: UUID | str, *, overlap_seconds: int) -> Call[ApiKeyResponse]:
    """Set the end of the replaced pair, in seconds from now; 0 ends it at once."""
    body = body_of({"overlap_seconds": overlap_seconds})
    return Call(method="PUT", path=_path(key_id, "/rotation"), read=read_key, body=body)


def revoke(key_id: UUID | str, *, reason: RevocationReason | str | None = None) -> Call[ApiKeyResponse]:
    """
    Revoke a key for good; revoking it again gives the same answer, with the first reason.

    Args:
        key_id: The id of the key.
        reason: `key_compromise`, `superseded`, `cessation_of_operation`, `privilege_withdrawn` or `unspecified`.
    """
    body = None if reason is None else body_of({"reason": reason})
    return Call(method="PUT", path=_path(key_id, "/revoke"), read=read_key, body=body)


def delete(key_id: UUID | str) -> Call[None]:
    """Delete a key: it stops working within a second and is no longer listed."""
    return Call(method="DELETE", path=_path(key_id), read=_nothing, expect=httpx.codes.NO_CONTENT)


def events(
    *,
    limit: int = 100,
    cursor: str | None = None,
    key_id: UUID | str | None = None,
    type: str | None = None,  # noqa: A002 - the contract's own word
    actor: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Call[AuditLogPage]:
    """
    Read one page of the audit log, newest first; events of deleted keys are included. All given filters apply.

    Args:
        limit: The most events of the page, 1 to 1000.
        cursor: The `next` of the page before; None for the first page.
        key_id: Events of this key.
        type: Events of this type, such as `api_key.revoked`.
        actor: Events by bearers of tokens with this subject.
        since: Events from this moment on; aware.
        until: Events before this moment; aware.
    """
    which = {"key_id": key_id, "type": type, "actor": actor, "since": since, "until": until}
    parameters = given({"limit": limit, "cursor": cursor, **which})
    return Call(method="GET", path=EVENTS, read=read_events, parameters=parameters)


def key_events(key_id: UUID | str, *, limit: int = 100, cursor: str | None = None) -> Call[AuditLogPage]:
    """Read one page of the events of one key, newest first; the key may be deleted."""
    parameters = given({"limit": limit, "cursor": cursor})
    return Call(method="GET", path=_path(key_id, "/events"), read=read_events, parameters=parameters)


def usage(
    key_id: UUID | str,
    *,
    period: str = "day",
    since: datetime | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> Call[UsagePage]:
    """
    Read the usage of a key, with one page of its secrets, newest first, and their sources.

    Args:
        key_id: The id of the key.
        period: `day` or `hour`.
        since: The beginning of the report, aware; None for 7 days ago, or 24 hours ago with `hour`.
        limit: The most secrets of the page, 1 to 100.
        cursor: The `next` of the page before; None for the first page.
    """
    parameters = given({"limit": limit, "cursor": cursor, "period": period, "since": since})
    return Call(method="GET", path=_path(key_id, "/usage"), read=read_usage, parameters=parameters)


def receipt(key_id: UUID | str) -> Call[RevocationResponse]:
    """Read the receipt of a revocation or deletion; `Refused` with `not_revoked` for any other key."""
    return Call(method="GET", path=_path(key_id, "/revocation"), read=reader(RevocationResponse))


def options() -> Call[OptionsResponse]:
    """Read the environments, scopes and operator's rules for new keys."""
    return Call(method="GET", path=OPTIONS, read=reader(OptionsResponse))


def _with_new_pair(
    path: str, fields: Mapping[str, Any], idempotency_key: str | None, **more: Any
) -> Call[CreatedApiKeyResponse]:
    """Make a call that gives a private key; it is sent again when its answer was lost."""
    return Call(
        method="POST",
        path=path,
        read=read_created,
        body=body_of(fields),
        idempotent=True,
        idempotency_key=idempotency_key,
        **more,
    )


def _path(key_id: UUID | str, rest: str = "") -> str:
    return f"{KEYS}/{uuid_of(key_id)}{rest}"


def uuid_of(key_id: UUID | str) -> UUID:
    """
    Read an id; any other text could lead to another route.

    Raises:
        KeywrightError: It is no UUID.
    """
    try:
        return key_id if isinstance(key_id, UUID) else UUID(key_id)
    except ValueError:
        raise KeywrightError("The id must be a UUID: 8-4-4-4-12 hexadecimal digits.") from None


def _condition(if_match: str | None) -> dict[str, str]:
    if if_match is None:
        return {}
    if not if_match.isascii() or not if_match.isprintable():
        raise KeywrightError("if_match must be the etag of a key, or *.")
    return {"If-Match": if_match}


def given(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Write the parameters that are not None as texts."""
    return {name: _text(name, value) for name, value in present(parameters).items()}


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def _text(name: str, value: Any) -> str:
    plain = value if isinstance(value, datetime) else str(value)
    flaw = flaw_in(name, plain)
    if flaw is not None:
        raise KeywrightError(flaw)
    return moment(plain) if isinstance(plain, datetime) else plain


def _nothing(_response: httpx.Response) -> None:
    return None
