"""
What checking keys needs from outside, as contracts. An adapter promises every sentence written here.

tests/storage/checking_contract.py holds the promises as tests; they run on every store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.keys.record import Secret
from keywright.keys.verdict import KeyFacts

SESSION_SECONDS = 60.0
"""How long after its last renewal a session may use what it cached, before its outage time begins to count."""


LONGEST_TRANSACTION_SECONDS = 15 * 60.0
"""How long a transaction may last that has written an event, at most; readers look for its number so long."""


LATE = timedelta(seconds=10)
"""
How much earlier than a change another one may be written that becomes visible after it, where numbers do not tell.

Twice the time in which the caller of a change is answered.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    A change to a key after which what is held of it no longer counts.

    `seq` numbers the event that tells of it: unique, though not in the order of commits. `digests` are those of all
    the key's secrets. `noted_at` is when the database wrote the event, by its own clock.
    """

    seq: int
    key_id: UUID
    digests: tuple[bytes, ...]
    occurred_at: datetime
    noted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    One reading of the changes.

    The reader gives every change with a number above `begins_after`, which is the same in all its readings. Of those
    numbered up to `complete_to`, all that are visible or may still become visible have been given by now.
    """

    changes: Sequence[Change]
    begins_after: int
    complete_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """An API server that checks keys, as it is known here; its credential is not."""

    id: UUID
    name: str
    display: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    A process that holds keys in memory and follows the changes: a server process of ours, or a connected verifier.

    `verifier_id` is None for a process of ours. `name` is what people know it by, such as `billing-api` or
    `host:4711`. `outage_seconds` is how long it may serve what it holds while it reaches nobody.
    """

    id: UUID
    verifier_id: UUID | None
    name: str
    outage_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """
    A session that may have used the old state of a key, and when it confirmed that it dropped it, if it has.

    All times are readings of the database's clock: when the session was first stored, confirmed, and closed.
    """

    session: Session
    connected_at: datetime
    confirmed_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """
    The revocation or deletion of a key, and the sessions that it concerns.

    `ended_at` is the time stored with the key, which may be earlier than the commit. `committed_by` is a moment of the
    database's clock that is certainly not before the commit: the first confirmation of any session, or else the time
    of this reading, or LONGEST_TRANSACTION_SECONDS after the event was written if that is earlier.
    """

    ended_at: datetime
    committed_by: datetime
    confirmations: Sequence[Confirmation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """
    A use of a key, added up over a moment: which key and secret, from where, through whom, how often.

    `hour` is the beginning of the hour, in UTC. `network` is a /24 or /48 in CIDR form, None where the address is not
    known. `agent` is the family of the user agent, such as `python-httpx`, None where there is none.
    """

    key_id: UUID
    digest: bytes
    hour: datetime
    network: str | None
    agent: str | None
    verifier: str
    first_seen: datetime
    last_seen: datetime
    count: int


class UsageBatch(NamedTuple):
    """
    The name of a batch of uses: who reports it, and its number.

    Batches of one reporter are numbered from 1, upwards. A number that is not above the last one written was written
    before.
    """

    reporter: UUID
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a key was used from lately, added up. `public_key` is the text of that of the secret which was used."""

    public_key: str
    network: str | None
    agent: str | None
    verifier: str
    first_seen: datetime
    last_seen: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """
    How a key was used: accepted uses by hour, those without any left out, and the recent sources, latest first.

    `secrets` are all that the key ever had, newest first.
    """

    last_used_at: datetime | None
    hours: dict[datetime, int]
    sources: list[Source]
    secrets: list[Secret]


class Trail(Protocol):
    """The changes, followed by one reader from a position that its first reading tells."""

    async def read(self) -> Reading:
        """
        Give every change not given before that was acknowledged to anybody before this call began.

        The first reading begins with the recent changes: those of the last 15 minutes or the last 1 000, and at least
        the newest one. A change may be given twice, but none is left out, in whatever order transactions become
        visible.

        Raises:
            StorageUnavailable: The database is away; what is missed now is given by a later call.
        """
        ...

    async def wait(self, seconds: float) -> None:
        """Return when something may have changed, and after *seconds* at the latest; never raises."""
        ...

    async def close(self) -> None:
        """Let go of whatever is held."""
        ...


class CheckingStore(Protocol):
    """
    What the store of `ports.Store` keeps for checking. The same rules hold: one call, one transaction, durable when it
    returns, `StorageUnavailable` within a few seconds.
    """

    async def find(self, digest: bytes) -> KeyFacts | None:
        """
        Read the facts of the key with this secret from the primary; None where there is none or it is deleted.

        Also those of a secret that has retired: they say so.
        """
        ...

    async def follow(self) -> Trail:
        """Choose the position from which a reader follows the changes; its first reading begins there."""
        ...

    async def add_verifier(self, verifier: Verifier, credential_digest: bytes) -> None:
        """Store a verifier; ValueError when its name is taken by one that is not revoked."""
        ...

    async def verifiers(self) -> Sequence[Verifier]:
        """Give all of them, newest first."""
        ...

    async def find_verifier(self, credential_digest: bytes) -> Verifier | None:
        """Give the verifier with this credential, revoked or not."""
        ...

    async def revoke_verifier(self, name: str, at: datetime) -> Verifier | None:
        """Revoke the verifier of that name for good; None where there is none, revoked before or not."""
        ...

    async def note_session(self, session: Session) -> None:
        """Store a session, or that it is still open; the database's clock tells when."""
        ...

    async def close_session(self, session_id: UUID, verifier_id: UUID | None) -> None:
        """Store that a session uses nothing any more; one that is not stored, or another's, is passed over."""
        ...

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """Store that a session dropped what these events changed; those confirmed before keep their time."""
        ...

    async def ending(self, org_id: UUID, key_id: UUID) -> Ending | None:
        """
        Tell when the key was revoked or deleted, and what has become of every session that may have used it.

        These are the sessions that confirmed, and those that were stored before `committed_by` and were neither closed
        nor unseen for too long at `ended_at`. Too long is `outage_seconds` and SESSION_SECONDS: a process that could
        not renew its session for that long uses nothing that it cached. None where there is no such key, or it was
        neither revoked nor deleted. Works for a deleted key of the organisation, too.
        """
        ...

    async def note_usage(self, sightings: Sequence[Sighting], batch: UsageBatch) -> None:
        """
        Add uses up: hourly counts, sources (a secret's latest 50 are kept), and the first and last use of the secret.

        `last_used_at` only ever becomes later, and `first_used_at` earlier. Writes nothing but these and the number of
        the batch; a key that is unknown by now is passed over.

        A batch that was written before is not written again. Whether it was is decided in the transaction that adds up,
        so a batch may be repeated when nobody knows what became of it, also while its first transaction still runs. The
        last number of a reporter is kept for 7 days: see `ports.DutyStore.purge`.
        """
        ...

    async def usage(self, org_id: UUID, key_id: UUID, *, since: datetime) -> Usage | None:
        """Give the use of one key since then; None where there is no such key."""
        ...

    async def hourly_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, int]]:
        """Give accepted uses by key and hour, for many keys in one call; keys and hours without any are left out."""
        ...
