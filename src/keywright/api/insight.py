"""The routes that tell what became of a key: how far its revocation has come, and how it is used."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.conversion import revocation_response, secret_use_response, source_response
from keywright.api.deps import KeyId, MayRead
from keywright.api.key_fields import DateTime
from keywright.api.openapi import documented_answer, documented_errors
from keywright.api.operations import Operation
from keywright.api.problems import Refusal
from keywright.contract.codec import written
from keywright.contract.revocation import RevocationResponse
from keywright.contract.usage import CountResponse, UsageResponse
from keywright.service.checking_ports import CheckingStore
from keywright.service.presence import Presence
from keywright.service.principal import Permission, Principal

router = APIRouter(prefix="/api/v2/api-keys", tags=["API keys"], route_class=Operation)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONGEST_HOURS, LONGEST_DAYS = timedelta(days=14), timedelta(days=400)
_HEADERS = {"Cache-Control": "private, no-cache"}


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
    responses=documented_answer(200, of=RevocationResponse)
    | documented_errors(400, 401, 403, 404, 422, 503, also=["not_revoked"]),
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
    return _json(revocation_response(receipt))


@router.get(
    "/{key_id}/usage",
    summary="Get API Key Usage",
    description="Accepted uses by hour or day, and where they came from lately.",
    responses=documented_answer(200, of=UsageResponse) | documented_errors(400, 401, 403, 404, 422, 503),
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
            counts=tuple(counts_of(usage.hours, since, now, step)),
            sources=tuple(map(source_response, usage.sources)),
            secrets=tuple(map(secret_use_response, usage.secrets)),
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
    return [CountResponse(start, count) for start, count in totals.items()]


def beginning_of(moment: datetime, step: timedelta) -> datetime:
    """Give the beginning of the hour or day, in UTC, that *moment* is in."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if step == HOUR else hour.replace(hour=0)


def _since(query: UsageQuery, now: datetime, step: timedelta) -> datetime:
    longest = LONGEST_HOURS if step == HOUR else LONGEST_DAYS
    if query.since is None:
        return beginning_of(now - (23 * HOUR if step == HOUR else 6 * DAY), step)
    return beginning_of(max(query.since, now - longest), step)


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.feed.clock()
    return now


def _json(answer: RevocationResponse | UsageResponse) -> Response:
    return Response(written(answer), media_type="application/json", headers=_HEADERS)
