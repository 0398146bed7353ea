"""The route that tells what a form for keys may offer: environments, scopes, and the operator's rules."""

from pydantic import BaseModel, Field
from starlette.responses import Response

from keywright.api.answers import READ_HEADERS, TAG
from keywright.api.deps import MayRead
from keywright.api.http.routing import operation
from keywright.service.management import Management
from keywright.service.policy import Options

PATH = "/api/v2/api-key-options"


class ScopeResponse(BaseModel):
    """A scope that there is."""

    scope: str
    description: str


class PolicyResponse(BaseModel):
    """The rules for every organization."""

    max_life_seconds: int | None = Field(description="How long a key may live at most; null for any time")
    expiry_required: bool = Field(description="Whether a new key has to say when it expires")
    max_active_keys: int | None = Field(description="How many active keys an organization may have; null for any")


class OptionsResponse(BaseModel):
    """What a form for keys may offer."""

    environments: list[str] = Field(description="The first is that of new keys unless they say another")
    scopes: list[ScopeResponse] | None = Field(description="Every scope there is; null for any of the grammar")
    policy: PolicyResponse

    @classmethod
    def of(cls, options: Options) -> "OptionsResponse":
        """Say *options* in the contract's words."""
        life, scopes = options.policy.max_life, options.scopes
        return cls(
            environments=list(options.environments),
            scopes=None if scopes is None else [ScopeResponse(scope=name, description=scopes[name]) for name in scopes],
            policy=PolicyResponse(
                max_life_seconds=None if life is None else int(life.total_seconds()),
                expiry_required=options.policy.expiry_required,
                max_active_keys=options.policy.max_active,
            ),
        )


class OptionsRoutes:
    """`/api/v2/api-key-options`."""

    def __init__(self, management: Management) -> None:
        self._management = management

    @operation("GET", PATH, tag=TAG, summary="Get API Key Options", answers=OptionsResponse)
    async def get_api_key_options(self, _principal: MayRead) -> Response:
        """What a new key may be: the environments and scopes there are, and the rules that the operator made."""
        options = OptionsResponse.of(self._management.options)
        return Response(options.model_dump_json(), media_type="application/json", headers=READ_HEADERS)
