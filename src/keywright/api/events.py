"""The routes that read the trail: what was done to an organisation's keys, by whom, and from where."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.answers import PATH as KEYS_PATH
from keywright.api.answers import READ_HEADERS, as_json
from keywright.api.deps import KeyId, MayReadEvents, UseManagement
from keywright.api.key_fields import DateTime, Subject
from keywright.api.openapi import documented_answer, documented_errors
from keywright.api.operations import Operation
from keywright.api.paging import PageQuery
from keywright.api.problems import Refusal
from keywright.service.management.audit_log import Event, EventType
from keywright.service.management.management import Management, Page
from keywright.service.management.ports import EventFilter, Link
from keywright.service.principal import Permission, Principal

PATH = "/api/v2/api-key-events"

EventPage = Page[tuple[Event, Link | None]]

router = APIRouter(tags=["Events"], route_class=Operation)


class ActorResponse(BaseModel):
    """Who did it: the bearer of an access token, or the service itself, whose issuer and subject are `keywright`."""

    issuer: str
    subject: str
    client_id: str | None


class EventResponse(BaseModel):
    """One change to a key."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b56",
                    "type": "api_key.updated",
                    "key_id": "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55",
                    "occurred_at": "2026-11-23T21:50:11.004711Z",
                    "actor": {
                        "issuer": "https://acme.eu.auth0.com/",
                        "subject": "auth0|6543210fedcba",
                        "client_id": "dashboard",
                    },
                    "request_id": "0c9f6f3a6a604e1f8a1c8d9b4bb0c5de",
                    "address": "192.0.2.7",
                    "data": {"before": {"scopes": []}, "after": {"scopes": ["invoices:read"]}},
                    "position": 17,
                    "hash": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
                }
            ]
        }
    )

    id: UUID
    type: EventType
    key_id: UUID
    occurred_at: datetime
    actor: ActorResponse
    request_id: str = Field(description="The `X-Request-Id` of the answer to the request that did it")
    address: str | None = Field(description="Where that request came from, as far as it is known")
    data: dict[str, Any] = Field(description="What is worth keeping of the change; never a secret")
    position: int | None = Field(description="The place in the chain of the organization's events, from 1")
    hash: str | None = Field(description="SHA-256, in hexadecimal, over the hash before it and this event")

    @classmethod
    def fields_of(cls, event: Event, place: Link | None) -> dict[str, Any]:
        """Say *event* in the contract's words."""
        return {
            "id": event.id,
            "type": event.type,
            "key_id": event.key_id,
            "occurred_at": event.occurred_at,
            "actor": {"issuer": event.issuer, "subject": event.subject, "client_id": event.client_id},
            "request_id": event.origin.request_id,
            "address": event.origin.address,
            "data": dict(event.data),
            "position": None if place is None else place.position,
            "hash": None if place is None else place.hash.hex(),
        }


class KeyEventsQuery(PageQuery):
    """The parameters of a list of one key's events."""

    type: EventType | None = None
    actor: Subject | None = Field(default=None, description="The subject of the access token")
    since: DateTime | None = Field(default=None, description="This moment or later")
    until: DateTime | None = Field(default=None, description="Before this moment")


class EventsQuery(KeyEventsQuery):
    """The parameters of a list of events."""

    key_id: KeyId | None = None


@router.get(
    PATH,
    summary="List API Key Events",
    description="What was done to the organization's keys, deleted ones included, newest first. The next page is in "
    "the `Link` header.",
    response_model=list[EventResponse],
    responses=documented_answer(200, "Link") | documented_errors(400, 401, 403, 422, 503),
    openapi_extra={"x-permission": Permission.READ_EVENTS.value},
)
async def list_api_key_events(
    principal: MayReadEvents, query: Annotated[EventsQuery, Query()], management: UseManagement
) -> Response:
    """Read a page of the trail; see the description above."""
    page = await _page(management, principal, query, query.key_id)
    return _listed(page, query, PATH)


@router.get(
    KEYS_PATH + "/{key_id}/events",
    summary="List Events of API Key",
    description="What was done to one key, newest first. It stays readable when the key is deleted.",
    response_model=list[EventResponse],
    responses=documented_answer(200, "Link") | documented_errors(400, 401, 403, 404, 422, 503),
    openapi_extra={"x-permission": Permission.READ_EVENTS.value},
)
async def list_events_of_api_key(
    principal: MayReadEvents, key_id: KeyId, query: Annotated[KeyEventsQuery, Query()], management: UseManagement
) -> Response:
    """Read a page of one key's trail; see the description above."""
    page = await _page(management, principal, query, key_id)
    if not page.items and not await _has_events(management, principal, key_id):
        raise Refusal("not_found")
    return _listed(page, query, f"{KEYS_PATH}/{key_id}/events")


async def _page(management: Management, principal: Principal, query: KeyEventsQuery, key_id: UUID | None) -> EventPage:
    which = EventFilter(key_id=key_id, type=query.type, subject=query.actor, since=query.since, until=query.until)
    return await management.events_page(principal, limit=query.limit, before=query.before, which=which)


async def _has_events(management: Management, principal: Principal, key_id: UUID) -> bool:
    """Tell whether the organisation has any event of the key, which a page that filters leave empty does not tell."""
    page = await management.events_page(principal, limit=1, before=None, which=EventFilter(key_id=key_id))
    return bool(page.items)


def _listed(page: EventPage, query: PageQuery, path: str) -> Response:
    body = as_json([EventResponse.fields_of(event, place) for event, place in page.items])
    return Response(body, media_type="application/json", headers=READ_HEADERS | query.link_to(path, page.next))
