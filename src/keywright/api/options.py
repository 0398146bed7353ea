"""The route that tells what a form for keys may offer: environments, scopes, and the operator's rules."""

from fastapi import APIRouter
from starlette.responses import Response

from keywright.api.answers import READ_HEADERS
from keywright.api.conversion import options_response
from keywright.api.deps import MayRead, UseManagement
from keywright.api.openapi import documented_answer, documented_errors
from keywright.api.operations import Operation
from keywright.contract.codec import written
from keywright.contract.options import OptionsResponse
from keywright.service.principal import Permission

PATH = "/api/v2/api-key-options"

router = APIRouter(tags=["API keys"], route_class=Operation)


@router.get(
    PATH,
    summary="Get API Key Options",
    description="What a new key may be: the environments and scopes there are, and the rules that the operator made.",
    responses=documented_answer(200, of=OptionsResponse) | documented_errors(400, 401, 403, 503),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def get_api_key_options(_principal: MayRead, management: UseManagement) -> Response:
    """Tell the options; see the description above."""
    return Response(written(options_response(management.options)), media_type="application/json", headers=READ_HEADERS)
