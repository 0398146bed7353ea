"""What the service makes of the requests of in-process verifiers, for the figures."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest

from keywright.api.verifier_reports import batch_of, verdicts_of, version_of
from keywright.keys.verdict import Code
from keywright.service.checking.ports import HourlyUsage
from keywright.service.figures.ports import VerdictCount

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def usage(at: datetime, count: int, code: Code = Code.VALID) -> HourlyUsage:
    return HourlyUsage(
        key_id=UUID(int=1).bytes,
        digest=b"d" * 32,
        hour=at.replace(minute=0, second=0),
        network=None,
        agent=None,
        verifier="v",
        first_seen=at,
        last_seen=at,
        count=count,
        code=code,
    )


def test_verdicts_add_up_by_minute_and_code() -> None:
    """Uses and refusals of any keys are verdicts in the minute of the last of them."""
    found = verdicts_of([usage(NOW, 2), usage(NOW, 3), usage(NOW, 1, Code.REVOKED), usage(NOW - MINUTE, 4)], NOW)
    minute = NOW.replace(second=0)
    assert found == [
        VerdictCount(minute, "valid", 5),
        VerdictCount(minute, "revoked", 1),
        VerdictCount(minute - MINUTE, "valid", 4),
    ]


def test_a_late_report() -> None:
    """What is older than an hour counts in the minute an hour ago, so that a report changes no other days."""
    (found,) = verdicts_of([usage(NOW - timedelta(days=9), 2)], NOW)
    assert found.start == NOW.replace(second=0) - timedelta(hours=1)


def test_another_offset() -> None:
    """A minute is written in UTC, whatever offset the report has."""
    (found,) = verdicts_of([usage(NOW.astimezone(timezone(timedelta(hours=5, minutes=30))), 2)], NOW)
    assert found.start.isoformat() == "2026-11-23T12:34:00+00:00"


def test_batches_have_names_of_their_own() -> None:
    """The verdicts of a session have another name than its usage, always the same, and the number of the report."""
    session = uuid4()
    assert batch_of(session, 7) == batch_of(session, 7)
    assert batch_of(session, 7).number == 7
    assert batch_of(session, 7).reporter not in (session, batch_of(uuid4(), 7).reporter)


@pytest.mark.parametrize(
    ("user_agent", "version"),
    [
        ("keywright-python/0.1.0", "0.1.0"),
        ("keywright-python/1.0.0rc1+local", "1.0.0rc1+local"),
        ("python-httpx/0.28", None),
        ("keywright-python/", None),
        (f"keywright-python/{'1' * 65}", None),
        ("keywright-python/1 <script>", None),
        (None, None),
    ],
)
def test_versions(user_agent: str | None, version: str | None) -> None:
    """A verifier's version is that of its user agent, if it is one and short."""
    assert version_of(user_agent) == version
