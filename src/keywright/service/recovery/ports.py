"""
The port of recovery to the store. An adapter promises every sentence written here.

tests/storage/test_exports.py holds the promises as tests, on every store.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.service.management.audit import Head
from keywright.service.management.audit_ports import AuditStore, KeyEraser
from keywright.service.operator.ports import OperatorStore


class ChainHead(NamedTuple):
    """The end of the chain of one organization."""

    org_id: UUID
    head: Head


class LogStore(AuditStore, Protocol):
    """Reads the chains of all organizations. The rules of `AuditStore` hold."""

    async def chain_heads(self, *, after: UUID, limit: int) -> Sequence[ChainHead]:
        """Give up to *limit* ends of chains in ascending order of organization, beginning above *after*."""
        ...

    async def hashes(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Head]:
        """Give up to *limit* positions of a chain with their hashes as `links` does; no event is read."""
        ...

    async def first_since(self, org_id: UUID, since: datetime) -> int | None:
        """Give the lowest position of an event from *since* or later; None without one."""
        ...


class RestoredStore(OperatorStore, LogStore, KeyEraser, Protocol):
    """A database that was restored: its chains and its keys."""
