"""What lies in a database, read past the service."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any
from uuid import UUID

import asyncpg

_ID_BYTES = 16


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Read from the database at *url*, SQLite's or PostgreSQL's, in words that both understand; ids come as UUIDs."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return [tuple(map(_plain, row)) for row in connection.execute(query)]

    async def read() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(map(_plain, row)) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(read())


def _plain(value: Any) -> Any:
    return UUID(bytes=value) if isinstance(value, bytes) and len(value) == _ID_BYTES else value
