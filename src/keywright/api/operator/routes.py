"""The operations of operators on keys, organizations and the audit log. None creates, changes or checks a key."""

from typing import Annotated

from starlette.responses import Response

from keywright.api.http.bodies import Body, OptionalBody
from keywright.api.http.principal import CanonicalUuid, FromWhere, KeyId, MayOperate, MayOperateToEnd
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import PathInput, Query, operation
from keywright.api.keys.answers import Members, answer, answer_page, api_key_response, one_key
from keywright.api.keys.requests import RevokeApiKeyRequest
from keywright.api.keys.usage import UsageQuery, answer_usage
from keywright.api.operator.answers import (
    found_response,
    named_revocation_response,
    organization_event_response,
    organization_response,
)
from keywright.api.operator.requests import (
    FindApiKeyRequest,
    OperatorEventsQuery,
    OperatorListQuery,
    OrganizationsQuery,
)
from keywright.contract.api_keys import ApiKeyResponse
from keywright.contract.operator import (
    FoundApiKeyResponse,
    NamedRevocationResponse,
    OrganizationEventResponse,
    OrganizationResponse,
)
from keywright.contract.usage import UsageResponse
from keywright.keys.record import RevocationReason
from keywright.service.management.ports import EventFilter
from keywright.service.management.usage_reports import UsageReports
from keywright.service.operator.lookup import Lookup, Visit
from keywright.service.operator.ports import StoredKey
from keywright.service.principal import Principal

PATH = "/api/v2/operator"
KEYS = f"{PATH}/api-keys"
EVENTS = f"{PATH}/api-key-events"
ORGANIZATIONS = f"{PATH}/organizations"
TAG = "Operators"

OrganizationId = Annotated[CanonicalUuid, PathInput()]


class OperatorKeyRoutes:
    """
    `/api/v2/operator/api-keys` and `…/{key_id}`.

    Args:
        lookup: The use cases.
        usage: Reads the usage of keys.
    """

    def __init__(self, lookup: Lookup, usage: UsageReports) -> None:
        self._lookup = lookup
        self._management = lookup.management
        self._usage = usage

    @operation(
        "GET",
        KEYS,
        tag=TAG,
        summary="List API Keys of All Organizations",
        answers=list[ApiKeyResponse],
        headers=("Link",),
        in_steps=True,
    )
    async def list_api_keys_of_all(self, principal: MayOperate, query: Query[OperatorListQuery]) -> Response:
        """
        List the keys of all organizations, newest first. The next page is in the `Link` header, also of a page that is
        short or empty: a filter examines up to 20 000 keys for a page.
        """
        now = self._management.clock()
        page = await self._lookup.keys_page(
            principal, limit=query.limit, before=query.before, which=query.which(now), org_id=query.org_id
        )

        def response(key: StoredKey) -> Members:
            return api_key_response(key.api_key, principal.visiting(key.organization), now)

        return await answer_page(
            self._management.turns, principal, page.items, response, query.link_to(KEYS, page.next)
        )

    @operation(
        "POST", f"{KEYS}/find", tag=TAG, summary="Find API Key", answers=FoundApiKeyResponse, refusals=("not_found",)
    )
    async def find_api_key(self, principal: MayOperate, wanted: Body[FindApiKeyRequest]) -> Response:
        """
        Find the key of any organization that a text belongs to: its id, or a public or private key, of a pair that has
        ended, too. A deleted key is found.
        """
        found = await self._lookup.find(principal, wanted.model.text)
        if found is None:
            raise Refusal("not_found")
        return answer(found_response(found, principal, self._management.clock()))

    @operation(
        "GET",
        f"{KEYS}/{{key_id}}",
        tag=TAG,
        summary="Get API Key of Any Organization",
        answers=ApiKeyResponse,
        headers=("ETag",),
    )
    async def get_api_key_of_any(self, principal: MayOperate, key_id: KeyId) -> Response:
        """Get one key, as its owner gets it."""
        visit = await self._visit(principal, key_id)
        found = None if visit.key.deleted_at is not None else visit.key.api_key
        return one_key(found, visit.operator, self._management.clock)

    @operation(
        "PUT",
        f"{KEYS}/{{key_id}}/revoke",
        tag=TAG,
        summary="Revoke API Key of Any Organization",
        answers=ApiKeyResponse,
        headers=("ETag",),
    )
    async def revoke_api_key_of_any(
        self, principal: MayOperateToEnd, key_id: KeyId, why: OptionalBody[RevokeApiKeyRequest], origin: FromWhere
    ) -> Response:
        """Revoke a key for good. The event stands in the audit log of its organization, with the operator as actor."""
        reason: RevocationReason = why.model.reason
        revoked = await self._lookup.revoke(principal, origin, key_id, reason)
        if revoked is None:
            raise Refusal("not_found")
        return one_key(revoked.api_key, principal.visiting(revoked.organization), self._management.clock)

    @operation(
        "GET",
        f"{KEYS}/{{key_id}}/revocation",
        tag=TAG,
        summary="Get Revocation Receipt with Names",
        answers=NamedRevocationResponse,
        refusals=("not_revoked", "receipt_removed"),
    )
    async def get_revocation_of_any(self, principal: MayOperate, key_id: KeyId) -> Response:
        """Get the receipt of a revocation or deletion, with the names of the processes."""
        visit = await self._visit(principal, key_id)
        receipt = await self._management.receipt(visit.operator, key_id)
        if receipt is not None:
            return answer(named_revocation_response(key_id, receipt))
        is_ended = visit.key.api_key.revoked_at is not None or visit.key.deleted_at is not None
        raise Refusal("receipt_removed" if is_ended else "not_revoked")

    @operation(
        "GET",
        f"{KEYS}/{{key_id}}/usage",
        tag=TAG,
        summary="Get Usage of API Key of Any Organization",
        answers=UsageResponse,
        headers=("Link",),
        in_steps=True,
    )
    async def get_usage_of_any(self, principal: MayOperate, key_id: KeyId, query: Query[UsageQuery]) -> Response:
        """Get the usage of a key and its sources, as its owner gets them."""
        visit = await self._visit(principal, key_id)
        return await answer_usage(self._usage, visit.operator, key_id, query, f"{KEYS}/{key_id}/usage")

    async def _visit(self, principal: Principal, key_id: KeyId) -> Visit:
        visit = await self._lookup.visit(principal, key_id)
        if visit is None:
            raise Refusal("not_found")
        return visit


