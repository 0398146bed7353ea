"""
Who holds keys in memory, and who has confirmed that it dropped a revoked one.

Every process of ours and every connected verifier has a session. It is renewed while it lasts, so that a silent one can
be told from a living one; a receipt says of each what the longest is that it can still believe the old state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from keywright.keys.known import BOUND_SECONDS
from keywright.service.checking_ports import CheckingStore, Confirmation, Session
from keywright.service.ports import Clock
from keywright.service.principal import Principal

RENEW_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Witness:
    """What one session has to say of a revocation; `believes_until` is None once it confirmed."""

    session: Session
    confirmed_at: datetime | None
    believes_until: datetime | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """How far a revocation has come. `believed_until` is the latest moment anybody can still believe the old state."""

    key_id: UUID
    revoked_at: datetime
    witnesses: Sequence[Witness]

    @property
    def confirmed(self) -> int:
        """How many sessions have confirmed."""
        return sum(witness.confirmed_at is not None for witness in self.witnesses)

    @property
    def believed_until(self) -> datetime | None:
        """None when everybody who was connected has confirmed."""
        return max((w.believes_until for w in self.witnesses if w.believes_until is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Keeps sessions and writes receipts."""

    store: CheckingStore
    clock: Clock

    async def renew(self, session: Session) -> None:
        """Note that a session is alive."""
        await self.store.note_session(session)

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """Note that a session dropped what these events changed."""
        if seqs:
            await self.store.confirm(session_id, seqs, self.clock())

    async def receipt(self, principal: Principal, key_id: UUID) -> Receipt | None:
        """Write the receipt of a key's revocation or deletion; None where there was none, or no such key."""
        found = await self.store.confirmations(principal.organization.id, key_id)
        if found is None:
            return None
        revoked_at, confirmations = found
        return Receipt(key_id, revoked_at, [_witness(confirmation, revoked_at) for confirmation in confirmations])


def _witness(confirmation: Confirmation, revoked_at: datetime) -> Witness:
    if confirmation.confirmed_at is not None:
        return Witness(confirmation.session, confirmation.confirmed_at, None)
    session = confirmation.session
    # A session that followed the changes to any moment after the revocation has dropped the key. So one that has not is
    # still where it was before, and what it holds counts for the bound after that, or, if it reaches nobody, for its
    # outage time beyond.
    until = revoked_at + timedelta(seconds=BOUND_SECONDS + session.outage_seconds)
    if session.closed_at is not None:
        until = min(until, session.closed_at)
    return Witness(session, None, until)
