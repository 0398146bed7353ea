"""What the PostgreSQL store does for checking: look-ups by digest, the trail, verifiers, receipts, usage."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from keywright.keys.verdict import KeyFacts
from keywright.service.checking_ports import Sighting, UsageBatch
from keywright.service.faults import StorageUnavailable
from keywright.service.management.ports import Usage
from keywright.service.verifier_sessions import Receipt, Session
from keywright.service.verifiers import Verifier
from keywright.storage import checking_rows, rows
from keywright.storage import postgres_checking_sql as sql
from keywright.storage.checking_rows import POSTGRES, Facts
from keywright.storage.gather import Gather
from keywright.storage.postgres_trail import PostgresTrail
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    import asyncpg

LANES = 2
"""Statements under way at once that look up what waits together."""


class PostgresChecking(ABC):
    """
    `service.checking_ports.CheckingStore` on the connections of a store.

    Look-ups that wait at the same time are one statement: 60 000 a second with 64 callers, instead of 19 000.

    Args:
        url: The server, for the trail has a connection of its own.
        patience: Seconds after which a caller has its answer, whatever it is.
    """

    def __init__(self, url: PostgresUrl, *, patience: float) -> None:
        self._url = url
        self._facts = Facts(POSTGRES)
        self._finds: Gather[bytes, KeyFacts | None] = Gather(self._find, lanes=LANES, patience=patience)
        self._trails: set[PostgresTrail] = set()
        self._followable = True

    @abstractmethod
    async def _read(self, statement: str, *values: Any) -> "list[asyncpg.Record]":
        """Execute a statement that changes nothing."""

    @abstractmethod
    async def _write(self, statement: str, *values: Any) -> "list[asyncpg.Record]":
        """Execute a statement that changes something."""

    def _stir(self) -> None:
        """Tell whoever follows the changes that there may be one."""
        for trail in self._trails:
            trail.stir()

    async def _close_checking(self) -> None:
        self._followable = False
        for trail in list(self._trails):
            await trail.close()
        await self._finds.close()

    async def find(self, digest: bytes) -> KeyFacts | None:
        """See `CheckingStore.find`."""
        # Cut out of one long text by the server: one of another length would be cut out of others'.
        return await self._finds.submit(digest) if len(digest) == checking_rows.DIGEST_BYTES else None

    async def follow(self) -> PostgresTrail:
        """See `ChangeStore.follow`."""
        if not self._followable:
            raise StorageUnavailable("the store is closed")
        trail = PostgresTrail(self._url, forget=self._trails.discard)
        await trail.start()
        self._trails.add(trail)
        return trail

    async def add_verifier(self, verifier: Verifier, credential_digest: bytes) -> None:
        """See `VerifierStore.add_verifier`."""
        await self._write(sql.ADD_VERIFIER, *checking_rows.verifier_row(verifier, credential_digest))

    async def verifiers(self) -> Sequence[Verifier]:
        """See `VerifierStore.verifiers`."""
        return [checking_rows.verifier(POSTGRES, tuple(row)) for row in await self._read(sql.VERIFIERS)]

    async def find_verifier(self, credential_digest: bytes) -> Verifier | None:
        """See `VerifierStore.find_verifier`."""
        found = await self._read(sql.FIND_VERIFIER, credential_digest)
        return checking_rows.verifier(POSTGRES, tuple(found[0])) if found else None

    async def revoke_verifier(self, name: str, at: datetime) -> Verifier | None:
        """See `VerifierStore.revoke_verifier`."""
        rows.refuse_unstorable((name,))
        found = await self._write(sql.REVOKE_VERIFIER, name, at)
        self._stir()
        return checking_rows.verifier(POSTGRES, tuple(found[0])) if found else None

    async def note_session(self, session: Session) -> None:
        """See `SessionStore.note_session`."""
        await self._write(sql.NOTE_SESSION, *checking_rows.session_row(session))

    async def close_session(self, session_id: UUID, verifier_id: UUID | None) -> None:
        """See `SessionStore.close_session`."""
        await self._write(sql.CLOSE_SESSION, session_id, verifier_id)

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """See `SessionStore.confirm`. Numbers that no change has are passed over."""
        await self._write(sql.CONFIRM, session_id, [str(seq) for seq in seqs])

    async def ending(self, org_id: UUID, key_id: UUID) -> Receipt | None:
        """See `Store.ending`."""
        found = await self._read(sql.ENDING, org_id, key_id)
        return checking_rows.ending(POSTGRES, [tuple(row) for row in found])

    async def note_usage(self, sightings: Sequence[Sighting], batch: UsageBatch) -> None:
        """See `CheckingStore.note_usage`; a text that a database cannot store is a `ValueError`."""
        if sightings:
            told = [rows.as_text(row) for row in checking_rows.sighting_rows(sightings)]
            await self._write(sql.NOTE_USAGE, *zip(*told, strict=True), *batch)

    async def usage(self, org_id: UUID, key_id: UUID, *, since: datetime) -> Usage | None:
        """See `Store.usage`."""
        found = await self._read(sql.USAGE, org_id, key_id, since)
        return checking_rows.usage(POSTGRES, [tuple(row) for row in found])

    async def hourly_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, int]]:
        """See `Store.hourly_counts`."""
        found = await self._read(sql.HOURLY_COUNTS, org_id, [str(key_id) for key_id in key_ids], since)
        return checking_rows.hours_by_key(POSTGRES, [tuple(row) for row in found])

    async def _find(self, digests: Sequence[bytes]) -> list[KeyFacts | None]:
        if len(digests) == 1:
            found = await self._read(sql.FIND, digests[0])
            return [self._facts.of(tuple(found[0])) if found else None]
        facts: list[KeyFacts | None] = [None] * len(digests)
        for place, *row in await self._read(sql.FIND_MANY, b"".join(digests)):
            facts[place] = self._facts.of(row)
        return facts
