"""The operations that report on a key: the receipt of its revocation, and its usage."""

from typing import Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from keywright.api.http.paging import PageQuery
from keywright.api.http.principal import KeyId, MayRead
from keywright.api.http.problems import Refusal
from keywright.api.http.routing import Query, operation
from keywright.api.keys.answers import (
    PATH,
    TAG,
    answer,
    count_response,
    refusal_response,
    revocation_response,
    secret_use_response,
    source_response,
)
from keywright.api.keys.requests import DateTime
from keywright.contract.revocation import RevocationResponse
from keywright.contract.usage import UsageResponse
from keywright.service.management.management import Management
from keywright.service.management.ports import SECRETS_PER_PAGE
from keywright.service.management.usage_reports import DAY, HOUR, UsageReports
from keywright.service.principal import Principal


class UsageQuery(PageQuery):
    """The parameters of a key's usage: a page of its pairs, and their sources."""

    limit: int = Field(default=SECRETS_PER_PAGE, ge=1, le=100, description="The most pairs of a page")
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
        refusals=("not_revoked", "receipt_removed"),
    )
    async def get_revocation(self, principal: MayRead, key_id: KeyId) -> Response:
        """
        Get the receipt of a revocation or deletion: which processes acknowledged it, which did not yet, and until when
        they may still accept the key. The receipt stays readable after a deletion, for 90 days unless the operator has
        set another time.
        """
        receipt = await self._management.receipt(principal, key_id)
        if receipt is not None:
            return answer(revocation_response(key_id, receipt))
        key = await self._management.get(principal, key_id)
        if key is None:
            raise Refusal("not_found")
        raise Refusal("not_revoked" if key.revoked_at is None else "receipt_removed")


class UsageRoutes:
    """`…/{key_id}/usage`."""

    def __init__(self, usage: UsageReports) -> None:
        self._usage = usage

    @operation(
        "GET",
        f"{PATH}/{{key_id}}/usage",
        tag=TAG,
        summary="Get API Key Usage",
        answers=UsageResponse,
        headers=("Link",),
        in_steps=True,
    )
    async def get_usage(self, principal: MayRead, key_id: KeyId, query: Query[UsageQuery]) -> Response:
        """
        Get the accepted uses and the refusals by hour or day, and the key's pairs, newest first, with the recent
        sources of both. Refusals are of keys whose secret was right: a text that is no key is nobody's. The next page
        of pairs is in the `Link` header.
        """
        return await answer_usage(self._usage, principal, key_id, query, f"{PATH}/{key_id}/usage")


async def answer_usage(
    usage: UsageReports, principal: Principal, key_id: UUID, query: UsageQuery, path: str
) -> Response:
    """
    Answer the usage of a key of the principal's organization; *path* is that of the operation.

    Raises:
        Refusal: There is no such key.
    """
    period = HOUR if query.period == "hour" else DAY
    report = await usage.of_key(principal, key_id, period, query.since, limit=query.limit, before=query.before)
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
            refusals=tuple(map(refusal_response, report.usage.refusals)),
        ),
        query.link_to(path, report.usage.next),
    )
