"""The operations that report on a key: the receipt of its revocation, and its usage."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.http.principal import KeyId, MayRead
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import Query, operation
from keywright.api.keys.answers import (
    PATH,
    TAG,
    answer,
    count_response,
    revocation_response,
    secret_use_response,
    source_response,
)
from keywright.api.keys.requests import DateTime
from keywright.contract.revocation import RevocationResponse
from keywright.contract.usage import UsageResponse
from keywright.service.management.management import Management
from keywright.service.management.usage_reports import DAY, HOUR, UsageReports


class UsageQuery(BaseModel):
    """The parameters of a key's usage."""

    model_config = ConfigDict(extra="forbid")

    period: Literal["hour", "day"] = "day"
    since: DateTime | None = Field(
        default=None, description="The start of the report. Default: 7 days ago, or 24 hours ago with `hour`"
    )


class ReceiptRoutes:
    """`…/{key_id}/revocation`."""

    def __init__(self, management: Management) -> None:
        self._management = management

    @operation(
        "GET",
        f"{PATH}/{{key_id}}/revocation",
        tag=TAG,
        summary="Get Revocation Receipt",
        answers=RevocationResponse,
        refusals=("not_revoked",),
    )
    async def get_revocation(self, principal: MayRead, key_id: KeyId) -> Response:
        """
        Get the receipt of a revocation or deletion: which processes acknowledged it, which did not yet, and until when
        they may still accept the key. The receipt stays readable after a deletion.
        """
        receipt = await self._management.receipt(principal, key_id)
        if receipt is None:
            raise Refusal("not_found" if await self._management.get(principal, key_id) is None else "not_revoked")
        return answer(revocation_response(key_id, receipt))


class UsageRoutes:
    """`…/{key_id}/usage`."""

    def __init__(self, usage: UsageReports) -> None:
        self._usage = usage

    @operation(
        "GET", f"{PATH}/{{key_id}}/usage", tag=TAG, summary="Get API Key Usage", answers=UsageResponse, in_steps=True
    )
    async def get_usage(self, principal: MayRead, key_id: KeyId, query: Query[UsageQuery]) -> Response:
        """Get the accepted uses by hour or day, and the recent sources."""
        period = HOUR if query.period == "hour" else DAY
        report = await self._usage.of_key(principal, key_id, period, query.since)
        if report is None:
            raise Refusal("not_found")
        return answer(
            UsageResponse(
                key_id=key_id,
                last_used_at=report.usage.last_used_at,
                period=query.period,
                counts=tuple(map(count_response, report.counts)),
                sources=tuple(map(source_response, report.usage.sources)),
                secrets=tuple(map(secret_use_response, report.usage.secrets)),
            )
        )
