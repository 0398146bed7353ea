"""What both stores do in the same way: everything that is one statement, the same on both engines."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.change_feed import ChangeFeed
from keywright.service.checking.ports import RecentlyUsed, Use
from keywright.service.console_sessions import StoredSession
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import CHAIN_BEGINS, Event
from keywright.service.management.audit_ports import Checkpoint
from keywright.service.management.ports import (
    MOST_EXAMINED,
    SECRETS_PER_PAGE,
    EventFilter,
    Found,
    KeyFilter,
    Link,
    Rotations,
    SealedAnswer,
    Usage,
)
from keywright.service.management.task_ports import AgedEvent, Due
from keywright.service.principal import Organization
from keywright.service.verifier_sessions import Acknowledged, Receipt, Session
from keywright.service.verifiers import Verifier
from keywright.storage.shared import (
    audit_rows,
    checking_rows,
    console_statements,
    filters,
    recent_use,
    rows,
    statements,
    usage_statements,
)
from keywright.storage.shared.checking_rows import ReceiptRow, UsageRow, VerifierRow
from keywright.storage.shared.readers import FactsReader, KeyReader
from keywright.storage.shared.rows import Row
from keywright.storage.shared.statements import Dialect

LAST_ID = UUID(int=2**128 - 1)
"""A page that begins below it begins with the newest."""

FIRST_ID = UUID(int=0)
"""A page that begins above it begins with the oldest."""

# No organization has it: look-ups with any cookie at all wait for each other, and no organization waits for them.
_CONSOLE = FIRST_ID


class StoreFeed(ChangeFeed, Protocol):
    """A reader of the changes that a store wakes."""

    async def start(self) -> None:
        """Choose where the first reading begins; close and raise `StorageUnavailable` where nothing can be read."""
        ...

    def wake(self) -> None:
        """Wake the reader: something may have changed."""
        ...


class SharedStore(ABC):
    """
    The part of the ports of `service.management` and `service.checking` that is the same on both engines.

    Args:
        dialect: The engine.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._decoding = dialect.decoding
        # Made once, and not for each call.
        self._idle = statements.idle(dialect)
        self._self_named = statements.self_named_organizations(dialect)
        self._close_session = statements.close_session(dialect)
        self._receipt = statements.receipt(dialect)
        self._recently_used = recent_use.recently_used(dialect)
        self._usage = {
            (by_day, below): usage_statements.usage(dialect, by_day=by_day, below=below)
            for by_day in (False, True)
            for below in (False, True)
        }
        self._keys = KeyReader(dialect.decoding)
        self._facts = FactsReader(dialect.decoding)
        self._feeds: set[StoreFeed] = set()
        self._can_follow = True

    @abstractmethod
    async def _rows(self, org_id: UUID | None, statement: str, *values: Any) -> Sequence[Row]:
        """
        Execute a statement of `statements` that changes nothing.

        Args:
            org_id: The organization that the request comes from; None for checking and for the process itself, which
                have readers of their own.
            statement: The statement.
            values: In Python's own types.
        """

    async def _admitting(self, org_id: UUID | None, statement: str, *values: Any) -> Sequence[Row]:
        """Execute one whose rows decide who is admitted, or say who may be; as above."""
        return await self._rows(org_id, statement, *values)

    @abstractmethod
    async def _execute(self, org_id: UUID | None, statement: str, *values: Any) -> Sequence[Any]:
        """Execute one that changes something, in a transaction, and give the rows that it returns; as above."""

    @abstractmethod
    def _open_feed(self) -> StoreFeed:
        """Make a reader of the changes, which leaves `_feeds` when it is closed."""

    def _wake(self) -> None:
        """Wake the readers: there may be a change."""
        for feed in self._feeds:
            feed.wake()

    async def _close_feeds(self) -> None:
        self._can_follow = False
        for feed in list(self._feeds):
            await feed.close()

    async def follow(self) -> ChangeFeed:
        """See `ChangeStore.follow`."""
        if not self._can_follow:
            raise StorageUnavailable("the store is closed")
        feed = self._open_feed()
        await feed.start()
        self._feeds.add(feed)
        return feed

    async def list_newest(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: KeyFilter | None = None
    ) -> Found[ApiKey]:
        """See `Store.list_newest`."""
        terms = [] if which is None else filters.key_terms(self._dialect, which)
        if terms is None:
            return Found([], None)
        oldest_first = which is not None and which.oldest_first
        external_id = None if which is None else which.external_id
        first = FIRST_ID if oldest_first else LAST_ID
        page: list[Any] = [org_id, first if before is None else before, limit]
        if not terms and not oldest_first and external_id is None:
            return self._keys_of(await self._rows(org_id, self._dialect.list_newest, *page), limit, None)
        page += [MOST_EXAMINED if terms else limit] + ([] if external_id is None else [external_id])
        query = filters.query(self._dialect, terms, *page)
        statement = self._dialect.list_some[external_id is not None, oldest_first]
        found = await self._rows(org_id, statement.format(query.conditions), *query.values)
        matching = [row[1:] for row in found if row[1] is not None]
        return self._keys_of(matching, limit, self._last_examined(found[0]))

    def _keys_of(self, found: Sequence[Row], limit: int, last: UUID | None) -> Found[ApiKey]:
        keys = [self._keys.read(row) for row in found]
        return Found(keys, keys[-1].id if len(keys) == limit else last)

    async def sealed_answer(self, org_id: UUID, request_digest: bytes, at: datetime) -> SealedAnswer | None:
        """See `Store.sealed_answer`."""
        found = await self._rows(org_id, statements.ANSWER, org_id, request_digest, at)
        return audit_rows.answer(self._decoding, *found[0]) if found else None

    async def add_console_session(self, session: StoredSession) -> None:
        """See `ConsoleSessionStore.add_console_session`."""
        times = (session.created_at, session.used_at, session.expires_at)
        row = (session.digest, session.subject, session.sealed, *times)
        await self._execute(_CONSOLE, console_statements.ADD, *row)

    async def find_console_session(self, digest: bytes) -> StoredSession | None:
        """See `ConsoleSessionStore.find_console_session`."""
        found = await self._admitting(_CONSOLE, console_statements.FIND, digest)
        return audit_rows.console_session(self._decoding, *found[0]) if found else None

    async def note_console_session(self, digest: bytes, used_at: datetime) -> None:
        """See `ConsoleSessionStore.note_console_session`."""
        await self._execute(_CONSOLE, console_statements.NOTE, digest, used_at)

    async def end_console_session(self, digest: bytes) -> None:
        """See `ConsoleSessionStore.end_console_session`."""
        await self._execute(_CONSOLE, console_statements.END, digest)

    async def end_console_sessions(self, subject: bytes) -> None:
        """See `ConsoleSessionStore.end_console_sessions`."""
        await self._execute(_CONSOLE, console_statements.END_ALL, subject)

    async def events(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: EventFilter
    ) -> Found[tuple[Event, Link | None]]:
        """See `Store.events`."""
        terms = filters.event_terms(which)
        if terms is None:
            return Found([], None)
        # Without a filter each row that is examined is one of the page.
        values: list[Any] = [org_id, LAST_ID if before is None else before, limit, MOST_EXAMINED if terms else limit]
        statement = self._dialect.events_of_organization
        if which.key_id is not None:
            statement = self._dialect.events_of_key
            values.append(which.key_id)
        query = filters.query(self._dialect, terms, *values)
        found = await self._rows(org_id, statement.format(query.conditions), *query.values)
        events = [
            audit_rows.event_and_link(self._decoding, position, hash_, erased_by, id_, *row)
            for _, position, hash_, erased_by, id_, *row in found
            if id_ is not None
        ]
        return Found(events, events[-1][0].id if len(events) == limit else self._last_examined(found[0]))

    def _last_examined(self, row: Row) -> UUID | None:
        """Give the id of the last row that was examined, which is first in every row; None where all were."""
        return None if row[0] is None else self._decoding.id(row[0])

    async def organizations_like(self, claimed: Organization) -> Sequence[Organization]:
        """See `OrganizationStore.organizations_like`."""
        values = (claimed.id, claimed.issuer, claimed.external_id)
        return self._organizations(await self._rows(claimed.id, statements.ORGANIZATIONS_LIKE, *values))

    async def self_named_organizations(self, *, limit: int) -> Sequence[Organization]:
        """See `OrganizationStore.self_named_organizations`."""
        return self._organizations(await self._rows(None, self._self_named, limit))

    def _organizations(self, found: Sequence[Row]) -> list[Organization]:
        return [Organization(self._decoding.id(org_id), *owner) for org_id, *owner in found]

    async def chained_organizations(self) -> Sequence[UUID]:
        """See `AuditStore.chained_organizations`."""
        return [self._decoding.id(org_id) for (org_id,) in await self._rows(None, statements.ORGANIZATIONS)]

    async def links(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Link]:
        """See `AuditStore.links`."""
        found = await self._rows(None, statements.LINKS, org_id, after, limit)
        return [audit_rows.link(self._decoding, *row) for row in found]

    async def chain_end(self, org_id: UUID) -> tuple[int, bytes]:
        """See `AuditStore.chain_end`."""
        for position, hash_ in await self._rows(None, statements.CHAIN_END, org_id):
            return position, hash_
        return 0, CHAIN_BEGINS

    async def unchained_events(self, org_id: UUID) -> Sequence[UUID]:
        """See `AuditStore.unchained_events`."""
        return [self._decoding.id(id_) for (id_,) in await self._rows(None, statements.UNCHAINED, org_id)]

    async def checkpoint(self, org_id: UUID) -> Checkpoint | None:
        """See `AuditStore.checkpoint`."""
        found = await self._rows(None, statements.CHECKPOINT, org_id)
        return audit_rows.checkpoint(self._decoding, *found[0]) if found else None

    async def undigested_events(self, org_id: UUID) -> tuple[int, int]:
        """See `AuditStore.undigested_events`."""
        ((stored, removed),) = await self._rows(None, statements.UNDIGESTED, org_id)
        return stored, removed

    async def link_of(self, org_id: UUID, event_id: UUID) -> Link | None:
        """See `AuditStore.link_of`."""
        found = await self._rows(None, statements.LINK_OF, org_id, event_id)
        return audit_rows.link(self._decoding, *found[0]) if found else None

    async def links_of_subject(self, org_id: UUID, subject: str, *, after: int, limit: int) -> Sequence[Link]:
        """See `AuditStore.links_of_subject`."""
        if not rows.is_storable((subject,)):
            return []
        found = await self._rows(None, statements.LINKS_OF_SUBJECT, org_id, after, limit, subject)
        return [audit_rows.link(self._decoding, *row) for row in found]

    async def aged_events(self, before: datetime, *, after: int, limit: int) -> Sequence[AgedEvent]:
        """See `KeyTaskStore.aged_events`."""
        found = await self._rows(None, statements.AGED_EVENTS, before, after, limit)
        return [AgedEvent(seq, self._decoding.id(org_id)) for seq, org_id in found]

    async def idle_secrets(self, at: datetime, *, lag_seconds: float, limit: int) -> Sequence[Due]:
        """See `KeyTaskStore.idle_secrets`."""
        found = await self._rows(None, self._idle, at, lag_seconds, limit)
        return [audit_rows.idle(self._decoding, *row) for row in found]

    async def expiring(self, at: datetime, *, within_days: int, limit: int) -> Sequence[Due]:
        """See `KeyTaskStore.expiring`."""
        until = at + timedelta(days=within_days)
        found = await self._rows(None, statements.EXPIRING, at, until, within_days, limit)
        return [audit_rows.expiring(self._decoding, *row) for row in found]

    async def find_metadata(self, digest: bytes) -> str | None:
        """See `KeyStore.find_metadata`."""
        found = await self._admitting(None, statements.FIND_METADATA, digest)
        return str(found[0][0]) if found else None

    async def recently_used(self, *, below: Use | None, limit: int) -> RecentlyUsed:
        """See `CheckingStore.recently_used`."""
        hour, key_id = below or recent_use.AFTER_ALL
        return recent_use.page(self._decoding, await self._rows(None, self._recently_used, hour, key_id, limit), limit)

    async def add_verifier(self, verifier: Verifier, credential_digest: bytes) -> None:
        """See `VerifierStore.add_verifier`."""
        await self._execute(None, statements.ADD_VERIFIER, *checking_rows.verifier_row(verifier), credential_digest)

    async def verifiers(self) -> Sequence[Verifier]:
        """See `VerifierStore.verifiers`."""
        return [self._verifier(row) for row in await self._rows(None, statements.VERIFIERS)]

    async def find_verifier(self, credential_digest: bytes) -> Verifier | None:
        """See `VerifierStore.find_verifier`."""
        found = await self._admitting(None, statements.FIND_VERIFIER, credential_digest)
        return self._verifier(found[0]) if found else None

    async def renew_session(self, session: Session) -> None:
        """See `SessionStore.renew_session`."""
        await self.renew_sessions([session])

    @abstractmethod
    async def renew_sessions(self, sessions: Sequence[Session]) -> None:
        """See `SessionStore.renew_sessions`."""

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """See `SessionStore.confirm`. Numbers that no change has are passed over."""
        await self.confirm_together([Acknowledged(session_id, tuple(seqs))])

    @abstractmethod
    async def confirm_together(self, acknowledged: Sequence[Acknowledged]) -> None:
        """See `SessionStore.confirm_together`. Numbers that no change has are passed over."""

    async def close_session(self, session_id: UUID, verifier_id: UUID | None) -> None:
        """See `SessionStore.close_session`."""
        await self._execute(None, self._close_session, session_id, verifier_id)

    async def receipt(self, org_id: UUID, key_id: UUID) -> Receipt | None:
        """See `Store.receipt`."""
        found = await self._admitting(org_id, self._receipt, org_id, key_id)
        return checking_rows.receipt(self._decoding, [ReceiptRow(*row) for row in found])

    async def usage(
        self,
        org_id: UUID,
        key_id: UUID,
        *,
        since: datetime,
        by_day: bool = False,
        limit: int = SECRETS_PER_PAGE,
        before: UUID | None = None,
    ) -> Usage | None:
        """See `Store.usage`."""
        statement = self._usage[by_day, before is not None]
        below = () if before is None else (before,)
        # One secret more than *limit* shows whether a next page exists.
        found = await self._rows(org_id, statement, org_id, key_id, since, limit + 1, *below)
        return checking_rows.usage(self._decoding, self._keys, [UsageRow(*row) for row in found], limit)

    async def past_rotations(self, org_id: UUID, key_id: UUID, *, latest: int, most: int) -> Rotations:
        """See `Store.past_rotations`."""
        ((former,),) = await self._rows(org_id, statements.PAIRS, org_id, key_id, max(most - 1, 0))
        found = await self._rows(org_id, statements.ROTATIONS, org_id, key_id, latest)
        return Rotations(pairs=former + 1, latest=[self._decoding.time(at) for (at,) in found])

    def _verifier(self, row: Row) -> Verifier:
        return checking_rows.verifier(self._decoding, VerifierRow(*row))
