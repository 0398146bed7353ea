"""
Sessions of the processes that cache keys, and receipts: which of them have acknowledged a revocation.

Every process of the service and every connected verifier has a session, and renews it while it runs. So a receipt can
give, for each session without an acknowledgement, the latest moment at which it may accept the old state.

A receipt never promises too much. It counts from a moment that is certainly not before the commit, and names every
session that was stored before that moment and not closed. All its times are the database's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.keys.cache import BOUND_SECONDS, CLOCK_RATE

SESSION_SECONDS = 60.0
"""How long after its last renewal a session may use its cache, before its outage time begins to count."""

RENEW_EVERY_SECONDS = 10.0
"""The pause between two renewals of a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    A process that caches keys and follows the changes: a process of the service, or a connected verifier.

    `verifier_id` is None for a process of the service. `name` is for people, such as `billing-api` or `host:4711`.
    `outage_seconds` is how long it may use its cache while it reaches neither service nor database. `version` is its
    version of Keywright, None where it does not say.
    """

    id: UUID
    verifier_id: UUID | None
    name: str
    outage_seconds: int
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """
    A session that may have used the old state of a key, and the time of its acknowledgement.

    All times are of the database's clock: when the session was first stored, acknowledged the change, and was closed;
    None where it did not.
    """

    session: Session
    connected_at: datetime
    confirmed_at: datetime | None
    closed_at: datetime | None

    def may_accept_until(self, committed_by: datetime) -> datetime | None:
        """
        Give the latest moment at which the session may accept the old state; None once it has confirmed.

        Args:
            committed_by: See `Receipt`.
        """
        if self.confirmed_at is not None:
            return None
        # A session that has read the changes up to a moment after the commit has dropped the key. One that has not read
        # so far uses its cache for the bound after the commit, and for its outage time beyond if it reaches neither
        # service nor database; measured by its own clock.
        seconds = BOUND_SECONDS + self.session.outage_seconds
        until = committed_by + timedelta(seconds=seconds + CLOCK_RATE * seconds)
        return until if self.closed_at is None else min(until, self.closed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """
    The revocation or deletion of a key, and the sessions that it concerns.

    `ended_at` is the time stored with the key, which may be earlier than the commit. `committed_by` is a moment of the
    database's clock that is certainly not before the commit: the first acknowledgement of any session, or else the time
    of this reading, or `change_feed.LONGEST_TRANSACTION_SECONDS` after the event was written if that is earlier.
    """

    ended_at: datetime
    committed_by: datetime
    confirmations: Sequence[Confirmation]

    @property
    def confirmed(self) -> int:
        """The number of sessions that acknowledged the change."""
        return sum(each.confirmed_at is not None for each in self.confirmations)

    @property
    def may_accept_until(self) -> datetime | None:
        """The latest moment at which any session may accept the old state; None once all acknowledged."""
        if self.confirmed == len(self.confirmations):
            return None
        # A session may end without an acknowledgement before another one acknowledges, and even before the commit.
        ends = [each.may_accept_until(self.committed_by) or each.confirmed_at for each in self.confirmations]
        return max(self.committed_by, *(end for end in ends if end is not None))


class Acknowledged(NamedTuple):
    """The changes, by their numbers, that a session has applied."""

    session_id: UUID
    seqs: tuple[int, ...]


class SessionStore(Protocol):
    """The sessions in the store of management, whose rules hold. An adapter promises every sentence written here."""

    async def renew_session(self, session: Session) -> None:
        """Store a session, or renew it, at the time of the database's clock."""
        ...

    async def renew_sessions(self, sessions: Sequence[Session]) -> None:
        """
        Do `renew_session` for each, in one transaction.

        They are renewed in the order of their ids; those with the same id, in the order in which they are given.
        """
        ...

    async def close_session(self, session_id: UUID, verifier_id: UUID | None) -> None:
        """Store that a session no longer uses its cache; ignore an unknown session and one of another verifier."""
        ...

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """Store that a session acknowledged these changes; earlier acknowledgements keep their time."""
        ...

    async def confirm_together(self, acknowledged: Sequence[Acknowledged]) -> None:
        """Do `confirm` for each, in one transaction; no time is earlier than its beginning."""
        ...
