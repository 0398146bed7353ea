"""
What checking keys needs from outside, as contracts. An adapter promises every sentence written here.

tests/storage/checking_contract.py holds the promises as tests; they run on every store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.keys.record import Secret
from keywright.keys.verdict import KeyFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    A change to a key after which what is held of it no longer counts.

    `seq` numbers the event that tells of it: unique, though not in the order of commits. `digests` are those of all
    the key's secrets.
    """

    seq: int
    key_id: UUID
    digests: tuple[bytes, ...]
    occurred_at: datetime


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
    connected_at: datetime
    seen_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A session that was connected when a key changed, and when it confirmed that it dropped it, if it has."""

    session: Session
    confirmed_at: datetime | None


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
    """The changes, followed from one moment on by one reader."""

    async def read(self) -> Sequence[Change]:
        """
        Give every change not given before that was acknowledged to anybody before this call began.

        A change may be given twice, but none is left out, in whatever order transactions become visible.

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
        """Begin to follow the changes from now on."""
        ...

    async def changes_after(self, seq: int) -> tuple[Sequence[Change], int]:
        """
        Give the changes a reader may have missed whose last one was *seq*, and the newest `seq` there is.

        Looks back beyond *seq* as far as transactions may have become visible late: 60 s.
        """
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
        """Store a session, or its newer state."""
        ...

    async def confirm(self, session_id: UUID, seqs: Sequence[int], at: datetime) -> None:
        """Note that a session dropped what these events changed; those confirmed before keep their time."""
        ...

    async def confirmations(self, org_id: UUID, key_id: UUID) -> tuple[datetime, Sequence[Confirmation]] | None:
        """
        Tell when the key was revoked or deleted, and what has become of every session that was connected then.

        A session counts as connected then when it began before that moment and was neither closed nor unseen for the
        longest it may go on believing (its `outage_seconds`, and a minute) at that moment. None where there is no such
        key, or it was neither revoked nor deleted. Works for a deleted key of the organisation, too.
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
