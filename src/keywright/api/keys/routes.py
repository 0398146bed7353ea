"""The operations on keys: create, list, get, update, revoke, delete. `rotation` has those of a rotation."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field
from starlette.responses import Response

from keywright.api.http.bodies import Body, OptionalBody
from keywright.api.http.conditions import IfMatch
from keywright.api.http.idempotency import IdempotencyKey, Reply, answer_of, idempotent_request
from keywright.api.http.paging import PageQuery
from keywright.api.http.principal import FromWhere, KeyId, MayCreate, MayDelete, MayRead, MayRevoke, MayUpdate
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import Query, operation
from keywright.api.keys.answers import (
    PATH,
    TAG,
    Members,
    answer_page,
    api_key_response,
    one_key,
    path_of,
    shown_once,
    used_response,
)
from keywright.api.keys.requests import (
    CreateApiKeyRequestV2,
    DateTime,
    Environment,
    ExternalId,
    RevokeApiKeyRequest,
    Scope,
    SearchedText,
    Subject,
    UpdateApiKeyRequest,
)
from keywright.contract.api_keys import ApiKeyResponse, CreatedApiKeyResponse, UsedApiKeyResponse
from keywright.keys.record import ApiKey, Status
from keywright.service.management.commands import Created
from keywright.service.management.management import Management
from keywright.service.management.ports import KeyFilter
from keywright.service.management.usage_reports import UsageReports

KEY_PATH = f"{PATH}/{{key_id}}"
EXPIRING_WITHIN = timedelta(days=14)


class FilterQuery(PageQuery):
    """The filters of a list of keys."""

    status: Literal["active", "disabled", "expired", "revoked", "expiring"] | None = Field(
        default=None, description="`expiring`: active, and expiring within 14 days"
    )
    q: SearchedText | None = Field(
        default=None,
        description="Part of the name or description, the beginning of the public key, or the end of the private "
        "key as it is shown",
    )
    environment: Environment | None = None
    external_id: ExternalId | None = None
    unused_since: DateTime | None = Field(
        default=None, description="Keys that existed at this moment and were not used since"
    )
    created_by: Subject | None = Field(default=None, description="The subject of the access token that created the key")
    created_after: DateTime | None = Field(default=None, description="Created at this moment or later")
    created_before: DateTime | None = Field(default=None, description="Created before this moment")
    scope: Scope | None = Field(
        default=None, description="Keys with exactly this scope; a key whose wildcard grants it is not found"
    )

    def which(self, now: datetime) -> KeyFilter:
        """Give the filter of the use case; `expiring` becomes active keys with an early expiry."""
        expiring = self.status == "expiring"
        status = Status.ACTIVE if expiring else None if self.status is None else Status(self.status)
        return KeyFilter(
            at=now,
            status=status,
            expires_before=now + EXPIRING_WITHIN if expiring else None,
            text=self.q,
            environment=self.environment,
            external_id=self.external_id,
            unused_since=self.unused_since,
            created_by=self.created_by,
            created_since=self.created_after,
            created_before=self.created_before,
            scope=self.scope,
        )


class ListQuery(FilterQuery):
    """The parameters of the list of keys."""

    include: Literal["usage"] | None = Field(
        default=None, description="`usage` adds to each key its uses on each of the last 7 days"
    )
    sort: Literal["created_at", "-created_at"] | None = Field(
        default=None, description="`created_at`: oldest first. `-created_at`: newest first, as without it"
    )

    def which(self, now: datetime) -> KeyFilter:
        """Give the filter of the use case, with the direction of the list."""
        return replace(super().which(now), oldest_first=self.sort == "created_at")


class KeyRoutes:
    """
    `/api/v2/api-keys` and `…/{key_id}`.

    Args:
        management: The use cases.
        usage: Adds usage to lists.
    """

    def __init__(self, management: Management, usage: UsageReports) -> None:
        self._management = management
        self._usage = usage

    @operation(
        "POST",
        PATH,
        tag=TAG,
        summary="Create API Key",
        status=201,
        answers=CreatedApiKeyResponse,
        headers=("ETag", "Location"),
        refusals=("scopes_not_grantable", "too_many_keys"),
    )
    async def create_api_key(
        self, principal: MayCreate, key: IdempotencyKey, new: Body[CreateApiKeyRequestV2], origin: FromWhere
    ) -> Response:
        """Create a key pair for the caller's organization. The private key is in this answer only."""

        def reply(created: Created) -> Reply:
            headers, body = shown_once(created, principal, self._management.clock())
            return Reply({"Location": path_of(created.api_key), **headers}, body)

        once = idempotent_request(key, "POST", PATH, new.json, reply)
        return answer_of(await self._management.create(principal, origin, new.model.command(), once), reply, status=201)

    @operation(
        "GET",
        PATH,
        tag=TAG,
        summary="List API Keys",
        answers=list[UsedApiKeyResponse] | list[ApiKeyResponse],
        headers=("Link",),
        in_steps=True,
    )
    async def list_api_keys(self, principal: MayRead, query: Query[ListQuery]) -> Response:
        """
        List the organization's keys, newest first unless `sort` says otherwise. The next page is in the `Link`
        header, also of a page that is short or empty: a filter examines up to 20 000 keys for a page.
        """
        now = self._management.clock()
        which = query.which(now)
        page = await self._management.list_page(principal, limit=query.limit, before=query.before, which=which)
        response: Callable[[ApiKey], Members]
        if query.include == "usage":
            days = await self._usage.last_days(principal, [key.id for key in page.items])
            response = lambda key: used_response(key, principal, now, days[key.id])  # noqa: E731
        else:
            response = lambda key: api_key_response(key, principal, now)  # noqa: E731
        return await answer_page(
            self._management.turns, principal, page.items, response, query.link_to(PATH, page.next)
        )

    @operation("GET", KEY_PATH, tag=TAG, summary="Get API Key", answers=ApiKeyResponse, headers=("ETag",))
    async def get_api_key(self, principal: MayRead, key_id: KeyId) -> Response:
        """Get one key."""
        return one_key(await self._management.get(principal, key_id), principal, self._management.clock)

    @operation(
        "PATCH",
        KEY_PATH,
        tag=TAG,
        summary="Update API Key",
        answers=ApiKeyResponse,
        headers=("ETag",),
        refusals=("scopes_not_grantable", "key_revoked", "too_many_keys", "changed_meanwhile"),
    )
    async def update_api_key(
        self,
        principal: MayUpdate,
        key_id: KeyId,
        matching: IfMatch,
        changes: Body[UpdateApiKeyRequest],
        origin: FromWhere,
    ) -> Response:
        """
        Replace fields of a key; the others stay as they are. Every verification follows the change within a second.
        """
        updated = await self._management.update(principal, origin, key_id, changes.model.changes(), matching=matching)
        return one_key(updated, principal, self._management.clock)

    @operation(
        "PUT", f"{KEY_PATH}/revoke", tag=TAG, summary="Revoke API Key", answers=ApiKeyResponse, headers=("ETag",)
    )
    async def revoke_api_key(
        self, principal: MayRevoke, key_id: KeyId, why: OptionalBody[RevokeApiKeyRequest], origin: FromWhere
    ) -> Response:
        """Revoke a key for good. Revoking it again gives the same answer, with the first reason."""
        revoked = await self._management.revoke(principal, origin, key_id, why.model.reason)
        return one_key(revoked, principal, self._management.clock)

    @operation("DELETE", KEY_PATH, tag=TAG, summary="Delete API Key", status=204)
    async def delete_api_key(self, principal: MayDelete, key_id: KeyId, origin: FromWhere) -> Response:
        """Delete a key. It stops working within a second and is no longer listed."""
        if not await self._management.delete(principal, origin, key_id):
            raise Refusal("not_found")
        return Response(status_code=204)
