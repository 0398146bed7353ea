"""The operations that read the audit log of an organization."""

from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from keywright.api.http.paging import PageQuery
from keywright.api.http.principal import CanonicalUuid, KeyId, MayReadEvents
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import Query, operation
from keywright.api.keys.answers import PATH as KEYS_PATH
from keywright.api.keys.answers import answer_page, event_response
from keywright.api.keys.requests import DateTime, Subject
from keywright.contract.audit_log import EventResponse
from keywright.service.management.audit_log import Event, EventType
from keywright.service.management.management import Management, Page
from keywright.service.management.ports import EventFilter, Link
from keywright.service.principal import Principal

PATH = "/api/v2/api-key-events"

TAG = "Events"


EventPage = Page[tuple[Event, Link | None]]


class KeyEventsQuery(PageQuery):
    """The parameters of the list of one key's events."""

    type: EventType | None = None
    actor: Subject | None = Field(default=None, description="The subject of the access token")
    since: DateTime | None = Field(default=None, description="This moment or later")
    until: DateTime | None = Field(default=None, description="Before this moment")


class EventsQuery(KeyEventsQuery):
    """The parameters of the list of an organization's events."""

    key_id: CanonicalUuid | None = None


class EventRoutes:
    """`/api/v2/api-key-events` and `…/{key_id}/events`."""

    def __init__(self, management: Management) -> None:
        self._management = management

    @operation(
        "GET",
        PATH,
        tag=TAG,
        summary="List API Key Events",
        answers=list[EventResponse],
        headers=("Link",),
        in_steps=True,
    )
    async def list_api_key_events(self, principal: MayReadEvents, query: Query[EventsQuery]) -> Response:
        """
        List the changes to the organization's keys, newest first, those of deleted keys included. The next page is in
        the `Link` header, also of a page that is short or empty: a filter examines up to 20 000 events for a page.
        """
        return await self._listed(principal, await self._page(principal, query, query.key_id), query, PATH)

    @operation(
        "GET",
        KEYS_PATH + "/{key_id}/events",
        tag=TAG,
        summary="List Events of API Key",
        answers=list[EventResponse],
        headers=("Link",),
        in_steps=True,
    )
    async def list_events_of_api_key(
        self, principal: MayReadEvents, key_id: KeyId, query: Query[KeyEventsQuery]
    ) -> Response:
        """List the changes to one key, newest first. The list stays readable after the key is deleted."""
        page = await self._page(principal, query, key_id)
        if not page.items and page.next is None and not await self._has_events(principal, key_id):
            raise Refusal("not_found")
        return await self._listed(principal, page, query, f"{KEYS_PATH}/{key_id}/events")

    async def _listed(self, principal: Principal, page: EventPage, query: PageQuery, path: str) -> Response:
        link = query.link_to(path, page.next)
        return await answer_page(
            self._management.turns, principal, page.items, lambda found: event_response(*found), link
        )

    async def _page(self, principal: Principal, query: KeyEventsQuery, key_id: UUID | None) -> EventPage:
        which = EventFilter(key_id=key_id, type=query.type, subject=query.actor, since=query.since, until=query.until)
        return await self._management.events_page(principal, limit=query.limit, before=query.before, which=which)

    async def _has_events(self, principal: Principal, key_id: UUID) -> bool:
        """Tell whether the organization has an event of the key: a page may be empty because of its filters."""
        which = EventFilter(key_id=key_id)
        page = await self._management.events_page(principal, limit=1, before=None, which=which)
        return bool(page.items)
