"""The routes that tell what became of a key: how far its revocation has come, and how it is used."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.deps import KeyId, MayRead, UseManagement, UseReports
from keywright.api.key_fields import DateTime
from keywright.api.openapi import documented_errors
from keywright.api.operations import Operation
from keywright.api.problems import Refusal
from keywright.api.schemas import ApiKeyResponse
from keywright.keys.record import Secret
from keywright.service.management.ports import Source
from keywright.service.management.usage_reports import DAY, HOUR, Count, UsageReports
from keywright.service.principal import Permission, Principal
from keywright.service.verifier_sessions import Confirmation, Receipt

router = APIRouter(prefix="/api/v2/api-keys", tags=["API keys"], route_class=Operation)

_HEADERS = {"Cache-Control": "private, no-cache"}


class WitnessResponse(BaseModel):
    """A process that held keys when the key changed."""

    name: str
    kind: Literal["server", "verifier"]
    connected_at: datetime
    confirmed_at: datetime | None
    believes_until: datetime | None = Field(
        description="The longest it can still believe the old state; null once confirmed"
    )

    @classmethod
    def of(cls, confirmation: Confirmation, committed_by: datetime) -> "WitnessResponse":
        """Say what a session confirmed in the contract's words."""
        return cls(
            name=confirmation.session.name,
            kind="server" if confirmation.session.verifier_id is None else "verifier",
            connected_at=confirmation.connected_at,
            confirmed_at=confirmation.confirmed_at,
            believes_until=confirmation.may_accept_until(committed_by),
        )


class RevocationResponse(BaseModel):
    """How far a revocation or deletion has come."""

    key_id: UUID
    revoked_at: datetime
    confirmed: int
    pending: int
    believed_until: datetime | None = Field(description="The latest moment anybody can still believe the old state")
    verifiers: list[WitnessResponse]

    @classmethod
    def of(cls, key_id: UUID, receipt: Receipt) -> "RevocationResponse":
        """Say a receipt in the contract's words."""
        return cls(
            key_id=key_id,
            revoked_at=receipt.ended_at,
            confirmed=receipt.confirmed,
            pending=len(receipt.confirmations) - receipt.confirmed,
            believed_until=receipt.may_accept_until,
            verifiers=[WitnessResponse.of(each, receipt.committed_by) for each in receipt.confirmations],
        )


class CountResponse(BaseModel):
    """Accepted uses in one period, which begins at `start`."""

    start: datetime
    count: int


class SourceResponse(BaseModel):
    """Where a key was used from lately."""

    public_key: str = Field(description="Of the pair that was used")
    network: str | None = Field(description="/24 or /48 in CIDR form")
    agent: str | None = Field(description="The family of the user agent")
    verifier: str
    first_seen: datetime
    last_seen: datetime
    count: int


class SecretUseResponse(BaseModel):
    """A pair that a key has or had, and when it was used last."""

    public_key: str
    private_key_display: str
    last_used_at: datetime | None
    retires_at: datetime | None = Field(description="When it stops working, or did; null for the current pair")


class UsageResponse(BaseModel):
    """How a key was used."""

    key_id: UUID
    last_used_at: datetime | None
    period: Literal["hour", "day"]
    counts: list[CountResponse] = Field(description="Every period since `since`, those without uses included")
    sources: list[SourceResponse] = Field(description="The latest first, 50 at most")
    secrets: list[SecretUseResponse] = Field(description="Every pair that the key ever had, newest first")


class DaysResponse(BaseModel):
    """Accepted uses by day."""

    days: list[CountResponse] = Field(description="The last 7 days in UTC, today last, those without uses included")


class UsedApiKeyResponse(ApiKeyResponse):
    """An API key, with how it was used lately."""

    usage: DaysResponse


class UsageQuery(BaseModel):
    """The parameters of a key's usage."""

    model_config = ConfigDict(extra="forbid")

    period: Literal["hour", "day"] = "day"
    since: DateTime | None = Field(default=None, description="7 days ago, or 24 hours for hours, unless given")


@router.get(
    "/{key_id}/revocation",
    summary="Get Revocation Receipt",
    description="Who has confirmed that a revoked or deleted key is dropped, who has not, and how long the old state "
    "can still be believed. It stays readable.",
    response_model=RevocationResponse,
    responses=documented_errors(400, 401, 403, 404, 422, 503, also=["not_revoked"]),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def get_revocation(principal: MayRead, key_id: KeyId, management: UseManagement) -> Response:
    """Write the receipt; see the description above."""
    receipt = await management.receipt(principal, key_id)
    if receipt is None:
        raise Refusal("not_found" if await management.get(principal, key_id) is None else "not_revoked")
    return _json(RevocationResponse.of(key_id, receipt))


@router.get(
    "/{key_id}/usage",
    summary="Get API Key Usage",
    description="Accepted uses by hour or day, and where they came from lately.",
    response_model=UsageResponse,
    responses=documented_errors(400, 401, 403, 404, 422, 503),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def get_usage(
    principal: MayRead, key_id: KeyId, query: Annotated[UsageQuery, Query()], reports: UseReports
) -> Response:
    """Report the uses; see the description above."""
    found = await reports.of_key(principal, key_id, HOUR if query.period == "hour" else DAY, query.since)
    if found is None:
        raise Refusal("not_found")
    return _json(
        UsageResponse(
            key_id=key_id,
            last_used_at=found.usage.last_used_at,
            period=query.period,
            counts=_counts(found.counts),
            sources=[_source(source) for source in found.usage.sources],
            secrets=[_secret(secret) for secret in found.usage.secrets],
        )
    )


async def last_days(
    reports: UsageReports, principal: Principal, key_ids: list[UUID]
) -> dict[UUID, list[CountResponse]]:
    """Give the last 7 days of each key."""
    days = await reports.last_days(principal, key_ids)
    return {key_id: _counts(counts) for key_id, counts in days.items()}


def _counts(counts: Sequence[Count]) -> list[CountResponse]:
    return [CountResponse(start=count.start, count=count.count) for count in counts]


def _source(source: Source) -> SourceResponse:
    return SourceResponse(
        public_key=source.public_key,
        network=source.network,
        agent=source.agent,
        verifier=source.verifier,
        first_seen=source.first_seen,
        last_seen=source.last_seen,
        count=source.count,
    )


def _secret(secret: Secret) -> SecretUseResponse:
    return SecretUseResponse(
        public_key=secret.public_key.text,
        private_key_display=secret.display,
        last_used_at=secret.last_used_at,
        retires_at=secret.retires_at,
    )


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json", headers=_HEADERS)
