"""
What a creation has to put on disk and nothing else: three rows, as many creations to a commit as there are callers.

The tables are like the store's in their rows and their indexes, and know nothing of it. One loop on one connection
inserts and commits; nobody waits in front of it.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import uuid_utils.compat

_TABLES = """
    CREATE TABLE bare_keys (
        id {uuid} PRIMARY KEY, org_id {uuid} NOT NULL, name TEXT NOT NULL, description TEXT, environment TEXT NOT NULL,
        created_at BIGINT NOT NULL, created_by TEXT NOT NULL, expires_at BIGINT, revoked_at BIGINT
    );
    CREATE INDEX bare_keys_of_org ON bare_keys (org_id, id);
    CREATE TABLE bare_secrets (
        public_key {bytes} PRIMARY KEY, key_id {uuid} NOT NULL, digest {bytes} NOT NULL UNIQUE, display TEXT NOT NULL,
        created_at BIGINT NOT NULL
    );
    CREATE TABLE bare_events (
        id {uuid} PRIMARY KEY, org_id {uuid} NOT NULL, key_id {uuid} NOT NULL, type TEXT NOT NULL, at BIGINT NOT NULL,
        actor TEXT NOT NULL, address TEXT NOT NULL, request_id TEXT NOT NULL, data TEXT NOT NULL
    );
"""
_NAMES = {"bare_keys": 9, "bare_secrets": 5, "bare_events": 9}
_TYPES = {
    "bare_keys": "uuid uuid text text text bigint text bigint bigint",
    "bare_secrets": "bytea uuid bytea text bigint",
    "bare_events": "uuid uuid uuid text bigint text text text text",
}

Rows = tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]


def sqlite_rate(path: Path, size: int, seconds: float) -> float:
    """Say how many creations a second SQLite takes, *size* to a commit, each commit synced."""
    fresh = not path.exists()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if fresh:
            connection.executescript(_TABLES.format(uuid="BLOB", bytes="BLOB"))
        inserts = [f"INSERT INTO {name} VALUES ({', '.join('?' * width)})" for name, width in _NAMES.items()]
        done, spent = 0, 0.0
        while spent < seconds:
            batch = [_rows(_as_bytes) for _ in range(size)]
            began = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            for place, insert in enumerate(inserts):
                connection.executemany(insert, [rows[place] for rows in batch])
            connection.execute("COMMIT")
            spent += time.perf_counter() - began
            done += size
    return done / spent


async def postgres_rate(url: str, size: int, seconds: float) -> float:
    """Say how many creations a second PostgreSQL takes, *size* to a statement, which is a commit."""
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT to_regclass('bare_secrets')"):
            await connection.execute(_TABLES.format(uuid="UUID", bytes="BYTEA"))
        statement = await connection.prepare(_one_statement())
        done, spent = 0, 0.0
        while spent < seconds:
            batch = [_rows(_as_it_is) for _ in range(size)]
            columns = [column for table in zip(*batch, strict=True) for column in zip(*table, strict=True)]
            began = time.perf_counter()
            await statement.fetch(*columns)
            spent += time.perf_counter() - began
            done += size
        return done / spent
    finally:
        await connection.close()


def _one_statement() -> str:
    parts, number = [], 0
    for name, types in _TYPES.items():
        lists = []
        for kind in types.split():
            number += 1
            lists.append(f"${number}::{kind}[]")
        parts.append(f"INSERT INTO {name} SELECT * FROM unnest({', '.join(lists)})")
    return f"WITH k AS ({parts[0]}), s AS ({parts[1]}) {parts[2]}"


def _as_bytes(value: UUID) -> bytes:
    return value.bytes


def _as_it_is(value: UUID) -> UUID:
    return value


def _rows(written: Any) -> Rows:
    key, org, event = (written(uuid_utils.compat.uuid7()) for _ in range(3))
    now = time.time_ns() // 1000
    return (
        (key, org, "billing", "for the nightly job", "live", now, "auth0|alice", None, None),
        (os.urandom(32), key, os.urandom(32), "kw_live_…abcd", now),
        (event, org, key, "api_key.created", now, "auth0|alice", "192.0.2.7", f"req-{now}", '{"name":"billing"}'),
    )
