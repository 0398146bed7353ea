"""Sessions and receipts."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from keywright.keys.cache import BOUND_SECONDS, CLOCK_RATE
from keywright.service.verifier_sessions import Confirmation, Receipt, Session

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def confirmation(
    number: int,
    *,
    outage_seconds: int = 300,
    confirmed_at: datetime | None = None,
    closed_at: datetime | None = None,
) -> Confirmation:
    session = Session(id=UUID(int=number), verifier_id=None, name=f"s{number}", outage_seconds=outage_seconds)
    return Confirmation(session=session, connected_at=NOW, confirmed_at=confirmed_at, closed_at=closed_at)


def longest(outage_seconds: int) -> timedelta:
    seconds = BOUND_SECONDS + outage_seconds
    return timedelta(seconds=seconds * (1 + CLOCK_RATE))


def test_receipt() -> None:
    """A receipt counts the acknowledgements, and gives the latest moment at which the others may accept the key."""
    stamped = NOW + timedelta(seconds=10)
    at = stamped + timedelta(seconds=2)
    confirmations = [
        confirmation(1, confirmed_at=at),
        confirmation(2, outage_seconds=60),
        confirmation(3, closed_at=at + timedelta(seconds=2)),
    ]
    receipt = Receipt(ended_at=stamped, committed_by=at, confirmations=confirmations)
    assert receipt.confirmed == 1
    assert [each.may_accept_until(at) for each in confirmations] == [
        None,
        at + longest(60),
        at + timedelta(seconds=2),
    ]
    assert receipt.may_accept_until == at + longest(60)


def test_a_session_that_ended_before_others_confirmed() -> None:
    """Where the only session that did not confirm has ended, the others may accept the old state until they confirm."""
    second = timedelta(seconds=1)
    confirmations = [confirmation(1, confirmed_at=NOW + 2 * second), confirmation(2, closed_at=NOW + second)]
    receipt = Receipt(ended_at=NOW, committed_by=NOW + 2 * second, confirmations=confirmations)
    assert receipt.may_accept_until == NOW + 2 * second


def test_a_session_that_ended_before_the_commit() -> None:
    """No time of a receipt is before the commit, although its only session was closed before that."""
    second = timedelta(seconds=1)
    confirmations = [confirmation(1, closed_at=NOW + second)]
    receipt = Receipt(ended_at=NOW, committed_by=NOW + 5 * second, confirmations=confirmations)
    assert receipt.may_accept_until == NOW + 5 * second


def test_receipt_when_everybody_confirmed() -> None:
    """Once all have confirmed no session accepts the old state."""
    receipt = Receipt(ended_at=NOW, committed_by=NOW, confirmations=[confirmation(1, confirmed_at=NOW)])
    assert receipt.may_accept_until is None
