"""How many events of an organization a restored database lost, by its kept heads and its kept log."""

from dataclasses import dataclass
from uuid import UUID

from keywright.service.recovery.kept_heads import KeptHeads
from keywright.service.recovery.kept_log import Track, stored_hashes
from keywright.service.recovery.ports import LogStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    What is left of a chain that reached position `kept`: the database's own ends at `stored`.

    Both have the same events up to `shared` at least, and up to `shared_at_most` at most.
    """

    org_id: UUID
    kept: int
    stored: int
    shared: int
    shared_at_most: int

    @property
    def lost(self) -> int:
        """How many events were lost, at least."""
        return max(0, self.kept - self.shared_at_most)

    @property
    def lost_at_most(self) -> int:
        """How many events may have been lost."""
        return max(0, self.kept - self.shared)

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was lost."""
        return not self.lost_at_most

    @property
    def newer(self) -> int:
        """How many events the database has that were not kept, at least."""
        return max(0, self.stored - min(self.shared_at_most, self.kept))


async def compare_chain(store: LogStore, org_id: UUID, heads: KeptHeads, track: Track | None) -> Comparison:
    """
    Compare the chain of an organization with what was kept of it.

    Raises:
        StorageUnavailable: The database is unavailable.
    """
    stored, _ = await store.chain_end(org_id)
    shared, differs = await _by_heads(store, org_id, heads, stored)
    kept = heads.top
    if track is not None:
        kept = max(kept, track.top.position)
        shared = max(shared, track.shared or 0)
        differs = min(differs, track.differs or differs)
    shared_at_most = max(shared, min(stored, differs - 1))
    return Comparison(org_id=org_id, kept=kept, stored=stored, shared=shared, shared_at_most=shared_at_most)


async def _by_heads(store: LogStore, org_id: UUID, heads: KeptHeads, stored: int) -> tuple[int, int]:
    """Give the highest head that the database has, and the lowest position at which it is known to differ."""
    differs = stored + 1
    for head in heads.newest_first():
        if head.position > stored:
            continue
        hash_ = (await stored_hashes(store, org_id, head.position, 1)).get(head.position)
        if hash_ == head.hash:
            return head.position, differs
        # Where it is None, retention has removed the position.
        differs = differs if hash_ is None else head.position
    return 0, differs
