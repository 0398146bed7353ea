"""
The port of the figures to the store. An adapter promises every sentence written here.

tests/storage/test_figures.py holds the promises as tests, on every store.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.service.checking.ports import UsageBatch
from keywright.service.verifier_sessions import Session

MOST_CHANGES_READ = 2000
"""The most changes among which a report on delays looks for revocations."""

MOST_ACKNOWLEDGEMENTS_READ = 5000
"""The most acknowledgements of these that it reads."""

RECENT_CHANGES = 20
"""How many changes, the newest, are looked at to tell what a session has not acknowledged."""

MOST_SESSIONS = 1000

FEW_KEYS = 20_000
"""Up to this number keys are counted every minute: reading past so many costs milliseconds."""


class VerdictCount(NamedTuple):
    """The verdicts with one code in a minute or an hour, which begins at `start`."""

    start: datetime
    code: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedOrganization:
    """An organization with the uses and refusals of its keys."""

    org_id: UUID
    org_external_id: str
    uses: int
    refusals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedKey(UsedOrganization):
    """A key with its uses and refusals."""

    key_id: UUID
    name: str


class KeyHour(NamedTuple):
    """The uses and refusals of one key in the hour that begins at `hour`."""

    hour: datetime
    key_id: UUID
    org_id: UUID
    uses: int
    refusals: int


class Delays(NamedTuple):
    """
    How long acknowledgements of revocations and deletions took.

    `since` and `until` are of the database's clock. `acknowledgements` has their number by milliseconds, rounded up.
    """

    since: datetime
    until: datetime
    revocations: int
    acknowledgements: Mapping[int, int]


class ConnectedSession(NamedTuple):
    """
    A session that uses its cache now, with the name of its verifier, None for a process of the service.

    `unacknowledged` are those of the RECENT_CHANGES newest changes since its begin that it has not acknowledged, and
    `waits_since` is when the first of them was written.
    """

    session: Session
    verifier: str | None
    connected_at: datetime
    seen_at: datetime
    unacknowledged: int
    waits_since: datetime | None


class Connected(NamedTuple):
    """The sessions that use their caches at a moment of the database's clock, the latest first."""

    at: datetime
    sessions: Sequence[ConnectedSession]


Numbers = Mapping[str, int]
"""Numbers of keys by what they count: `state.active`, `age.week`, `day.2026-12-02`; what is 0 may be missing."""


class KeyCount(NamedTuple):
    """The numbers of keys of all organizations at a moment."""

    counted_at: datetime
    numbers: Numbers


class UnfinishedCount(NamedTuple):
    """
    A count of keys under way.

    `begun_at` is the moment at which all keys are judged, `position` the id of the last key that was counted.
    """

    begun_at: datetime
    position: UUID
    numbers: Numbers


class CountedSlice(NamedTuple):
    """The numbers of the next keys, and the id of the last of them; None where no key is left."""

    numbers: Numbers
    last: UUID | None


class VerdictStore(Protocol):
    """Adds up verdicts. The rules of `management.ports.Store` hold."""

    async def add_verdicts(self, counts: Sequence[VerdictCount], batch: UsageBatch) -> None:
        """
        Add verdicts to their minutes; nothing is written where *counts* is empty.

        A batch that was written before is not written again, as with `CheckingStore.add_usage`. The numbers of its
        reporter are of verdicts alone.
        """
        ...


class FiguresStore(VerdictStore, Protocol):
    """
    Keeps and reads figures. The rules of `management.ports.Store` hold.

    `reader` is the organization in whose turn a call waits for the database: the operator's.
    """

    async def roll_up_verdicts(self, before: datetime, *, limit: int) -> int:
        """Move up to *limit* counts of minutes before *before* to their hours; return how many."""
        ...

    async def verdict_minutes(self, reader: UUID, *, since: datetime) -> Sequence[VerdictCount]:
        """Give the verdicts of each minute from *since* on; minutes that were rolled up are missing."""
        ...

    async def verdict_hours(self, reader: UUID, *, since: datetime) -> Sequence[VerdictCount]:
        """Give the verdicts of each hour from *since* on, those of minutes included."""
        ...

    async def key_hours(self, reader: UUID, *, since: datetime, below: KeyHour | None, limit: int) -> Sequence[KeyHour]:
        """
        Give the *limit* newest counts from *since* on, of each hour those of the highest key ids first.

        *below* is the last one of the slice before; None for the first slice.
        """
        ...

    async def key_names(self, reader: UUID, ids: Collection[UUID]) -> Mapping[UUID, str]:
        """Give the names of keys; there are up to 100."""
        ...

    async def organization_names(self, reader: UUID, ids: Collection[UUID]) -> Mapping[UUID, str]:
        """Give the external ids of organizations; there are up to 150."""
        ...

    async def revocation_delays(self, reader: UUID, *, hours: int, changes: int, acknowledgements: int) -> Delays:
        """
        Give the delays of the revocations of the last *hours*, or of a part of them, which begins later.

        Reads the newest *changes*, and of these the *acknowledgements* with the highest numbers. A change whose
        acknowledgements may not all be among them does not count.
        """
        ...

    async def connected_sessions(self, reader: UUID) -> Connected:
        """Give the sessions that use their caches now, one more than MOST_SESSIONS at most."""
        ...

    async def key_count(self, reader: UUID) -> KeyCount | None:
        """Give the last finished count of keys; None before the first."""
        ...

    async def key_count_is_due(self, *, few: int = FEW_KEYS) -> bool:
        """
        Tell whether the last count began an hour ago, or one is under way that no process goes on with.

        While there are at most *few* keys, deleted ones among them, a minute is enough.
        """
        ...

    async def claim_key_count(self, worker: UUID, *, few: int = FEW_KEYS) -> UnfinishedCount | None:
        """
        Begin a count that is due, or go on with one, for a minute; None while another process does, or none is due.

        Each step of *worker* makes it a minute again.
        """
        ...

    async def count_keys(self, count: UnfinishedCount, *, limit: int) -> CountedSlice:
        """Count the *limit* keys above the position of *count*, as they are at its begin; deleted ones are left out."""
        ...

    async def keep_key_count(self, worker: UUID, count: UnfinishedCount, numbers: Numbers, last: UUID | None) -> bool:
        """
        Store the numbers so far, up to and with *last*; of all keys where it is None, which ends the count.

        Returns:
            Whether *worker* still had the claim, and *count* its position; otherwise nothing is stored.
        """
        ...
