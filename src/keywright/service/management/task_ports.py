"""
The port of the background tasks to the store of management: what is due, and what is not kept any longer.

tests/storage/life_contract.py and tests/storage/test_retention.py hold the promises as tests, on every store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.service.management.audit_log import Event
from keywright.service.management.audit_ports import AuditStore
from keywright.service.management.ports import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A key that is due for a background task; `version` is the version of the key."""

    org_id: UUID
    key_id: UUID
    version: int
    expires_at: datetime | None = None
    public_key: str | None = None


class Removable(Enum):
    """The rows that `KeyTaskStore.purge` removes, with the time that counts for each."""

    ANSWERS = auto()
    """Sealed answers, by their expiry."""
    CONSOLE_SESSIONS = auto()
    """Sessions of the console, by their end."""
    REPORTERS = auto()
    """The last batch numbers of reporters, by their writing."""
    USAGE = auto()
    """Uses by hour, by the beginning of the hour."""
    SOURCES = auto()
    """Sources of secrets, by the last use from them."""
    REFUSALS = auto()
    """Refusals by hour, by the beginning of the hour."""
    REFUSED_SOURCES = auto()
    """Sources of refusals, by the last one from them."""
    RECEIPTS = auto()
    """Changes and their acknowledgements, by the writing of the change. The newest of the old changes stay."""
    SESSIONS = auto()
    """Sessions, by the last moment at which they could use their caches."""
    VERDICTS = auto()
    """Verdicts by hour, by the beginning of the hour."""
    PREVIEWS = auto()
    """Revocations of many keys that were never started, by their preview."""
    BULK_REVOCATIONS = auto()
    """Revocations of many keys, by their end."""


class AgedEvent(NamedTuple):
    """An old event: its number in the table, which is not its position, and its organization."""

    seq: int
    org_id: UUID


class KeyTaskStore(Store, AuditStore, Protocol):
    """What is due for background tasks. The rules of `Store` hold, for all organizations."""

    async def idle_secrets(self, at: datetime, *, lag_seconds: float, limit: int) -> Sequence[Due]:
        """
        Give keys whose replaced secret was idle for long enough to end.

        That is: at *at*, the key is active and the replaced secret still works, its successor was used, and both the
        first use of the successor and the last use of the replaced secret are longer ago than its `idle_seconds` plus
        *lag_seconds*. `Due.public_key` is the text of the replaced secret's public key.
        """
        ...

    async def expiring(self, at: datetime, *, within_days: int, limit: int) -> Sequence[Due]:
        """
        Give active keys that expire within *within_days* after *at*, without a notice of as many days or fewer.

        `Due.expires_at` is set.
        """
        ...

    async def add_expiry_notice(self, event: Event, *, expires_at: datetime, days: int) -> bool:
        """
        Store a notice that a key expires in *days*; return whether it was the first of as many days or fewer.

        Nothing is stored for a key that now expires at another time, was revoked, or no longer exists.
        """
        ...

    async def purge(self, kind: Removable, until: datetime, *, limit: int) -> int:
        """
        Remove up to *limit* rows of one kind whose time is *until* or before; return how many.

        Of receipts, changes and acknowledgements are up to *limit* each. The newest of the old changes stay, so that
        readers of the change feed find the end of what was removed.
        """
        ...

    async def aged_events(self, before: datetime, *, after: int, limit: int) -> Sequence[AgedEvent]:
        """Give the events from before *before* among the *limit* events with the lowest numbers above *after*."""
        ...

    async def prune(self, org_id: UUID, position: int, hash_: bytes, before: datetime, *, limit: int) -> int:
        """
        Move the checkpoint of a chain and remove all events up to its position, in one transaction.

        With them go up to *limit* of the organization's events without a digest that are from before *before*.

        Returns:
            How many events were removed; 0 where another process has moved the checkpoint as far.

        Raises:
            ValueError: The chain has another hash at this position, or one of the events is from the last 30 days.
        """
        ...
