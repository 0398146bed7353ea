"""
Many keys at once, for measuring among them: the rows that as many creations leave, but without their events.

The digests and public keys are spread evenly over all there could be, in ascending order, which no engine minds; nobody
has the secrets of these keys. Nothing is durable before it is done.
"""

import itertools
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import uuid_utils.compat

_AT_ONCE = 100_000
_KEYS = ("id", "org_id", "name", "environment", "created_at", "created_by")
_SECRETS = ("id", "key_id", "public_key", "secret_digest", "brand", "display", "created_at")
_CREATED = datetime(2026, 11, 23, 12, tzinfo=UTC)
_MICROSECONDS = int(_CREATED.timestamp()) * 1_000_000

Row = tuple[Any, ...]


def fill_sqlite(path: str, org_id: UUID, places: range, of: int) -> None:
    """
    Fill a migrated database.

    Args:
        path: The file.
        org_id: Whose keys they are; the organisation is there.
        places: Which of the keys, counted from 0 over all that there are ever to be.
        of: How many that is.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        for rows in _batches(places, of):
            keys = [(key.bytes, org_id.bytes, "bench", "live", _MICROSECONDS, "bench") for key, _, _ in rows]
            secrets = [
                (key.bytes, key.bytes, public, digest, "kw", "kw_sk_live_…xxxx", _MICROSECONDS)
                for key, public, digest in rows
            ]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_insert("api_keys", _KEYS), keys)
            connection.executemany(_insert("api_key_secrets", _SECRETS), secrets)
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def fill_postgres(url: str, org_id: UUID, places: range, of: int) -> None:
    """Fill a migrated database, as `fill_sqlite` does; *url* is a superuser's."""
    connection = await asyncpg.connect(url)
    try:
        # Foreign keys are checked row by row otherwise, which takes longer than all the rest.
        await connection.execute("SET session_replication_role = replica")
        for rows in _batches(places, of):
            keys = [(key, org_id, "bench", "live", _CREATED, "bench") for key, _, _ in rows]
            secrets = [(key, key, public, digest, "kw", "kw_sk_live_…xxxx", _CREATED) for key, public, digest in rows]
            await connection.copy_records_to_table("api_keys", records=keys, columns=_KEYS)
            await connection.copy_records_to_table("api_key_secrets", records=secrets, columns=_SECRETS)
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _batches(places: range, of: int) -> Iterator[list[tuple[UUID, bytes, bytes]]]:
    """Give an id, a public key and a digest for each place."""
    step = 2**64 // of
    made = (
        (uuid_utils.compat.uuid7(), begins + random.randbytes(24), begins + random.randbytes(24))
        for begins in ((place * step).to_bytes(8, "big") for place in places)
    )
    while batch := list(itertools.islice(made, _AT_ONCE)):
        yield batch


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
