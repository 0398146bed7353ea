"""The operations of operators on revocations of many keys."""

from typing import Annotated

from starlette.responses import Response

from keywright.api.http.bodies import Body
from keywright.api.http.paging import PageQuery
from keywright.api.http.principal import CanonicalUuid, FromWhere, MayOperate, MayOperateToEnd
from keywright.api.http.problems import Refusal, refusal_of
from keywright.api.http.routing import PathInput, Query, operation
from keywright.api.keys.answers import answer
from keywright.api.operator.answers import bulk_response
from keywright.api.operator.requests import BulkRevocationRequest
from keywright.api.operator.routes import PATH as OPERATOR_PATH
from keywright.api.operator.routes import TAG
from keywright.contract.operator import BulkRevocationResponse
from keywright.service.management.refusals import Refused
from keywright.service.operator.bulk import BulkRevocations
from keywright.service.operator.ports import BulkRevocation

PATH = f"{OPERATOR_PATH}/bulk-revocations"
ONE = f"{PATH}/{{revocation_id}}"

RevocationId = Annotated[CanonicalUuid, PathInput()]


class BulkRevocationRoutes:
    """
    `/api/v2/operator/bulk-revocations` and `…/{revocation_id}`.

    Args:
        revocations: The use cases.
    """

    def __init__(self, revocations: BulkRevocations) -> None:
        self._revocations = revocations

    @operation(
        "POST",
        PATH,
        tag=TAG,
        summary="Preview Bulk Revocation",
        status=201,
        answers=BulkRevocationResponse,
        headers=("Location",),
        refusals=("not_found",),
        in_steps=True,
    )
    async def preview_bulk_revocation(
        self, principal: MayOperateToEnd, wanted: Body[BulkRevocationRequest], origin: FromWhere
    ) -> Response:
        """
        Count the keys that a revocation of many would revoke: all of an organization, of a creator, or of a creator in
        an organization. No key is changed; the preview can be started for 15 minutes.
        """
        body = wanted.model
        preview = await self._revocations.preview(principal, origin, body.target, body.reason)
        if isinstance(preview, Refused):
            raise refusal_of(preview)
        response = answer(bulk_response(preview), {"Location": f"{PATH}/{preview.id}"})
        response.status_code = 201
        return response

    @operation(
        "PUT",
        f"{ONE}/start",
        tag=TAG,
        summary="Start Bulk Revocation",
        answers=BulkRevocationResponse,
        refusals=("preview_expired",),
    )
    async def start_bulk_revocation(
        self, principal: MayOperateToEnd, revocation_id: RevocationId, origin: FromWhere
    ) -> Response:
        """
        Revoke the keys of a preview for good. The first 500 are revoked before the answer; the processes of the service
        revoke the others. Each key that existed at the start is revoked, those newer than the preview, too. Starting it
        again gives the same revocation.
        """
        started = await self._revocations.start(principal, origin, revocation_id)
        if isinstance(started, Refused):
            raise refusal_of(started)
        return await self._one(started)

    @operation("GET", ONE, tag=TAG, summary="Get Bulk Revocation", answers=BulkRevocationResponse)
    async def get_bulk_revocation(self, principal: MayOperate, revocation_id: RevocationId) -> Response:
        """Get a revocation of many keys, with one receipt for all of them."""
        found = await self._revocations.get(principal, revocation_id)
        if found is None:
            raise Refusal("not_found")
        return await self._one(found)

    @operation(
        "GET",
        PATH,
        tag=TAG,
        summary="List Bulk Revocations",
        answers=list[BulkRevocationResponse],
        headers=("Link",),
    )
    async def list_bulk_revocations(self, principal: MayOperate, query: Query[PageQuery]) -> Response:
        """List revocations of many keys and their previews, newest first, without receipts."""
        found = await self._revocations.page(principal, limit=query.limit + 1, before=query.before)
        following = found[query.limit - 1].id if len(found) > query.limit else None
        return answer([bulk_response(each) for each in found[: query.limit]], query.link_to(PATH, following))

    async def _one(self, revocation: BulkRevocation) -> Response:
        return answer(bulk_response(revocation, await self._revocations.receipt(revocation)))
