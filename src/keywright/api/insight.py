"""The routes that tell what became of a key: how far its revocation has come, and how it is used."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.answers import PATH, READ_HEADERS, TAG
from keywright.api.deps import KeyId, MayRead
from keywright.api.http.routing import Query, operation
from keywright.api.key_fields import DateTime
from keywright.api.problems import Refusal
from keywright.api.schemas import ApiKeyResponse
from keywright.keys.record import Secret
from keywright.service.checking_ports import Source
from keywright.service.presence import Presence, Receipt, Witness
from keywright.service.usage_reports import DAY, HOUR, Count, UsageReports


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

    @classmethod
    def of(cls, count: Count) -> "CountResponse":
        """Say a count in the contract's words."""
        return cls(start=count.start, count=count.count)


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


class ReceiptRoutes:
    """`…/{key_id}/revocation`."""

    def __init__(self, presence: Presence, usage: UsageReports) -> None:
        self._presence = presence
        self._usage = usage

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
        Who has confirmed that a revoked or deleted key is dropped, who has not, and how long the old state can still be
        believed. It stays readable.
        """
        receipt = await self._presence.receipt(principal, key_id)
        if receipt is None:
            raise Refusal("not_revoked" if await self._usage.exists(principal, key_id) else "not_found")
        return _json(RevocationResponse.of(receipt))


class UsageRoutes:
    """`…/{key_id}/usage`."""

    def __init__(self, usage: UsageReports) -> None:
        self._usage = usage

    @operation("GET", f"{PATH}/{{key_id}}/usage", tag=TAG, summary="Get API Key Usage", answers=UsageResponse)
    async def get_usage(self, principal: MayRead, key_id: KeyId, query: Query[UsageQuery]) -> Response:
        """Accepted uses by hour or day, and where they came from lately."""
        period = HOUR if query.period == "hour" else DAY
        report = await self._usage.of_key(principal, key_id, period, query.since)
        if report is None:
            raise Refusal("not_found")
        return _json(
            UsageResponse(
                key_id=key_id,
                last_used_at=report.usage.last_used_at,
                period=query.period,
                counts=[CountResponse.of(count) for count in report.counts],
                sources=[_source(source) for source in report.usage.sources],
                secrets=[_secret(secret) for secret in report.usage.secrets],
            )
        )


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
    return Response(model.model_dump_json(), media_type="application/json", headers=READ_HEADERS)
