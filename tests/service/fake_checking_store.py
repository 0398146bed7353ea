"""What checking needs from outside, in memory and under a test's control."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from keywright.keys.verdict import KeyFacts
from keywright.service.change_feed import Change, Reading
from keywright.service.checking.ports import HourlyUsage, RecentlyUsed, UsageBatch, Use
from keywright.service.faults import StorageUnavailable
from keywright.service.verifier_sessions import Acknowledged, Session
from keywright.service.verifiers import Verifier

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class FakeTime:
    """One clock for everything, moved by hand."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class FakeTrail:
    """Gives what `tell` was told, once."""

    def __init__(self, store: "FakeCheckingStore") -> None:
        self._store = store
        self._given = 0
        self.closed = False

    async def read(self) -> Reading:
        self._store.must_answer()
        new = self._store.changes[self._given : self._given + self._store.most_read]
        self._given += len(new)
        self._store.readings += 1
        more = self._given < len(self._store.changes)
        return Reading(changes=new, begins_after=0, complete_to=self._given, more=more, proven=self._store.proves)

    async def wait(self, seconds: float) -> None:
        self._store.pauses.add(seconds)
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.closed = True


class FakeCheckingStore:
    """Stores everything in plain containers; `away` makes it fail, `hold` makes look-ups wait."""

    def __init__(self) -> None:
        self.facts: dict[bytes, KeyFacts] = {}
        self.metadata: dict[bytes, str] = {}
        self.changes: list[Change] = []
        self.verifier_by_digest: dict[bytes, Verifier] = {}
        self.sessions: dict[UUID, Session] = {}
        self.confirmed: list[tuple[UUID, tuple[int, ...]]] = []
        # How many sessions each write for several of them was for.
        self.transactions: list[int] = []
        self.hourly_usage: list[HourlyUsage] = []
        self.batches: dict[UUID, int] = {}
        self.closed: list[UUID] = []
        self.trail: FakeTrail | None = None
        self.away = False
        self.hold: asyncio.Event | None = None
        self.look_ups = 0
        self.queries: list[list[bytes]] = []
        # The digests of the keys of each use, the latest use first.
        self.uses: dict[Use, list[bytes]] = {}
        self.metadata_look_ups = 0
        self.readings = 0
        # The longest pauses that readers asked for.
        self.pauses: set[float] = set()
        # How many changes one reading gives.
        self.most_read = 1000
        # Whether readings prove that they are complete.
        self.proves = True

    def must_answer(self) -> None:
        if self.away:
            raise StorageUnavailable("away")

    def tell(self, *digests: bytes, at: datetime = NOW) -> None:
        """Have the trail tell of a change that was written at some time."""
        seq = len(self.changes) + 1
        self.changes.append(Change(seq=seq, key_id=UUID(int=seq), digests=digests, occurred_at=NOW, written_at=at))

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        self.queries.append(list(digests))
        self.look_ups += len(digests)
        # Read before the wait, as a slow answer is.
        found = {digest: self.facts[digest] for digest in digests if digest in self.facts}
        if self.hold is not None:
            await self.hold.wait()
        self.must_answer()
        return found

    async def recently_used(self, *, below: Use | None, limit: int) -> RecentlyUsed:
        self.must_answer()
        uses = [use for use in self.uses if below is None or use < below][:limit]
        digests = [digest for use in uses for digest in self.uses[use]]
        return RecentlyUsed(digests, uses[-1] if len(uses) == limit else None)

    async def find_metadata(self, digest: bytes) -> str | None:
        self.metadata_look_ups += 1
        if self.hold is not None:
            await self.hold.wait()
        self.must_answer()
        return self.metadata.get(digest)

    async def follow(self) -> FakeTrail:
        self.must_answer()
        self.trail = FakeTrail(self)
        return self.trail

    async def add_verifier(self, verifier: Verifier, credential_digest: bytes) -> None:
        if any(known.name == verifier.name for known in self.verifier_by_digest.values()):
            raise ValueError("taken")
        self.verifier_by_digest[credential_digest] = verifier

    async def verifiers(self) -> Sequence[Verifier]:
        return list(self.verifier_by_digest.values())

    async def find_verifier(self, credential_digest: bytes) -> Verifier | None:
        self.look_ups += 1
        self.must_answer()
        return self.verifier_by_digest.get(credential_digest)

    async def revoke_verifier(self, name: str, at: datetime) -> Verifier | None:
        for digest, verifier in self.verifier_by_digest.items():
            if verifier.name == name:
                revoked = Verifier(
                    id=verifier.id, name=name, display=verifier.display, created_at=verifier.created_at, revoked_at=at
                )
                self.verifier_by_digest[digest] = revoked
                self.tell(digest)
                return revoked
        return None

    async def renew_session(self, session: Session) -> None:
        self.must_answer()
        self.sessions[session.id] = session

    async def renew_sessions(self, sessions: Sequence[Session]) -> None:
        self.transactions.append(len(sessions))
        for session in sessions:
            await self.renew_session(session)

    async def close_session(self, session_id: UUID, verifier_id: UUID | None) -> None:
        self.must_answer()
        self.closed.append(session_id)

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        self.must_answer()
        self.confirmed.append((session_id, tuple(seqs)))

    async def confirm_together(self, acknowledged: Sequence[Acknowledged]) -> None:
        self.transactions.append(len(acknowledged))
        for session_id, seqs in acknowledged:
            await self.confirm(session_id, seqs)

    async def add_usage(self, records: Iterable[HourlyUsage], batch: UsageBatch) -> None:
        self.must_answer()
        if self.batches.get(batch.reporter, 0) < batch.number:
            self.batches[batch.reporter] = batch.number
            self.hourly_usage += records
