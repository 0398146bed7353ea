"""The routes that read the trail: what was done to an organisation's keys, by whom, and from where."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from keywright.api.answers import PATH as KEYS_PATH
from keywright.api.answers import READ_HEADERS
from keywright.api.conversion import event_response
from keywright.api.deps import KeyId, MayReadEvents, UseManagement
from keywright.api.key_fields import DateTime, Subject
from keywright.api.openapi import documented_answer, documented_errors
from keywright.api.operations import Operation
from keywright.api.paging import PageQuery
from keywright.api.problems import Refusal
from keywright.contract.audit_log import EventResponse
from keywright.contract.codec import written
from keywright.service.events import EventType
from keywright.service.management import EventPage, Management
from keywright.service.ports import EventFilter
from keywright.service.principal import Permission, Principal

PATH = "/api/v2/api-key-events"

router = APIRouter(tags=["Events"], route_class=Operation)


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
    responses=documented_answer(200, "Link", of=list[EventResponse]) | documented_errors(400, 401, 403, 422, 503),
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
    responses=documented_answer(200, "Link", of=list[EventResponse]) | documented_errors(400, 401, 403, 404, 422, 503),
    openapi_extra={"x-permission": Permission.READ_EVENTS.value},
)
async def list_events_of_api_key(
    principal: MayReadEvents, key_id: KeyId, query: Annotated[KeyEventsQuery, Query()], management: UseManagement
) -> Response:
    """Read a page of one key's trail; see the description above."""
    page = await _page(management, principal, query, key_id)
    if not page.events and not await _has_events(management, principal, key_id):
        raise Refusal("not_found")
    return _listed(page, query, f"{KEYS_PATH}/{key_id}/events")


async def _page(management: Management, principal: Principal, query: KeyEventsQuery, key_id: UUID | None) -> EventPage:
    which = EventFilter(key_id=key_id, type=query.type, subject=query.actor, since=query.since, until=query.until)
    return await management.events_page(principal, limit=query.limit, before=query.before, which=which)


async def _has_events(management: Management, principal: Principal, key_id: UUID) -> bool:
    """Tell whether the organisation has any event of the key, which a page that filters leave empty does not tell."""
    page = await management.events_page(principal, limit=1, before=None, which=EventFilter(key_id=key_id))
    return bool(page.events)


def _listed(page: EventPage, query: PageQuery, path: str) -> Response:
    body = written([event_response(event, place) for event, place in page.events])
    return Response(body, media_type="application/json", headers=READ_HEADERS | query.link_to(path, page.next))
