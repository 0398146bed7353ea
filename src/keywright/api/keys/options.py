"""The operation that reads the options of new keys."""

from starlette.responses import Response

from keywright.api.http.principal import FromWhere, MayRead
from keywright.api.http.routing import operation
from keywright.api.keys.answers import TAG, answer, options_response
from keywright.contract.options import OptionsResponse
from keywright.service.management.management import Management

PATH = "/api/v2/api-key-options"


class OptionsRoutes:
    """`/api/v2/api-key-options`."""

    def __init__(self, management: Management) -> None:
        self._management = management

    @operation("GET", PATH, tag=TAG, summary="Get API Key Options", answers=OptionsResponse)
    async def get_api_key_options(self, principal: MayRead, origin: FromWhere) -> Response:
        """
        Get the environments, scopes and rules of the operator for new keys, what the access token may do, and the
        caller's address.
        """
        return answer(options_response(self._management.policy, principal, origin))
