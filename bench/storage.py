"""
How fast the stores are, beside what the machine and the engines can do: `PYTHONPATH=src python -m bench.storage`.

For each engine and number of callers: durable creations a second through the store, through a bare loop that commits
as many at once with nothing around it, and look-ups and pages a second. Medians of a few runs. Keys are made
beforehand, so that only storing them is measured. The database grows from nothing to about 160 000 keys.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import uvloop

from keywright.keys.record import ApiKey
from keywright.service.ports import NewApiKey
from keywright.storage import postgres_sql, rows, sqlite_file
from keywright.storage.engine import RunningStore, open_store
from keywright.storage.migrate import migrate
from keywright.storage.pool import connect
from keywright.storage.rows import NewRows
from keywright.storage.url import PostgresUrl, read
from tests.postgres import migrated_database, start_cluster
from tests.storage.making import an_organization, new_key

CREATORS = (1, 16, 64, 256)
RUNS = 3
ORGANIZATIONS = [an_organization() for _ in range(50)]

Op = Callable[[int], Awaitable[object]]


def main() -> None:
    """Measure both engines and print a table."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        print(f"4 KiB write and fdatasync, one after another: {_synced_writes(Path(folder)):,.0f}/s\n")
        migrate(f"sqlite:///{folder}/keys.db")
        migrate(f"sqlite:///{folder}/bare.db")
        _measure("SQLite", f"sqlite:///{folder}/keys.db", lambda count: _bare_sqlite(Path(folder) / "bare.db", count))
    cluster = start_cluster(fsync="on", full_page_writes="on", shared_buffers="256MB")
    try:
        bare = migrated_database(cluster)
        _measure("PostgreSQL", migrated_database(cluster), lambda count: uvloop.run(_bare_postgres(bare, count)))
    finally:
        cluster.remove()


def _measure(engine: str, url: str, bare: Callable[[int], float]) -> None:
    heads = f"{'callers':>8}{'create/s':>12}{'per commit':>12}{'bare loop/s':>13}{'get/s':>10}{'page of 100/s':>15}"
    print(f"{engine:<12}{heads}")
    for callers in CREATORS:
        creates, sizes, gets, pages = uvloop.run(_through_the_store(url, callers))
        loop = statistics.median(bare(callers) for _ in range(RUNS))
        print(f"{'':<12}{callers:>8}{creates:>12,.0f}{sizes:>12.1f}{loop:>13,.0f}{gets:>10,.0f}{pages:>15,.0f}")
    print()


async def _through_the_store(url: str, callers: int) -> tuple[float, float, float, float]:
    batches: list[int] = []
    async with _running(url, batches.append) as store:
        made: list[ApiKey] = []
        creates = []
        for _ in range(RUNS):
            new = [new_key(ORGANIZATIONS[n % 50]) for n in range(_enough(callers))]
            made += [each.api_key for each in new]
            creates.append(await _rate(callers, len(new), lambda n, new=new: store.create(new[n])))

        def get(n: int) -> Awaitable[object]:
            key = made[n * 7919 % len(made)]
            return store.get(key.org_id, key.id)

        def page(n: int) -> Awaitable[object]:
            key = made[n * 7919 % len(made)]
            return store.list_newest(key.org_id, limit=101, before=key.id)

        gets = [await _rate(callers, 8000, get) for _ in range(RUNS)]
        pages = [await _rate(callers, 800, page) for _ in range(RUNS)]
    median = statistics.median
    return median(creates), sum(batches) / len(batches), median(gets), median(pages)


@asynccontextmanager
async def _running(url: str, on_batch: Callable[[int], None]) -> AsyncIterator[RunningStore]:
    store = open_store(url, on_batch=on_batch)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def _rate(callers: int, total: int, call: Op) -> float:
    """Make *total* calls from so many tasks, and say how many were made a second."""
    numbers = iter(range(total))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    began = time.perf_counter()
    await asyncio.gather(*[caller() for _ in range(callers)])
    return total / (time.perf_counter() - began)


def _enough(callers: int) -> int:
    return {1: 2000, 16: 10000}.get(callers, 20000)


def _batches(size: int, write: Callable[[NewApiKey], NewRows]) -> list[list[NewRows]]:
    count = max(_enough(size) // size, 20)
    return [[write(new_key(ORGANIZATIONS[n % 50])) for n in range(size)] for _ in range(count)]


def _bare_sqlite(path: Path, size: int) -> float:
    """Commit batches of *size* one after another from one thread, with nothing around it."""
    batches = _batches(size, lambda new: NewRows(*map(rows.for_sqlite, rows.new_rows(new))))
    tables = (
        ("api_keys", rows.KEY_COLUMNS),
        ("api_key_secrets", rows.SECRET_COLUMNS),
        ("events", rows.EVENT_COLUMNS),
    )
    inserts = [f"INSERT INTO {name} ({', '.join(c)}) VALUES ({', '.join('?' * len(c))})" for name, c in tables]
    with closing(sqlite_file.open_to_write(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 1000")
        organizations = [(o.id.bytes, o.issuer, o.external_id, 0) for o in ORGANIZATIONS]
        connection.executemany("INSERT OR IGNORE INTO organizations VALUES (?, ?, ?, ?)", organizations)
        began = time.perf_counter()
        for batch in batches:
            connection.execute("BEGIN IMMEDIATE")
            for place, insert in enumerate(inserts, start=1):
                connection.executemany(insert, [new[place] for new in batch])
            connection.execute("COMMIT")
        return size * len(batches) / (time.perf_counter() - began)


async def _bare_postgres(url: str, size: int) -> float:
    """Execute the one statement for batches of *size*, one after another on one connection, with nothing around it."""
    place = read(url)
    assert isinstance(place, PostgresUrl)
    connection = await connect(place)
    batches = []
    for batch in _batches(size, lambda new: NewRows(*map(rows.as_text, rows.new_rows(new)))):
        organizations = sorted({new.organization for new in batch})
        tables = (organizations, *([new[table] for new in batch] for table in (1, 2, 3)))
        batches.append([column for table in tables for column in zip(*table, strict=True)])
    began = time.perf_counter()
    for columns in batches:
        await connection.fetch(postgres_sql.CREATE, *columns)
    rate = size * len(batches) / (time.perf_counter() - began)
    await connection.close()
    return rate


def _synced_writes(folder: Path) -> float:
    """Say how often a second a page can be written over and synced, which no commit of its own can beat."""
    page, count = os.urandom(4096), 1000
    file = os.open(folder / "synced", os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, page * 256, 0)
        os.fsync(file)
        began = time.perf_counter()
        for number in range(count):
            os.pwrite(file, page, number % 256 * 4096)
            os.fdatasync(file)
        return count / (time.perf_counter() - began)
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
