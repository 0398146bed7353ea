"""A database in a file, copies of it as backups are, and what is kept of it elsewhere."""

import itertools
import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from keywright.service.management.ports import NewApiKey
from keywright.service.principal import Organization
from keywright.service.recovery.export import events, heads
from keywright.service.recovery.kept_heads import NumberedLine, read_heads
from keywright.service.recovery.lines import event_fields, head_fields
from keywright.service.recovery.restore_check import Checked, Known, RestoreCheck
from keywright.storage.engine import RunningStore, open_store
from keywright.storage.migrate import migrate
from tests.storage.making import new_id, new_key

NOW = datetime(2026, 11, 23, 12, 0, 0, 1, tzinfo=UTC)


def clock() -> datetime:
    return NOW


@dataclass
class Kept:
    """The lines of heads and of the log, as files have them."""

    heads: list[bytes] = field(default_factory=list)
    log: list[bytes] = field(default_factory=list)


@dataclass
class Live:
    """A migrated database in a file. Each call opens it and closes it."""

    path: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[RunningStore]:
        store = open_store(f"sqlite:///{self.path}")
        try:
            yield store
        finally:
            await store.close()

    def copy(self) -> "Live":
        """Give a copy of the database as it is: a backup, and what is restored of it."""
        copy = Live(self.path.with_name(f"copy-{next(self.numbers)}.db"), self.numbers)
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(copy.path)) as target:
            source.backup(target)
        return copy

    async def create(self, organization: Organization, count: int = 1, **changes: Any) -> list[NewApiKey]:
        made = [new_key(organization, **changes) for _ in range(count)]
        async with self.store() as store:
            for each in made:
                await store.create(each)
        return made

    async def keep(self, since: datetime | None = None) -> Kept:
        """Give what is kept elsewhere of the database as it is."""
        async with self.store() as store:
            return Kept(
                [lined(head_fields(kept)) async for kept in heads(store, clock)],
                [lined(event_fields(kept)) async for kept in events(store, clock, since=since)],
            )

    async def check(
        self, kept: Kept, *, with_log: bool = True, repeats: bool = False
    ) -> tuple[Known, dict[UUID, Checked]]:
        """Check the database against what was kept; give the results by organization."""
        async with self.store() as store:
            check = RestoreCheck(store=store, clock=clock, new_id=new_id, repeats=repeats)
            log = (lambda: numbered(kept.log)) if with_log else None
            known = await check.read(read_heads(numbered(kept.heads)), log)
            return known, {found.comparison.org_id: found async for found in check.results(known)}

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Execute a statement behind the store's back, triggers aside."""
        with closing(sqlite3.connect(self.path)) as connection:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                if name.startswith(("event", "organizations")) and "note" not in name:
                    connection.execute(f"DROP TRIGGER {name}")
            found = connection.execute(statement, values).fetchall()
            connection.commit()
            return found


@lru_cache
def _migrated() -> bytes:
    """Give a migrated database, which is made once: it takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "live.db")
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


def live(folder: Path) -> Live:
    made = Live(folder / "live.db")
    made.path.write_bytes(_migrated())
    return made


def numbered(lines: Iterable[bytes]) -> Iterator[NumberedLine]:
    return enumerate(lines, start=1)


def lined(fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def altered(line: bytes, **changes: Any) -> bytes:
    """Give a line with other members."""
    return lined({**json.loads(line), **changes})
