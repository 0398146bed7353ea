"""The routes that change what a key is: update and revoke."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from keywright.api.answers import PATH, one_key
from keywright.api.bodies import Said, json_body, said_body
from keywright.api.conditions import IfMatch
from keywright.api.deps import FromWhere, KeyId, MayRevoke, MayUpdate, UseManagement
from keywright.api.openapi import IF_MATCH, documented_answer, documented_body, documented_errors
from keywright.api.operations import Operation
from keywright.api.requests import RevokeApiKeyRequest, UpdateApiKeyRequest
from keywright.contract.api_keys import ApiKeyResponse
from keywright.service.principal import Permission

UpdateBody = Annotated[UpdateApiKeyRequest, Depends(json_body(UpdateApiKeyRequest))]
RevokeBody = Annotated[Said[RevokeApiKeyRequest], Depends(said_body(RevokeApiKeyRequest, optional=True))]

router = APIRouter(prefix=PATH, tags=["API keys"], route_class=Operation)


@router.patch(
    "/{key_id}",
    summary="Update API Key",
    description="Replace fields of a key; the others stay as they are. What it may do from now on holds for every "
    "verification within a second.",
    responses=documented_answer(200, "ETag", of=ApiKeyResponse)
    | documented_errors(400, 401, 403, 404, 412, 413, 415, 422, 503, also=["key_revoked", "changed_meanwhile"]),
    openapi_extra={
        "x-permission": Permission.UPDATE.value,
        "parameters": [IF_MATCH],
        "requestBody": documented_body(UpdateApiKeyRequest),
    },
)
async def update_api_key(
    principal: MayUpdate,
    key_id: KeyId,
    matching: IfMatch,
    body: UpdateBody,
    management: UseManagement,
    origin: FromWhere,
) -> Response:
    """Change what was given; see the description above."""
    updated = await management.update(principal, origin, key_id, body.changes(), matching=matching)
    return one_key(updated, management.clock)


@router.put(
    "/{key_id}/revoke",
    summary="Revoke API Key",
    description="Revoke a key for good. Revoking it again gives the same answer, the first reason in it.",
    responses=documented_answer(200, "ETag", of=ApiKeyResponse)
    | documented_errors(400, 401, 403, 404, 413, 415, 422, 503),
    openapi_extra={
        "x-permission": Permission.REVOKE.value,
        "requestBody": documented_body(RevokeApiKeyRequest, required=False),
    },
)
async def revoke_api_key(
    principal: MayRevoke, key_id: KeyId, why: RevokeBody, management: UseManagement, origin: FromWhere
) -> Response:
    """End the key; see the description above."""
    return one_key(await management.revoke(principal, origin, key_id, why.body.reason), management.clock)
