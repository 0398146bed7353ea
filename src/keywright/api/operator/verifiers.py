"""The operations of operators on verifiers."""

from typing import Annotated

from starlette.responses import Response

from keywright.api.http.bodies import Body
from keywright.api.http.principal import MayOperate, MayOperateToAdd, MayOperateToEnd
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import PathInput, operation
from keywright.api.keys.answers import answer
from keywright.api.operator.answers import created_verifier_response, verifier_response
from keywright.api.operator.requests import CreateVerifierRequest
from keywright.api.operator.routes import PATH as OPERATOR_PATH
from keywright.api.operator.routes import TAG
from keywright.contract.operator import CreatedVerifierResponse, VerifierResponse
from keywright.service.verifiers import Verifiers

PATH = f"{OPERATOR_PATH}/verifiers"

Name = Annotated[str, PathInput()]


class VerifierRoutes:
    """
    `/api/v2/operator/verifiers`.

    Args:
        verifiers: The use cases.
    """

    def __init__(self, verifiers: Verifiers) -> None:
        self._verifiers = verifiers

    @operation("GET", PATH, tag=TAG, summary="List Verifiers", answers=list[VerifierResponse])
    async def list_verifiers(self, _principal: MayOperate) -> Response:
        """List all verifiers, newest first, revoked ones included."""
        return answer([verifier_response(each) for each in await self._verifiers.store.verifiers()])

    @operation(
        "POST",
        PATH,
        tag=TAG,
        summary="Create Verifier",
        status=201,
        answers=CreatedVerifierResponse,
        refusals=("name_taken",),
    )
    async def create_verifier(self, _principal: MayOperateToAdd, new: Body[CreateVerifierRequest]) -> Response:
        """Create a verifier. Its credential is in this answer only, and cannot be read again."""
        try:
            verifier, credential = await self._verifiers.create(new.model.name)
        except ValueError:
            raise Refusal("name_taken") from None
        response = answer(created_verifier_response(verifier, credential))
        response.status_code, response.headers["Cache-Control"] = 201, "no-store"
        return response

    @operation("PUT", f"{PATH}/{{name}}/revoke", tag=TAG, summary="Revoke Verifier", answers=VerifierResponse)
    async def revoke_verifier(self, _principal: MayOperateToEnd, name: Name) -> Response:
        """Revoke the verifier with this name for good; every process of the service refuses it within a second."""
        try:
            revoked = await self._verifiers.revoke(name)
        except ValueError:
            # A name that cannot be stored.
            revoked = None
        if revoked is None:
            raise Refusal("not_found")
        return answer(verifier_response(revoked))
