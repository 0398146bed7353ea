"""
The port of all data of an organization to the store. An adapter promises every sentence written here.

tests/storage/test_exports.py holds the promises as tests, on every store.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from keywright.service.management.audit_ports import KeyEraser
from keywright.service.operator.ports import OperatorStore
from keywright.service.recovery.ports import LogStore


class Part(Enum):
    """
    The parts of an organization's data that are read row by row; the value names them in an export.

    The first five belong to an organization, the others to a key.
    """

    KEYS = "api_key"
    DELETED_KEYS = "deleted_api_key"
    UNCHAINED_EVENTS = "unchained_event"
    """Events from before there was a chain."""
    BULK_REVOCATIONS = "bulk_revocation"
    SECRETS = "secret"
    USAGE = "usage"
    REFUSALS = "refusals"
    SOURCES = "source"
    REFUSED_SOURCES = "refused_source"


class Rows(NamedTuple):
    """
    Rows of a part as JSON values by name, without digests; times are RFC 3339 in UTC.

    `next` is what the rest begins after; None where there is no rest.
    """

    rows: Sequence[Mapping[str, Any]]
    next: Sequence[Any] | None


class OrganizationDataStore(OperatorStore, LogStore, KeyEraser, Protocol):
    """Reads and erases all data of one organization. The rules of `OperatorStore` hold."""

    async def data(self, part: Part, owner: UUID, *, after: Sequence[Any] | None, limit: int) -> Rows:
        """Read up to *limit* rows of a part of an organization or a key, beginning after a `Rows.next`."""
        ...

    async def remove_answers(self, org_id: UUID) -> int:
        """Remove the sealed answers of an organization, which contain names; give how many there were."""
        ...
