"""The routes of the key family: create, list, get, revoke, delete."""

import base64
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import Response

from keywright.api import insight
from keywright.api.bodies import json_body
from keywright.api.deps import FromWhere, KeyId, MayCreate, MayDelete, MayRead, MayRevoke, UseManagement
from keywright.api.openapi import documented_errors
from keywright.api.problems import Refusal
from keywright.api.schemas import ApiKeyResponse, CreateApiKeyRequestV2, CreatedApiKeyResponse
from keywright.service.principal import Permission

PATH = "/api/v2/api-keys"

NewKeyBody = Annotated[CreateApiKeyRequestV2, Depends(json_body(CreateApiKeyRequestV2))]

router = APIRouter(prefix=PATH, tags=["API keys"])

_one = TypeAdapter(ApiKeyResponse)
_many = TypeAdapter(list[ApiKeyResponse])
_many_with_usage = TypeAdapter(list[insight.UsedApiKeyResponse])
_created = TypeAdapter(CreatedApiKeyResponse)

_READ_HEADERS = {"Cache-Control": "private, no-cache"}


class ListQuery(BaseModel):
    """The parameters of a list; an unknown one is refused, because a mistyped filter must not show everything."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=1000, description="How many keys a page holds")
    # 16 bytes in base64url; the last of the 22 characters carries two bits only.
    cursor: str | None = Field(
        default=None,
        pattern="^[A-Za-z0-9_-]{21}[AQgw]$",
        description='Where the page begins; from the previous page\'s `Link: <…>; rel="next"`',
    )
    include: Literal["usage"] | None = Field(
        default=None, description="`usage` adds to each key how often it was used in each of the last 7 days"
    )


@router.post(
    "",
    status_code=201,
    summary="Create API Key",
    description="Create a key pair for the caller's organization. The private key is in this answer only.",
    response_model=CreatedApiKeyResponse,
    responses=documented_errors(400, 401, 403, 413, 415, 422, 503),
    openapi_extra={"x-permission": Permission.CREATE.value},
)
async def create_api_key(
    principal: MayCreate, body: NewKeyBody, management: UseManagement, origin: FromWhere
) -> Response:
    created = await management.create(principal, origin, name=body.name, description=body.description)
    return Response(
        _json(_created, CreatedApiKeyResponse.fields_of_created(created)),
        status_code=201,
        media_type="application/json",
        headers={"Location": f"{PATH}/{created.api_key.id}", "Cache-Control": "no-store"},
    )


@router.get(
    "",
    summary="List API Keys",
    description="The organization's keys, newest first, a page at a time. The next page is in the `Link` header.",
    response_model=list[insight.UsedApiKeyResponse] | list[ApiKeyResponse],
    responses=documented_errors(400, 401, 403, 422, 503),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def list_api_keys(
    principal: MayRead, query: Annotated[ListQuery, Query()], management: UseManagement, request: Request
) -> Response:
    before = None if query.cursor is None else UUID(bytes=base64.urlsafe_b64decode(query.cursor + "=="))
    page = await management.list_page(principal, limit=query.limit, before=before)
    listed = [ApiKeyResponse.fields_of(key) for key in page.api_keys]
    if query.include == "usage":
        days = await insight.last_days(request, principal, [key.id for key in page.api_keys])
        for fields in listed:
            fields["usage"] = {"days": days[fields["id"]]}
        body = _json(_many_with_usage, listed)
    else:
        body = _json(_many, listed)
    return Response(body, media_type="application/json", headers=_READ_HEADERS | _link_to(page.next, query))


@router.get(
    "/{key_id}",
    summary="Get API Key",
    response_model=ApiKeyResponse,
    responses=documented_errors(400, 401, 403, 404, 422, 503),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def get_api_key(principal: MayRead, key_id: KeyId, management: UseManagement) -> Response:
    key = await management.get(principal, key_id)
    if key is None:
        raise Refusal("not_found")
    return _one_key(ApiKeyResponse.fields_of(key))


@router.put(
    "/{key_id}/revoke",
    summary="Revoke API Key",
    description="Revoke a key for good. Revoking it again gives the same answer.",
    response_model=ApiKeyResponse,
    responses=documented_errors(400, 401, 403, 404, 422, 503),
    openapi_extra={"x-permission": Permission.REVOKE.value},
)
async def revoke_api_key(principal: MayRevoke, key_id: KeyId, management: UseManagement, origin: FromWhere) -> Response:
    key = await management.revoke(principal, origin, key_id)
    if key is None:
        raise Refusal("not_found")
    return _one_key(ApiKeyResponse.fields_of(key))


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


def _one_key(fields: dict[str, Any]) -> Response:
    return Response(_json(_one, fields), media_type="application/json", headers=_READ_HEADERS)


def _json(adapter: TypeAdapter[Any], fields: Any) -> bytes:
    return adapter.dump_json(adapter.validate_python(fields))


def _link_to(following: UUID | None, query: ListQuery) -> dict[str, str]:
    if following is None:
        return {}
    cursor = base64.urlsafe_b64encode(following.bytes).decode().rstrip("=")
    include = "" if query.include is None else f"&include={query.include}"
    return {"Link": f'<{PATH}?limit={query.limit}{include}&cursor={cursor}>; rel="next"'}
