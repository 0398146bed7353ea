"""Sessions and receipts."""

from datetime import datetime, timedelta
from uuid import UUID

from keywright.keys.known import BOUND_SECONDS, CLOCK_RATE
from keywright.service.checking_ports import Confirmation, Ending, Session
from keywright.service.presence import Presence
from keywright.service.principal import Organization, Principal
from tests.service.fake_checking_store import NOW, FakeCheckingStore

KEY = UUID(int=7)
PRINCIPAL = Principal(
    issuer="i", subject="s", client_id=None, organization=Organization(UUID(int=1), "i", "o"), granted=None
)


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


async def test_receipt() -> None:
    """A receipt counts who confirmed, and says of the others how long they can believe the old state at most."""
    store = FakeCheckingStore()
    stamped = NOW + timedelta(seconds=10)
    at = stamped + timedelta(seconds=2)
    confirmations = [
        confirmation(1, confirmed_at=at),
        confirmation(2, outage_seconds=60),
        confirmation(3, closed_at=at + timedelta(seconds=2)),
    ]
    store.endings[KEY] = Ending(ended_at=stamped, committed_by=at, confirmations=confirmations)
    receipt = await Presence(store=store).receipt(PRINCIPAL, KEY)
    assert receipt is not None
    assert (receipt.revoked_at, receipt.confirmed, len(receipt.witnesses)) == (stamped, 1, 3)
    assert [witness.believes_until for witness in receipt.witnesses] == [
        None,
        at + longest(60),
        at + timedelta(seconds=2),
    ]
    assert receipt.believed_until == at + longest(60)


async def test_a_session_that_ended_before_others_confirmed() -> None:
    """Where the only session that did not confirm has ended, the others believed the old state until they confirmed."""
    store = FakeCheckingStore()
    second = timedelta(seconds=1)
    confirmations = [confirmation(1, confirmed_at=NOW + 2 * second), confirmation(2, closed_at=NOW + second)]
    store.endings[KEY] = Ending(ended_at=NOW, committed_by=NOW + 2 * second, confirmations=confirmations)
    receipt = await Presence(store=store).receipt(PRINCIPAL, KEY)
    assert receipt is not None
    assert receipt.believed_until == NOW + 2 * second


async def test_a_session_that_ended_before_the_commit() -> None:
    """A receipt says nothing of a time before the commit, although the only session that it names ended before that."""
    store = FakeCheckingStore()
    second = timedelta(seconds=1)
    confirmations = [confirmation(1, closed_at=NOW + second)]
    store.endings[KEY] = Ending(ended_at=NOW, committed_by=NOW + 5 * second, confirmations=confirmations)
    receipt = await Presence(store=store).receipt(PRINCIPAL, KEY)
    assert receipt is not None
    assert receipt.believed_until == NOW + 5 * second


async def test_receipt_when_everybody_confirmed() -> None:
    """Once all have confirmed nobody believes the old state."""
    store = FakeCheckingStore()
    store.endings[KEY] = Ending(ended_at=NOW, committed_by=NOW, confirmations=[confirmation(1, confirmed_at=NOW)])
    receipt = await Presence(store=store).receipt(PRINCIPAL, KEY)
    assert receipt is not None
    assert receipt.believed_until is None


async def test_no_receipt() -> None:
    """A key that was not revoked has none."""
    assert await Presence(store=FakeCheckingStore()).receipt(PRINCIPAL, KEY) is None


async def test_confirming_nothing_writes_nothing() -> None:
    """An empty confirmation costs no transaction."""
    store = FakeCheckingStore()
    presence = Presence(store=store)
    await presence.confirm(UUID(int=1), [])
    await presence.confirm(UUID(int=1), [4, 5])
    assert store.confirmed == [(UUID(int=1), (4, 5))]
