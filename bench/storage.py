"""
How fast the stores take and give keys, beside a bare loop that commits as many rows at once with nothing around it.

    python -m bench.storage [--seconds 1] [--rounds 3]

Durable on both engines. Keys are made beforehand, so that only storing them is measured.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import uvloop

from bench import bare_inserts, figures
from bench.figures import Section, Table, median, median_ratio
from bench.service import databases
from keywright.service.management.ports import NewApiKey
from keywright.storage.engine import open_store
from keywright.storage.migrate import migrate
from tests.storage.making import an_organization, new_key

CREATORS = (1, 16, 64)
ORGANIZATIONS = [an_organization() for _ in range(50)]
HEADS = ("store", "callers", "creations a second", "to a commit", "bare loop a second", "× bare loop")
SAYS = """\
The store without HTTP: so many callers each wait until their creation is durable (a key, its secret and its event, in
one transaction with whoever waits at the same time). The bare loop inserts rows of the same width into tables with the
same indexes, as many to a commit as there are callers, and does nothing else: no caller waits, nothing is chained, no
row is read. Rounds are interleaved; the database grows meanwhile."""
# More than that would take longer to make than to store; where they are stored sooner, the round is shorter.
_MOST_A_SECOND = 20_000


def main() -> None:
    """Measure both engines and print."""
    arguments = figures.arguments(__doc__, seconds=1.0, rounds=3)
    table = Table("Durable creations at the store", HEADS)
    with databases() as urls, tempfile.TemporaryDirectory() as folder:
        migrate(urls["SQLite"])
        synced = synced_writes(Path(folder))
        for engine, url in urls.items():
            for callers in CREATORS:
                table.rows.append(_row(engine, url, callers, arguments.seconds, arguments.rounds))
    disk = Table("The disk", ("what", "a second"), [("4 KiB written over and synced, one after another", synced)])
    figures.publish(Section("Creating keys, at the store", SAYS, [table, disk]), arguments.json)


def _row(
    engine: str, url: str, callers: int, seconds: float, rounds: int
) -> tuple[str, int, float, float, float, float]:
    creations, sizes, bare = [], [], []
    for _ in range(rounds):
        rate, size = uvloop.run(_through_the_store(url, callers, seconds))
        creations.append(rate)
        sizes.append(size)
        bare.append(_bare(engine, url, callers, seconds))
    return engine, callers, median(creations), median(sizes), median(bare), median_ratio(creations, bare)


def _bare(engine: str, url: str, callers: int, seconds: float) -> float:
    if engine == "SQLite":
        return bare_inserts.sqlite_rate(Path(url.removeprefix("sqlite:///") + ".bare"), callers, seconds)
    return uvloop.run(bare_inserts.postgres_rate(url, callers, seconds))


async def _through_the_store(url: str, callers: int, seconds: float) -> tuple[float, float]:
    """Give creations a second, and how many shared a commit."""
    batches: list[int] = []
    store = open_store(url, on_batch=batches.append)
    await store.start()
    try:
        new = [new_key(ORGANIZATIONS[n % 50]) for n in range(_enough(callers, seconds))]
        done, took = await in_turns(callers, new, store.create, seconds)
    finally:
        await store.close()
    return done / took, sum(batches) / max(1, len(batches))


async def in_turns(
    callers: int, made: Iterable[NewApiKey], create: Callable[[NewApiKey], Awaitable[object]], seconds: float
) -> tuple[int, float]:
    """Create from so many tasks until the time is over or nothing is left; give how many and in how many seconds."""
    left = iter(made)
    began = time.perf_counter()
    done = 0

    async def caller() -> None:
        nonlocal done
        for each in left:
            await create(each)
            done += 1
            if time.perf_counter() - began >= seconds:
                break

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    return done, time.perf_counter() - began


def _enough(callers: int, seconds: float) -> int:
    return int(min(callers * 6000, _MOST_A_SECOND) * seconds)


def synced_writes(folder: Path) -> float:
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
