"""The operations of a rotation: a key gets a new secret, and the old one works beside it for a while."""

from starlette.responses import Response

from keywright.api.http.bodies import Body, OptionalBody
from keywright.api.http.conditions import IfMatch
from keywright.api.http.idempotency import IdempotencyKey, Reply, answer_of, idempotent_request
from keywright.api.http.principal import FromWhere, KeyId, MayUpdate
from keywright.api.http.routing import operation
from keywright.api.keys.answers import PATH, TAG, one_key, shown_once
from keywright.api.keys.requests import RotateApiKeyRequest, SetRotationRequest
from keywright.contract.api_keys import ApiKeyResponse, CreatedApiKeyResponse
from keywright.service.management.commands import Created
from keywright.service.management.management import Management


class RotationRoutes:
    """`…/{key_id}/rotate` and `…/{key_id}/rotation`."""

    def __init__(self, management: Management) -> None:
        self._management = management

    @operation(
        "POST",
        f"{PATH}/{{key_id}}/rotate",
        tag=TAG,
        summary="Rotate API Key",
        answers=CreatedApiKeyResponse,
        headers=("ETag",),
        refusals=(
            "scopes_not_grantable",
            "key_revoked",
            "key_expired",
            "rotation_under_way",
            "too_many_pairs",
            "rotated_too_often",
            "changed_meanwhile",
        ),
    )
    async def rotate_api_key(
        self,
        principal: MayUpdate,
        key_id: KeyId,
        key: IdempotencyKey,
        matching: IfMatch,
        overlap: OptionalBody[RotateApiKeyRequest],
        origin: FromWhere,
    ) -> Response:
        """
        Give a key a new pair. The private key is in this answer only. The old pair still works for a while; until it
        ends, the key cannot be rotated again.
        """

        def reply(created: Created) -> Reply:
            return shown_once(created, principal, self._management.clock())

        outcome = await self._management.rotate(
            principal,
            origin,
            key_id,
            overlap_seconds=overlap.model.overlap_seconds,
            idle_seconds=overlap.model.retire_when_idle_seconds,
            matching=matching,
            idempotent=idempotent_request(key, "POST", f"{PATH}/{key_id}/rotate", overlap.json, reply),
        )
        return answer_of(outcome, reply, status=200)

    @operation(
        "PUT",
        f"{PATH}/{{key_id}}/rotation",
        tag=TAG,
        summary="Set Rotation",
        answers=ApiKeyResponse,
        headers=("ETag",),
        refusals=("key_revoked", "no_rotation_under_way", "changed_meanwhile"),
    )
    async def set_rotation(
        self, principal: MayUpdate, key_id: KeyId, overlap: Body[SetRotationRequest], origin: FromWhere
    ) -> Response:
        """Set another end for the old secret of a rotation: at once, or later."""
        seconds = overlap.model.overlap_seconds
        outcome = await self._management.set_overlap(principal, origin, key_id, overlap_seconds=seconds)
        return one_key(outcome, principal, self._management.clock)
