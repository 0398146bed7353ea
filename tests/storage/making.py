"""Makes what tests store, and looks into a database behind the store's back."""

import asyncio
import atexit
import itertools
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import uuid_utils.compat

from keywright.keys.pair import mint
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.ports import KeyStore
from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.ports import NewApiKey, Rotation, SealedAnswer
from keywright.service.principal import Organization
from keywright.storage.migrate import migrate
from keywright.storage.url import SqliteUrl, read

T = TypeVar("T")

ISSUER = "https://tenant.example/"
# More than twelve days ago: the server's clock counts where keys expire.
NOON = datetime(2026, 11, 15, 12, 0, 0, 123456, tzinfo=UTC)
UNSPECIFIED = RevocationReason.UNSPECIFIED
ORIGIN = Origin(request_id="req-1", address="192.0.2.7")

_numbers = itertools.count(1)

TABLES = ("organizations", "api_keys", "api_key_secrets", "events")


def new_id() -> UUID:
    """Give a fresh UUIDv7."""
    return uuid_utils.compat.uuid7()


def an_organization() -> Organization:
    """Give a new organization."""
    return Organization.named(ISSUER, f"org_{new_id()}")


def new_key(organization: Organization, *, name: str = "billing", **changes: Any) -> NewApiKey:
    """Give a new creation; *changes* are fields of the API key."""
    pair = mint(sha256(next(_numbers).to_bytes(8, "big") + new_id().bytes).digest(), brand="kw", environment="live")
    key = ApiKey(
        id=new_id(),
        org_id=organization.id,
        name=name,
        description="for the nightly job",
        environment="live",
        created_at=NOON,
        created_by="auth0|alice",
        secret=Secret.of(pair, created_at=NOON),
    )
    key = replace(key, **changes)
    return NewApiKey(
        organization=organization,
        api_key=key,
        secret_digest=pair.private.digest,
        event=an_event(EventType.CREATED, key, data={"name": name, "public_key": pair.public.text, "note": None}),
    )


def an_event(type_: EventType, key: ApiKey, **changes: Any) -> Event:
    """Give the event of doing *type_* to *key*, an hour after noon unless *changes* say otherwise."""
    event = Event(
        id=new_id(),
        type=type_,
        org_id=key.org_id,
        key_id=key.id,
        occurred_at=NOON + timedelta(hours=1),
        issuer=ISSUER,
        subject="auth0|bob",
        client_id=None,
        origin=ORIGIN,
    )
    return replace(event, **changes)


def a_rotation(
    key: ApiKey, *, at: datetime = NOON, overlap: timedelta = timedelta(hours=1), **changes: Any
) -> Rotation:
    """Give a rotation of a key as it was read, at noon and with an hour's overlap; *changes* are fields of it."""
    pair = mint(sha256(new_id().bytes).digest(), brand="kw", environment=key.environment)
    rotation = Rotation(
        version=key.version,
        secret=Secret.of(pair, created_at=at),
        secret_digest=pair.private.digest,
        retires_at=at + overlap,
        idle_seconds=None,
        event=an_event(EventType.ROTATED, key, occurred_at=at),
    )
    return replace(rotation, **changes)


def a_sealed_answer(**changes: Any) -> SealedAnswer:
    """Give the sealed answer of a new request, kept for a day from noon."""
    sealed_answer = SealedAnswer(
        request_digest=sha256(new_id().bytes).digest(),
        fingerprint=bytes(32),
        sealed=b"\0sealed",
        created_at=NOON,
        expires_at=NOON + timedelta(days=1),
    )
    return replace(sealed_answer, **changes)


def in_a_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end from a test that is in an event loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


@dataclass(frozen=True, slots=True)
class Database:
    """A database as an outsider sees it: rows of whole tables, in Python's types on every engine."""

    url: str

    @property
    def is_sqlite(self) -> bool:
        """Tell the engines apart."""
        return self.url.startswith("sqlite")

    def table(self, name: str) -> list[dict[str, Any]]:
        """Read all of a table, in no particular order."""
        return [_readable(row) for row in self.query(f"SELECT * FROM {name}")]

    def counts(self) -> dict[str, int]:
        """Count the rows of every table."""
        return {name: self.query(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in TABLES}

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Execute a statement, commit it, and give its rows."""
        if not self.is_sqlite:
            return in_a_thread(lambda: _ask_server(self.url, statement))
        place = read(self.url)
        assert isinstance(place, SqliteUrl)
        with closing(sqlite3.connect(place.path, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]


def migrated_file(path: Path) -> Database:
    """
    Give a migrated SQLite file: a copy of one that this process made.

    To migrate takes two dozen commits, and 15 ms of a processor; `test_migrations` is about that.
    """
    shutil.copy(_template(), path)
    return Database(f"sqlite:///{path}")


@lru_cache(maxsize=1)
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="keywright-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "keywright.db"
    migrate(f"sqlite:///{path}")
    return path


def allow_undigested(database: Database) -> None:
    """Let events without a digest in, as those from before the chain; it takes the owner's rights."""
    if database.is_sqlite:
        database.query("DROP TRIGGER events_refuse_undigested")
    else:
        database.query("ALTER TABLE events DROP CONSTRAINT events_digest_check")


async def _ask_server(url: str, statement: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _readable_value(name, value) for name, value in row.items()}


def _readable_value(name: str, value: Any) -> Any:
    if name == "data":
        return json.loads(value)
    if isinstance(value, bytes) and (name == "id" or name.endswith("_id")):
        return UUID(bytes=value)
    if isinstance(value, int) and name.endswith("_at"):
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=value)
    return value


async def find_key(store: KeyStore, digest: bytes) -> KeyFacts | None:
    """Look one key up."""
    return (await store.find_keys([digest])).get(digest)
