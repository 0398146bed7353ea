"""
The operations of operators as functions that return a `Call`, as in `_calls`: on the keys of all organizations, with
a token that has `operate:api_keys`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx

from keywright.client._answers import ApiKeyPage, cursor_of, read_key, read_page, reader
from keywright.client._bodies import body_of
from keywright.client._calls import Call, given, present, uuid_of
from keywright.contract import (
    ApiKeyResponse,
    BulkRevocationResponse,
    CreatedVerifierResponse,
    FoundApiKeyResponse,
    KeyFiguresResponse,
    NamedRevocationResponse,
    OrganizationEventResponse,
    OrganizationResponse,
    RevocationFiguresResponse,
    TopFiguresResponse,
    VerdictFiguresResponse,
    VerifierFiguresResponse,
    VerifierResponse,
)
from keywright.keys.record import RevocationReason

PATH = "/api/v2/operator"

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class OrganizationPage:
    """Organizations, in descending order of id; `next` is the cursor of the following page, None on the last one."""

    organizations: Sequence[OrganizationResponse]
    next: str | None


@dataclass(frozen=True, slots=True)
class OrganizationEventPage:
    """Events, newest first; `next` is the cursor of the following page, None on the last one."""

    events: Sequence[OrganizationEventResponse]
    next: str | None


def find(text: str) -> Call[FoundApiKeyResponse]:
    """
    Find the key of any organization that a text belongs to.

    Args:
        text: A key's id, or a public or private key, of a pair that has ended, too. It is sent in a body.
    """
    return Call(
        method="POST", path=f"{PATH}/api-keys/find", read=reader(FoundApiKeyResponse), body=body_of({"text": text})
    )


def list_page(*, limit: int = 100, cursor: str | None = None, **which: Any) -> Call[ApiKeyPage]:
    """
    Read one page of the keys of all organizations, newest first; a page with a filter may be short.

    Args:
        limit: The most keys of the page, 1 to 1000.
        cursor: The `next` of the page before; None for the first page.
        which: The filters of `ManagementClient.list`, and `org_id`.
    """
    parameters = given({"limit": limit, "cursor": cursor, **which})
    return Call(method="GET", path=f"{PATH}/api-keys", read=read_page, parameters=parameters)


def get(key_id: UUID | str) -> Call[ApiKeyResponse]:
    """Read one key of any organization, as its owner reads it."""
    return Call(method="GET", path=f"{PATH}/api-keys/{uuid_of(key_id)}", read=read_key)


def revoke(key_id: UUID | str, *, reason: RevocationReason | str | None = None) -> Call[ApiKeyResponse]:
    """Revoke a key of any organization for good; the event in its audit log names the operator."""
    body = None if reason is None else body_of({"reason": reason})
    return Call(method="PUT", path=f"{PATH}/api-keys/{uuid_of(key_id)}/revoke", read=read_key, body=body)


def receipt(key_id: UUID | str) -> Call[NamedRevocationResponse]:
    """Read the receipt of a revocation or deletion, with the names of processes."""
    path = f"{PATH}/api-keys/{uuid_of(key_id)}/revocation"
    return Call(method="GET", path=path, read=reader(NamedRevocationResponse))


def events(*, limit: int = 100, cursor: str | None = None, **which: Any) -> Call[OrganizationEventPage]:
    """Read one page of the audit log of all organizations; *which* as for `ManagementClient.events`, and `org_id`."""
    parameters = given({"limit": limit, "cursor": cursor, **which})

    def read(response: httpx.Response) -> OrganizationEventPage:
        return OrganizationEventPage(reader(tuple[OrganizationEventResponse, ...])(response), cursor_of(response))

    return Call(method="GET", path=f"{PATH}/api-key-events", read=read, parameters=parameters)


def organizations(
    *, limit: int = 100, cursor: str | None = None, external_id: str | None = None
) -> Call[OrganizationPage]:
    """Read one page of organizations with their numbers of keys, or the one that the issuer calls *external_id*."""
    parameters = given({"limit": limit, "cursor": cursor, "external_id": external_id})

    def read(response: httpx.Response) -> OrganizationPage:
        return OrganizationPage(reader(tuple[OrganizationResponse, ...])(response), cursor_of(response))

    return Call(method="GET", path=f"{PATH}/organizations", read=read, parameters=parameters)


def preview_revocation(
    *,
    org_id: UUID | str | None = None,
    created_by: str | None = None,
    reason: RevocationReason | str | None = None,
) -> Call[BulkRevocationResponse]:
    """
    Count the keys of an organization, of a creator, or of a creator in an organization; nothing is revoked.

    Returns:
        The preview. `start_revocation` with its id revokes what it counted, within 15 minutes.
    """
    fields: Mapping[str, Any] = {
        "org_id": None if org_id is None else str(uuid_of(org_id)),
        "created_by": created_by,
        "reason": reason,
    }
    return Call(
        method="POST",
        path=f"{PATH}/bulk-revocations",
        read=reader(BulkRevocationResponse),
        expect=httpx.codes.CREATED,
        body=body_of(present(fields)),
    )


def start_revocation(revocation_id: UUID | str) -> Call[BulkRevocationResponse]:
    """Revoke the keys of a preview for good. Starting it again gives the same revocation."""
    path = f"{PATH}/bulk-revocations/{uuid_of(revocation_id)}/start"
    return Call(method="PUT", path=path, read=reader(BulkRevocationResponse))


def revocation(revocation_id: UUID | str) -> Call[BulkRevocationResponse]:
    """Read a revocation of many keys, with one receipt for all of them."""
    path = f"{PATH}/bulk-revocations/{uuid_of(revocation_id)}"
    return Call(method="GET", path=path, read=reader(BulkRevocationResponse))


def verifiers() -> Call[tuple[VerifierResponse, ...]]:
    """Read all verifiers, newest first, revoked ones included."""
    return Call(method="GET", path=f"{PATH}/verifiers", read=reader(tuple[VerifierResponse, ...]))


def create_verifier(name: str) -> Call[CreatedVerifierResponse]:
    """Create a verifier; its credential is in this answer only."""
    return Call(
        method="POST",
        path=f"{PATH}/verifiers",
        read=reader(CreatedVerifierResponse),
        expect=httpx.codes.CREATED,
        body=body_of({"name": name}),
    )


def revoke_verifier(name: str) -> Call[VerifierResponse]:
    """Revoke the verifier with this name for good."""
    return Call(method="PUT", path=f"{PATH}/verifiers/{quote(name, safe='')}/revoke", read=reader(VerifierResponse))


def verdict_figures(*, per: str = "minute") -> Call[VerdictFiguresResponse]:
    """
    Read the verdicts of all processes and in-process verifiers by code.

    Args:
        per: The period: `minute` for the last hour, `hour` for two days, `day` for 30 days.
    """
    return _figures("verdicts", VerdictFiguresResponse, per=per)


def top_figures(*, hours: int = 24, limit: int = 10) -> Call[TopFiguresResponse]:
    """
    Read the keys and organizations with the most uses, and the keys with the most refusals.

    Args:
        hours: How many hours to count, back from now, at most 2160.
        limit: The most entries of each list, 1 to 50.
    """
    return _figures("top", TopFiguresResponse, hours=hours, limit=limit)


def key_figures() -> Call[KeyFiguresResponse]:
    """Read the numbers of keys by status, by the time since their last use, and by the day of their expiry."""
    return _figures("keys", KeyFiguresResponse)


def revocation_figures(*, hours: int = 24) -> Call[RevocationFiguresResponse]:
    """Read how long processes took to acknowledge the revocations of the last *hours*, at most 2160."""
    return _figures("revocations", RevocationFiguresResponse, hours=hours)


def verifier_figures() -> Call[VerifierFiguresResponse]:
    """Read the processes that cache keys now, and what they have not acknowledged."""
    return _figures("verifiers", VerifierFiguresResponse)


def _figures(name: str, answer: type[_Answer], **query: Any) -> Call[_Answer]:
    return Call(method="GET", path=f"{PATH}/figures/{name}", read=reader(answer), parameters=given(query))
