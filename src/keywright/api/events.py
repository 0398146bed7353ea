"""The routes that read the trail: what was done to an organisation's keys, by whom, and from where."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.answers import PATH as KEYS_PATH
from keywright.api.answers import READ_HEADERS, as_json
from keywright.api.deps import CanonicalUuid, KeyId, MayReadEvents
from keywright.api.http.routing import Query, operation
from keywright.api.key_fields import DateTime, Subject
from keywright.api.paging import PageQuery
from keywright.api.problems import Refusal
from keywright.service.events import Event, EventType
from keywright.service.management import EventPage, Management
from keywright.service.ports import EventFilter, Link
from keywright.service.principal import Principal

PATH = "/api/v2/api-key-events"

TAG = "Events"


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

    key_id: CanonicalUuid | None = None


class EventRoutes:
    """`/api/v2/api-key-events` and `…/{key_id}/events`."""

    def __init__(self, management: Management) -> None:
        self._management = management

    @operation("GET", PATH, tag=TAG, summary="List API Key Events", answers=list[EventResponse], headers=("Link",))
    async def list_api_key_events(self, principal: MayReadEvents, query: Query[EventsQuery]) -> Response:
        """
        What was done to the organization's keys, deleted ones included, newest first. The next page is in the `Link`
        header.
        """
        return _listed(await self._page(principal, query, query.key_id), query, PATH)

    @operation(
        "GET",
        KEYS_PATH + "/{key_id}/events",
        tag=TAG,
        summary="List Events of API Key",
        answers=list[EventResponse],
        headers=("Link",),
    )
    async def list_events_of_api_key(
        self, principal: MayReadEvents, key_id: KeyId, query: Query[KeyEventsQuery]
    ) -> Response:
        """What was done to one key, newest first. It stays readable when the key is deleted."""
        page = await self._page(principal, query, key_id)
        if not page.events and not await self._has_events(principal, key_id):
            raise Refusal("not_found")
        return _listed(page, query, f"{KEYS_PATH}/{key_id}/events")

    async def _page(self, principal: Principal, query: KeyEventsQuery, key_id: UUID | None) -> EventPage:
        which = EventFilter(key_id=key_id, type=query.type, subject=query.actor, since=query.since, until=query.until)
        return await self._management.events_page(principal, limit=query.limit, before=query.before, which=which)

    async def _has_events(self, principal: Principal, key_id: UUID) -> bool:
        """Tell whether the organization has any event of the key: a page may be empty because of its filters."""
        which = EventFilter(key_id=key_id)
        page = await self._management.events_page(principal, limit=1, before=None, which=which)
        return bool(page.events)


def _listed(page: EventPage, query: PageQuery, path: str) -> Response:
    body = as_json([EventResponse.fields_of(event, place) for event, place in page.events])
    return Response(body, media_type="application/json", headers=READ_HEADERS | query.link_to(path, page.next))
