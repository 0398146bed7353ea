"""The keys that were used last, for both engines: what a process caches after its start."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from keywright.service.checking.ports import RecentlyUsed, Use
from keywright.storage.shared.readers import Decoding
from keywright.storage.shared.rows import Row
from keywright.storage.shared.statements import Dialect

AFTER_ALL: Final = Use(datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))
"""A page that begins below it begins with the latest use."""


def recently_used(dialect: Dialect) -> str:
    """
    Give keys by the hour of their use, the latest first, each with its current secret and a replaced one that works.

    A key comes once for every hour. Values: the hour and the key to begin below, the most rows to give.
    """
    digest = "SELECT s.secret_digest FROM api_key_secrets s WHERE s.key_id = used.key_id AND s.retires_at"
    return f"""
        SELECT used.hour, used.key_id, ({digest} IS NULL),
            ({digest} IS NOT NULL AND s.retires_at > {dialect.now} ORDER BY s.retires_at DESC LIMIT 1)
        FROM key_hours used WHERE (used.hour, used.key_id) < ($1, $2)
        ORDER BY used.hour DESC, used.key_id DESC LIMIT $3
    """  # noqa: S608 - names of our own


def page(decoding: Decoding, found: Sequence[Row], limit: int) -> RecentlyUsed:
    """Read the rows of `recently_used`."""
    digests = [digest for _, _, *secrets in found for digest in secrets if digest is not None]
    if len(found) < limit:
        return RecentlyUsed(digests, None)
    hour, key_id, *_ = found[-1]
    return RecentlyUsed(digests, Use(decoding.time(hour), decoding.id(key_id)))
