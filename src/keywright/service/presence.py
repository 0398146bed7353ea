"""
Who holds keys in memory, and who has confirmed that it dropped a revoked one.

Every process of ours and every connected verifier has a session. It is renewed while it lasts, so that a silent one can
be told from a living one; a receipt says of each what the longest is that it can still believe the old state.

A receipt is never more favourable than the truth. So it counts from a moment that is certainly not before the commit,
and it names every session that was stored before that moment and not closed. All its times are the database's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from keywright.keys.known import BOUND_SECONDS, CLOCK_RATE
from keywright.service.checking_ports import CheckingStore, Confirmation, Session
from keywright.service.principal import Principal

RENEW_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Witness:
    """What one session has to say of a revocation; `believes_until` is None once it confirmed."""

    session: Session
    connected_at: datetime
    confirmed_at: datetime | None
    believes_until: datetime | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    How far a revocation has come. `believed_until` is the latest moment anybody can still believe the old state.

    `committed_by` is not before the commit; see `checking_ports.Ending`.
    """

    key_id: UUID
    revoked_at: datetime
    committed_by: datetime
    witnesses: Sequence[Witness]

    @property
    def confirmed(self) -> int:
        """How many sessions have confirmed."""
        return sum(witness.confirmed_at is not None for witness in self.witnesses)

    @property
    def believed_until(self) -> datetime | None:
        """None when everybody who was connected has confirmed."""
        if self.confirmed == len(self.witnesses):
            return None
        # One that ended without confirming may have ended before another one confirmed, and even before the commit.
        moments = [moment for w in self.witnesses if (moment := w.believes_until or w.confirmed_at) is not None]
        return max(self.committed_by, *moments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Keeps sessions and writes receipts."""

    store: CheckingStore

    async def renew(self, session: Session) -> None:
        """Note that a session is alive."""
        await self.store.note_session(session)

    async def close(self, session_id: UUID, verifier_id: UUID | None) -> None:
        """Note that a session of that verifier, or of our own, uses nothing any more."""
        await self.store.close_session(session_id, verifier_id)

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """Note that a session dropped what these events changed."""
        if seqs:
            await self.store.confirm(session_id, seqs)

    async def receipt(self, principal: Principal, key_id: UUID) -> Receipt | None:
        """Write the receipt of a key's revocation or deletion; None where there was none, or no such key."""
        ending = await self.store.ending(principal.organization.id, key_id)
        if ending is None:
            return None
        witnesses = [_witness(confirmation, ending.committed_by) for confirmation in ending.confirmations]
        return Receipt(key_id, ending.ended_at, ending.committed_by, witnesses)


def _witness(confirmation: Confirmation, committed_by: datetime) -> Witness:
    session, until = confirmation.session, None
    if confirmation.confirmed_at is None:
        # A session that followed the changes to any moment after the commit has dropped the key. So one that has not is
        # still where it was before, and what it holds counts for the bound after that, or, if it reaches nobody, for
        # its outage time beyond; measured by its own clock.
        seconds = BOUND_SECONDS + session.outage_seconds
        until = committed_by + timedelta(seconds=seconds + CLOCK_RATE * seconds)
        if confirmation.closed_at is not None:
            until = min(until, confirmation.closed_at)
    return Witness(session, confirmation.connected_at, confirmation.confirmed_at, until)
