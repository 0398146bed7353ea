"""Sessions and receipts."""

from datetime import timedelta
from uuid import UUID

from keywright.service.checking_ports import Confirmation, Session
from keywright.service.presence import Presence
from keywright.service.principal import Organization, Principal
from tests.service.fake_checking_store import NOW, FakeCheckingStore

KEY = UUID(int=7)
PRINCIPAL = Principal(
    issuer="i", subject="s", client_id=None, organization=Organization(UUID(int=1), "i", "o"), granted=None
)


def session(number: int, **changes: object) -> Session:
    fields = {
        "id": UUID(int=number),
        "verifier_id": None,
        "name": f"s{number}",
        "outage_seconds": 300,
        "connected_at": NOW,
        "seen_at": NOW,
    }
    return Session(**{**fields, **changes})  # type: ignore[arg-type]


async def test_receipt() -> None:
    """A receipt counts who confirmed, and says of the others how long they can believe the old state at most."""
    store = FakeCheckingStore()
    at = NOW + timedelta(seconds=10)
    store.receipts[KEY] = (
        at,
        [
            Confirmation(session=session(1), confirmed_at=at + timedelta(milliseconds=30)),
            Confirmation(session=session(2, outage_seconds=60), confirmed_at=None),
            Confirmation(session=session(3, closed_at=at + timedelta(seconds=2)), confirmed_at=None),
        ],
    )
    receipt = await Presence(store=store, clock=lambda: NOW).receipt(PRINCIPAL, KEY)
    assert receipt is not None
    assert (receipt.confirmed, len(receipt.witnesses)) == (1, 3)
    assert [witness.believes_until for witness in receipt.witnesses] == [
        None,
        at + timedelta(seconds=61),
        at + timedelta(seconds=2),
    ]
    assert receipt.believed_until == at + timedelta(seconds=61)


async def test_receipt_when_everybody_confirmed() -> None:
    """Once all have confirmed nobody believes the old state."""
    store = FakeCheckingStore()
    store.receipts[KEY] = (NOW, [Confirmation(session=session(1), confirmed_at=NOW)])
    receipt = await Presence(store=store, clock=lambda: NOW).receipt(PRINCIPAL, KEY)
    assert receipt is not None
    assert receipt.believed_until is None


async def test_no_receipt() -> None:
    """A key that was not revoked has none."""
    assert await Presence(store=FakeCheckingStore(), clock=lambda: NOW).receipt(PRINCIPAL, KEY) is None


async def test_confirming_nothing_writes_nothing() -> None:
    """An empty confirmation costs no transaction."""
    store = FakeCheckingStore()
    presence = Presence(store=store, clock=lambda: NOW)
    await presence.confirm(UUID(int=1), [])
    await presence.confirm(UUID(int=1), [4, 5])
    assert store.confirmed == [(UUID(int=1), (4, 5))]
