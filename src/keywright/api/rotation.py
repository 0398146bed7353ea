"""The routes of a rotation: a key gets a new secret, and the old one works beside it for a while."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from keywright.api.answers import PATH, one_key, shown_once
from keywright.api.bodies import Said, json_body, said_body
from keywright.api.conditions import IfMatch
from keywright.api.deps import FromWhere, KeyId, MayUpdate, UseManagement
from keywright.api.idempotency import IdempotencyKey, Reply, answer_of, repeatable
from keywright.api.openapi import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    NOT_AGAIN,
    documented_answer,
    documented_body,
    documented_errors,
)
from keywright.api.operations import Operation
from keywright.api.requests import RotateApiKeyRequest, SetRotationRequest
from keywright.contract.api_keys import ApiKeyResponse, CreatedApiKeyResponse
from keywright.service.principal import Permission
from keywright.service.wishes import Created

RotateBody = Annotated[Said[RotateApiKeyRequest], Depends(said_body(RotateApiKeyRequest, optional=True))]
OverlapBody = Annotated[SetRotationRequest, Depends(json_body(SetRotationRequest))]

router = APIRouter(prefix=PATH, tags=["API keys"], route_class=Operation)


@router.post(
    "/{key_id}/rotate",
    summary="Rotate API Key",
    description="Give a key a new pair. The private key is in this answer only. The old one works for a while longer; "
    "until it has ended, the key cannot be rotated again.",
    responses=documented_answer(200, "ETag", "Idempotency-Replayed", of=CreatedApiKeyResponse)
    | documented_errors(
        *(400, 401, 403, 404, 412, 413, 415, 422, 503),
        also=["key_revoked", "key_expired", "rotation_under_way", "changed_meanwhile", *NOT_AGAIN],
    ),
    openapi_extra={
        "x-permission": Permission.UPDATE.value,
        "parameters": [IDEMPOTENCY_KEY, IF_MATCH],
        "requestBody": documented_body(RotateApiKeyRequest, required=False),
    },
)
async def rotate_api_key(
    principal: MayUpdate,
    key_id: KeyId,
    key: IdempotencyKey,
    matching: IfMatch,
    asked: RotateBody,
    management: UseManagement,
    origin: FromWhere,
) -> Response:
    """Mint the new pair; see the description above."""

    def reply(created: Created) -> Reply:
        return shown_once(created, management.clock())

    outcome = await management.rotate(
        principal,
        origin,
        key_id,
        overlap_seconds=asked.body.overlap_seconds,
        quiet_seconds=asked.body.retire_when_quiet_seconds,
        matching=matching,
        repeatable=repeatable(key, "POST", f"{PATH}/{key_id}/rotate", asked.value, reply),
    )
    return answer_of(outcome, reply, status=200)


@router.put(
    "/{key_id}/rotation",
    summary="Set Rotation",
    description="End the old secret of a rotation at once, or let it work for longer.",
    responses=documented_answer(200, "ETag", of=ApiKeyResponse)
    | documented_errors(
        400, 401, 403, 404, 413, 415, 422, 503, also=["key_revoked", "no_rotation_under_way", "changed_meanwhile"]
    ),
    openapi_extra={
        "x-permission": Permission.UPDATE.value,
        "requestBody": documented_body(SetRotationRequest),
    },
)
async def set_rotation(
    principal: MayUpdate, key_id: KeyId, body: OverlapBody, management: UseManagement, origin: FromWhere
) -> Response:
    """Move the end; see the description above."""
    outcome = await management.set_overlap(principal, origin, key_id, overlap_seconds=body.overlap_seconds)
    return one_key(outcome, management.clock)
