"""The routes of the key family: create, list, get, delete. Changes and rotations have modules of their own."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from keywright.api import insight
from keywright.api.answers import PATH, READ_HEADERS, one_key, path_of, shown_once
from keywright.api.bodies import Said, said_body
from keywright.api.conversion import api_key_response, used_response
from keywright.api.deps import FromWhere, KeyId, MayCreate, MayDelete, MayRead, UseManagement
from keywright.api.idempotency import IdempotencyKey, Reply, answer_of, repeatable
from keywright.api.key_fields import DateTime, Environment, ExternalId, SearchedText
from keywright.api.openapi import (
    IDEMPOTENCY_KEY,
    NOT_AGAIN,
    documented_answer,
    documented_body,
    documented_errors,
)
from keywright.api.operations import Operation
from keywright.api.paging import PageQuery
from keywright.api.problems import Refusal
from keywright.api.requests import CreateApiKeyRequestV2
from keywright.contract.api_keys import ApiKeyResponse, CreatedApiKeyResponse, UsedApiKeyResponse
from keywright.contract.codec import written
from keywright.keys.record import Status
from keywright.service.ports import KeyFilter
from keywright.service.principal import Permission
from keywright.service.wishes import Created

NewKeyBody = Annotated[Said[CreateApiKeyRequestV2], Depends(said_body(CreateApiKeyRequestV2))]

EXPIRING_WITHIN = timedelta(days=14)

router = APIRouter(prefix=PATH, tags=["API keys"], route_class=Operation)


class ListQuery(PageQuery):
    """The parameters of a list of keys."""

    include: Literal["usage"] | None = Field(
        default=None, description="`usage` adds to each key how often it was used in each of the last 7 days"
    )
    status: Literal["active", "expired", "revoked", "expiring"] | None = Field(
        default=None, description="`expiring`: active, and expiring within 14 days"
    )
    q: SearchedText | None = Field(
        default=None,
        description="Part of the name or description, or the beginning of the public key or the end of the private "
        "one as they are shown",
    )
    environment: Environment | None = None
    external_id: ExternalId | None = None
    unused_since: DateTime | None = Field(
        default=None, description="Keys that were not used at this moment or later, and existed by then"
    )

    def which(self, now: datetime) -> KeyFilter:
        """The same as the use cases know it."""
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
        )


@router.post(
    "",
    status_code=201,
    summary="Create API Key",
    description="Create a key pair for the caller's organization. The private key is in this answer only.",
    responses=documented_answer(201, "ETag", "Location", "Idempotency-Replayed", of=CreatedApiKeyResponse)
    | documented_errors(400, 401, 403, 413, 415, 422, 503, also=["too_many_keys", *NOT_AGAIN]),
    openapi_extra={
        "x-permission": Permission.CREATE.value,
        "parameters": [IDEMPOTENCY_KEY],
        "requestBody": documented_body(CreateApiKeyRequestV2),
    },
)
async def create_api_key(
    principal: MayCreate,
    key: IdempotencyKey,
    new: NewKeyBody,
    management: UseManagement,
    origin: FromWhere,
) -> Response:
    def reply(created: Created) -> Reply:
        headers, body = shown_once(created, management.clock())
        return Reply({"Location": path_of(created.api_key), **headers}, body)

    once = repeatable(key, "POST", PATH, new.value, reply)
    return answer_of(await management.create(principal, origin, new.body.wish(), once), reply, status=201)


@router.get(
    "",
    summary="List API Keys",
    description="The organization's keys, newest first, a page at a time. The next page is in the `Link` header.",
    responses=documented_answer(200, "Link", of=list[UsedApiKeyResponse] | list[ApiKeyResponse])
    | documented_errors(400, 401, 403, 422, 503),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def list_api_keys(
    principal: MayRead, query: Annotated[ListQuery, Query()], management: UseManagement, request: Request
) -> Response:
    now = management.clock()
    page = await management.list_page(principal, limit=query.limit, before=query.before, which=query.which(now))
    listed: list[ApiKeyResponse]
    if query.include == "usage":
        days = await insight.last_days(request, principal, [key.id for key in page.api_keys])
        listed = [used_response(key, now, days[key.id]) for key in page.api_keys]
    else:
        listed = [api_key_response(key, now) for key in page.api_keys]
    return Response(
        written(listed), media_type="application/json", headers=READ_HEADERS | query.link_to(PATH, page.next)
    )


@router.get(
    "/{key_id}",
    summary="Get API Key",
    responses=documented_answer(200, "ETag", of=ApiKeyResponse) | documented_errors(400, 401, 403, 404, 422, 503),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def get_api_key(principal: MayRead, key_id: KeyId, management: UseManagement) -> Response:
    return one_key(await management.get(principal, key_id), management.clock)


@router.delete(
    "/{key_id}",
    status_code=204,
    summary="Delete API Key",
    description="Delete a key. It stops working at once and is listed no more.",
    response_class=Response,
    responses=documented_errors(400, 401, 403, 404, 422, 503),
    openapi_extra={"x-permission": Permission.DELETE.value},
)
async def delete_api_key(principal: MayDelete, key_id: KeyId, management: UseManagement, origin: FromWhere) -> Response:
    if not await management.delete(principal, origin, key_id):
        raise Refusal("not_found")
    return Response(status_code=204)