class OperatorLogRoutes:
    """
    `/api/v2/operator/organizations` and `…/api-key-events`.

    Args:
        lookup: The use cases.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    @operation(
        "GET",
        EVENTS,
        tag=TAG,
        summary="List API Key Events of All Organizations",
        answers=list[OrganizationEventResponse],
        headers=("Link",),
        in_steps=True,
    )
    async def list_events_of_all(self, principal: MayOperate, query: Query[OperatorEventsQuery]) -> Response:
        """
        List the changes to the keys of all organizations, newest first. The next page is in the `Link` header, also of
        a page that is short or empty: a filter examines up to 20 000 events for a page.
        """
        which = EventFilter(
            key_id=query.key_id, type=query.type, subject=query.actor, since=query.since, until=query.until
        )
        page = await self._lookup.events_page(
            principal, limit=query.limit, before=query.before, which=which, org_id=query.org_id
        )
        return await answer_page(
            self._lookup.management.turns,
            principal,
            page.items,
            lambda found: organization_event_response(*found),
            query.link_to(EVENTS, page.next),
        )

    @operation(
        "GET",
        ORGANIZATIONS,
        tag=TAG,
        summary="List Organizations",
        answers=list[OrganizationResponse],
        headers=("Link",),
        in_steps=True,
    )
    async def list_organizations(self, principal: MayOperate, query: Query[OrganizationsQuery]) -> Response:
        """List the organizations that have, or had, a key, with their numbers of keys, in descending order of id."""
        if query.external_id is not None:
            named = await self._lookup.organization_named(principal, query.external_id)
            return answer([] if named is None else [organization_response(named)])
        page = await self._lookup.organizations_page(principal, limit=query.limit, before=query.before)
        link = query.link_to(ORGANIZATIONS, page.next)
        return await answer_page(self._lookup.management.turns, principal, page.items, organization_response, link)

    @operation("GET", f"{ORGANIZATIONS}/{{org_id}}", tag=TAG, summary="Get Organization", answers=OrganizationResponse)
    async def get_organization(self, principal: MayOperate, org_id: OrganizationId) -> Response:
        """Get one organization with its number of keys."""
        found = await self._lookup.organization(principal, org_id)
        if found is None:
            raise Refusal("not_found")
        return answer(organization_response(found))
