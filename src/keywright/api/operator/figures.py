"""The operations of operators on figures: verdicts, keys, revocations and verifiers of all processes, as numbers."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keywright.api.http.principal import MayOperate
from keywright.api.http.routing import Query, operation
from keywright.api.keys.answers import answer
from keywright.api.operator.routes import PATH as OPERATOR_PATH
from keywright.api.operator.routes import TAG
from keywright.contract.figures import (
    ConnectedSessionResponse,
    DelayResponse,
    ExpiringKeysResponse,
    KeyFiguresResponse,
    KeyStatesResponse,
    RevocationFiguresResponse,
    TopFiguresResponse,
    UnusedKeysResponse,
    UsedKeyResponse,
    UsedOrganizationResponse,
    VerdictCountsResponse,
    VerdictFiguresResponse,
    VerifierFiguresResponse,
)
from keywright.service.figures.ports import ConnectedSession, UsedKey, UsedOrganization
from keywright.service.figures.reports import (
    LONGEST_HOURS,
    ConnectedReport,
    DelayReport,
    Figures,
    KeyReport,
    Per,
    Verdicts,
)
from keywright.service.figures.top import LONGEST_LIST, TopReport

PATH = f"{OPERATOR_PATH}/figures"


class VerdictsQuery(BaseModel):
    """The parameters of the figures of verdicts."""

    model_config = ConfigDict(extra="forbid")

    per: Literal["minute", "hour", "day"] = Field(
        default="minute", description="The period: of the last 60 minutes, 48 hours or 30 days"
    )


class HoursQuery(BaseModel):
    """The parameters of figures of the last hours."""

    model_config = ConfigDict(extra="forbid")

    hours: int = Field(default=24, ge=1, le=LONGEST_HOURS, description="How many hours to count, back from now")


class TopQuery(HoursQuery):
    """The parameters of the most used keys and organizations."""

    limit: int = Field(default=10, ge=1, le=LONGEST_LIST, description="The most entries of each list")


class FiguresRoutes:
    """
    `/api/v2/operator/figures`.

    Args:
        figures: The use cases.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    @operation("GET", f"{PATH}/verdicts", tag=TAG, summary="Get Verdicts by Code", answers=VerdictFiguresResponse)
    async def get_verdicts(self, principal: MayOperate, query: Query[VerdictsQuery]) -> Response:
        """
        Get the verdicts of all processes and in-process verifiers by minute, hour or day. A process writes its numbers
        every 5 seconds, a verifier reports them with its usage.
        """
        per = Per(query.per)
        return answer(verdict_figures_response(per, await self._figures.verdicts(principal, per)))

    @operation("GET", f"{PATH}/top", tag=TAG, summary="Get Most Used API Keys", answers=TopFiguresResponse)
    async def get_top(self, principal: MayOperate, query: Query[TopQuery]) -> Response:
        """
        Get the keys and organizations with the most uses in the last hours, and the keys with the most refusals.

        Reads the newest 200 000 counts, each of one key in one hour, and the rest of the last hour. Where there are
        more, `since` is later. An answer that took long is given again for ten times as long as it took.
        """
        return answer(top_figures_response(await self._figures.top(principal, hours=query.hours, limit=query.limit)))

    @operation("GET", f"{PATH}/keys", tag=TAG, summary="Get Numbers of API Keys", answers=KeyFiguresResponse)
    async def get_keys(self, principal: MayOperate) -> Response:
        """Get the number of keys by status, by the time since their last use, and by the day of their expiry."""
        return answer(key_figures_response(await self._figures.keys(principal)))

    @operation(
        "GET", f"{PATH}/revocations", tag=TAG, summary="Get Delays of Revocations", answers=RevocationFiguresResponse
    )
    async def get_revocations(self, principal: MayOperate, query: Query[HoursQuery]) -> Response:
        """Get how long processes took to acknowledge the revocations and deletions of the last hours."""
        return answer(revocation_figures_response(await self._figures.revocations(principal, hours=query.hours)))

    @operation("GET", f"{PATH}/verifiers", tag=TAG, summary="Get Connected Verifiers", answers=VerifierFiguresResponse)
    async def get_verifiers(self, principal: MayOperate) -> Response:
        """Get the processes that cache keys now, and what they have not acknowledged."""
        return answer(verifier_figures_response(await self._figures.sessions(principal)))


def verdict_figures_response(per: Per, found: Verdicts) -> VerdictFiguresResponse:
    """Give the answer of a report on verdicts."""
    periods = tuple(VerdictCountsResponse(start, dict(codes)) for start, codes in found.periods.items())
    return VerdictFiguresResponse(per=per.value, since=found.since, until=found.until, periods=periods)


def top_figures_response(found: TopReport) -> TopFiguresResponse:
    """Give the answer of a report on the most used keys."""
    return TopFiguresResponse(
        since=found.since,
        until=found.until,
        keys=tuple(map(_used_key, found.keys)),
        organizations=tuple(map(_used_organization, found.organizations)),
        refused_keys=tuple(map(_used_key, found.refused_keys)),
    )


def key_figures_response(found: KeyReport) -> KeyFiguresResponse:
    """Give the answer of a report on the numbers of keys."""
    states: Mapping[str, int] = found.states
    return KeyFiguresResponse(
        counted_at=found.counted_at,
        states=KeyStatesResponse(**states),
        since_last_use=tuple(UnusedKeysResponse(age, number) for age, number in found.ages.items()),
        expiries=tuple(ExpiringKeysResponse(day.isoformat(), number) for day, number in found.expiries.items()),
    )


def revocation_figures_response(found: DelayReport) -> RevocationFiguresResponse:
    """Give the answer of a report on the delays of revocations."""
    delays = found.delays
    return RevocationFiguresResponse(
        since=delays.since,
        until=delays.until,
        revocations=delays.revocations,
        acknowledgements=found.acknowledgements,
        p50_ms=found.p50_ms,
        p99_ms=found.p99_ms,
        histogram=tuple(DelayResponse(bound, number) for bound, number in found.histogram.items()),
    )


def verifier_figures_response(found: ConnectedReport) -> VerifierFiguresResponse:
    """Give the answer of a report on the connected sessions."""

    def shown(each: ConnectedSession) -> ConnectedSessionResponse:
        session, waits_since = each.session, each.waits_since
        return ConnectedSessionResponse(
            session_id=session.id,
            kind="server" if session.verifier_id is None else "verifier",
            verifier=each.verifier,
            name=session.name,
            version=session.version,
            connected_at=each.connected_at,
            seen_at=each.seen_at,
            unacknowledged=each.unacknowledged,
            lag_ms=0 if waits_since is None else max(0, round((found.at - waits_since).total_seconds() * 1000)),
        )

    return VerifierFiguresResponse(at=found.at, sessions=tuple(map(shown, found.sessions)), more=found.more)


def _used_key(found: UsedKey) -> UsedKeyResponse:
    return UsedKeyResponse(
        key_id=found.key_id,
        name=found.name,
        org_id=found.org_id,
        org_external_id=found.org_external_id,
        uses=found.uses,
        refusals=found.refusals,
    )


def _used_organization(found: UsedOrganization) -> UsedOrganizationResponse:
    return UsedOrganizationResponse(
        org_id=found.org_id, org_external_id=found.org_external_id, uses=found.uses, refusals=found.refusals
    )
