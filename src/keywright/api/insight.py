"""The routes that tell what became of a key: how far its revocation has come, and how it is used."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.deps import KeyId, MayRead
from keywright.api.key_fields import DateTime
from keywright.api.openapi import documented_errors
from keywright.api.operations import Operation
from keywright.api.problems import Refusal
from keywright.api.schemas import ApiKeyResponse
from keywright.keys.record import Secret
from keywright.service.checking_ports import CheckingStore, Source
from keywright.service.presence import Presence, Receipt, Witness
from keywright.service.principal import Permission, Principal

router = APIRouter(prefix="/api/v2/api-keys", tags=["API keys"], route_class=Operation)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONGEST_HOURS, LONGEST_DAYS = timedelta(days=14), timedelta(days=400)
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
    def of(cls, witness: Witness) -> "WitnessResponse":
        """Say a witness in the contract's words."""
        return cls(
            name=witness.session.name,
            kind="server" if witness.session.verifier_id is None else "verifier",
            connected_at=witness.connected_at,
            confirmed_at=witness.confirmed_at,
            believes_until=witness.believes_until,
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
    def of(cls, receipt: Receipt) -> "RevocationResponse":
        """Say a receipt in the contract's words."""
        return cls(
            key_id=receipt.key_id,
            revoked_at=receipt.revoked_at,
            confirmed=receipt.confirmed,
            pending=len(receipt.witnesses) - receipt.confirmed,
            believed_until=receipt.believed_until,
            verifiers=[WitnessResponse.of(witness) for witness in receipt.witnesses],
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
async def get_revocation(principal: MayRead, key_id: KeyId, request: Request) -> Response:
    """Write the receipt; see the description above."""
    presence: Presence = request.app.state.feed.presence
    store: CheckingStore = request.app.state.feed.store
    receipt = await presence.receipt(principal, key_id)
    if receipt is None:
        known = await store.usage(principal.organization.id, key_id, since=_now(request))
        raise Refusal("not_found" if known is None else "not_revoked")
    return _json(RevocationResponse.of(receipt))


@router.get(
    "/{key_id}/usage",
    summary="Get API Key Usage",
    description="Accepted uses by hour or day, and where they came from lately.",
    response_model=UsageResponse,
    responses=documented_errors(400, 401, 403, 404, 422, 503),
    openapi_extra={"x-permission": Permission.READ.value},
)
async def get_usage(
    principal: MayRead, key_id: KeyId, query: Annotated[UsageQuery, Query()], request: Request
) -> Response:
    """Add the hours up; see the description above."""
    store: CheckingStore = request.app.state.feed.store
    now = _now(request)
    step = HOUR if query.period == "hour" else DAY
    since = _since(query, now, step)
    usage = await store.usage(principal.organization.id, key_id, since=since)
    if usage is None:
        raise Refusal("not_found")
    return _json(
        UsageResponse(
            key_id=key_id,
            last_used_at=usage.last_used_at,
            period=query.period,
            counts=counts_of(usage.hours, since, now, step),
            sources=[_source(source) for source in usage.sources],
            secrets=[_secret(secret) for secret in usage.secrets],
        )
    )


async def last_days(request: Request, principal: Principal, key_ids: list[UUID]) -> dict[UUID, list[CountResponse]]:
    """Give the last 7 days of each key, in one call to the store."""
    store: CheckingStore = request.app.state.feed.store
    now = _now(request)
    since = beginning_of(now - 6 * DAY, DAY)
    hours = await store.hourly_counts(principal.organization.id, key_ids, since=since)
    return {key_id: counts_of(hours.get(key_id, {}), since, now, DAY) for key_id in key_ids}


def counts_of(hours: dict[datetime, int], since: datetime, now: datetime, step: timedelta) -> list[CountResponse]:
    """Add hourly counts up into periods from *since* to *now*, empty ones included."""
    totals: dict[datetime, int] = {}
    start = beginning_of(since, step)
    while start <= now:
        totals[start] = 0
        start += step
    for hour, count in hours.items():
        period = beginning_of(hour, step)
        if period in totals:
            totals[period] += count
    return [CountResponse(start=start, count=count) for start, count in totals.items()]


def beginning_of(moment: datetime, step: timedelta) -> datetime:
    """Give the beginning of the hour or day, in UTC, that *moment* is in."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if step == HOUR else hour.replace(hour=0)


def _since(query: UsageQuery, now: datetime, step: timedelta) -> datetime:
    longest = LONGEST_HOURS if step == HOUR else LONGEST_DAYS
    if query.since is None:
        return beginning_of(now - (23 * HOUR if step == HOUR else 6 * DAY), step)
    return beginning_of(max(query.since, now - longest), step)


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


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.feed.clock()
    return now


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json", headers=_HEADERS)
