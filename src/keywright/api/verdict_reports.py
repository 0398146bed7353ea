"""The verdicts that in-process verifiers report with their usage."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from keywright.keys.verdict import Code
from keywright.service.checking.ports import UsageBatch
from keywright.service.figures.ports import VerdictCount

MOST_REPORTED: Final = 1000

_CODES: Final = frozenset(Code)
_LONGEST_AGO: Final = timedelta(hours=1)


class VerdictCountBody(BaseModel):
    """The verdicts with one code in one minute, which are not counted by the service itself."""

    model_config = ConfigDict(extra="forbid")

    minute: AwareDatetime
    code: str = Field(pattern="^[a-z_]{1,64}$")
    count: int = Field(ge=1, le=10**12)


def counts_of(reported: Sequence[VerdictCountBody], now: datetime) -> list[VerdictCount]:
    """
    Give what is stored of a report. Codes that this version does not know are passed over.

    A verifier whose clock is off must not change other hours: a minute is at most an hour ago, and not ahead.
    """
    numbers: dict[tuple[datetime, str], int] = {}
    for each in reported:
        if each.code in _CODES:
            minute = max(min(each.minute, now), now - _LONGEST_AGO).astimezone(UTC).replace(second=0, microsecond=0)
            numbers[minute, each.code] = numbers.get((minute, each.code), 0) + each.count
    return [VerdictCount(minute, code, number) for (minute, code), number in numbers.items()]


def batch_of(session: UUID, number: int) -> UsageBatch:
    """Name the verdicts of a report; its usage has the session's own name: either may be written before the other."""
    return UsageBatch(uuid5(session, "verdicts"), number)
