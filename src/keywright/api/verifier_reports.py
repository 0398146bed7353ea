"""What the service makes of in-process verifiers' requests for the figures: their versions and their verdicts."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.figures.ports import VerdictCount

_USER_AGENT: Final = re.compile(r"keywright-python/([0-9A-Za-z.+-]{1,64})")
_LONGEST_AGO: Final = timedelta(hours=1)
# As long as the number of a report is known: see `CheckingStore.add_usage`.
_LATEST_REPORT: Final = timedelta(days=7)


def version_of(user_agent: str | None) -> str | None:
    """Give the version of Keywright of a verifier; None where its user agent names none."""
    match = _USER_AGENT.fullmatch(user_agent or "")
    return None if match is None else match[1]


def believed(reported: datetime, now: datetime) -> datetime:
    """
    Give the time of a use or refusal that a verifier reported: at most now, and at least a week ago.

    A verifier whose clock is off must neither move a last use into the future nor write rows for hours without end.
    """
    return min(max(reported, now - _LATEST_REPORT), now)


def verdicts_of(usage: Iterable[HourlyUsage], now: datetime) -> list[VerdictCount]:
    """
    Give the verdicts of reported usage, each record in the minute of its last use or refusal.

    A minute is at most an hour ago: a late report, or one of a verifier whose clock is off, must not change other days.
    """
    numbers: Counter[tuple[datetime, str]] = Counter()
    for each in usage:
        at = max(each.last_seen, now - _LONGEST_AGO).astimezone(UTC).replace(second=0, microsecond=0)
        numbers[at, each.code.value] += each.count
    return [VerdictCount(minute, code, number) for (minute, code), number in numbers.items()]


def batch_of(session: UUID, number: int) -> UsageBatch:
    """Name the verdicts of a report. Its usage has the session's own name: either may be written before the other."""
    return UsageBatch(uuid5(session, "verdicts"), number)
