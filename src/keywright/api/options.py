"""The route that tells what a form for keys may offer: environments, scopes, and the operator's rules."""

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from keywright.api.answers import READ_HEADERS
from keywright.api.deps import MayRead, UseManagement
from keywright.api.openapi import documented_errors
from keywright.api.operations import Operation
from keywright.service.management.policy import Policy
from keywright.service.principal import Permission

PATH = "/api/v2/api-key-options"

router = APIRouter(tags=["API keys"], route_class=Operation)


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
    def of(cls, policy: Policy) -> "OptionsResponse":
        """Say what *policy* allows in the contract's words."""
        life, scopes = policy.max_life, policy.scopes
        return cls(
            environments=list(policy.environments),
            scopes=None if scopes is None else [ScopeResponse(scope=name, description=scopes[name]) for name in scopes],
            policy=PolicyResponse(
                max_life_seconds=None if life is None else int(life.total_seconds()),
                expiry_required=policy.expiry_required,
                max_active_keys=policy.max_active,
            ),
        )


@router.get(
    PATH,
    summary="Get API Key Options",
    description="What a new key may be: the environments and scopes there are, and the rules that the operator made.",
    response_model=OptionsResponse,
    responses=documented_errors(400, 401, 403, 503),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def get_api_key_options(_principal: MayRead, management: UseManagement) -> Response:
    """Tell the options; see the description above."""
    told = OptionsResponse.of(management.policy)
    return Response(told.model_dump_json(), media_type="application/json", headers=READ_HEADERS)
