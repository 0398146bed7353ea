"""
What does not grow with the number of keys, and what does.

    python -m bench.growth [--most 100000]

With `--most 10000000` the fill takes some minutes and 10 GB of disk: beyond 100 000 keys only some are created, and the
others are written as rows.
"""

import asyncio
import dataclasses
import json
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import uvloop

from bench import asking, cores, figures
from bench.asking import Server
from bench.figures import Cell, Section, Table, median
from bench.filling import fill_postgres, fill_sqlite
from bench.load import request_bytes
from bench.service import KEYS, ORGANIZATION, Running, databases, running
from bench.starting import first_answer_seconds
from keywright.dev.issuer import DevIssuer
from keywright.keys.pair import mint
from keywright.keys.record import Secret
from keywright.service.management.ports import NewApiKey
from keywright.service.principal import Organization
from keywright.storage.engine import open_store
from keywright.storage.migrate import migrate
from tests.storage.making import new_key

SIZES = (1000, 100_000, 10_000_000)
MOST_CREATED = 100_000
CREATORS = 64
ASKED = 2000
PAGE, LONGEST_PAGE, PAGES = 100, 1000, 1000
PAGE_TIMES = 50
CONNECTIONS = 16
STARTS = 3
HEADS = (
    "store", "keys", "verify, known, a second", "verify, first time, a second", "create a second", "first page ms",
    "last page ms", "which page", "to first answer s", "database MiB",
)  # fmt: skip
SAYS = f"""\
All keys belong to one organisation. Verifications ask about {ASKED:,} keys spread over all of them, {CONNECTIONS}
connections, once when the process has just started and holds none ("first time": one round) and then when it holds them
("known"). A page has {PAGE} keys; the last one measured is the {PAGES:,}th, or the last there is. "To first answer" is
from the start of the process to the first verification that it answers, the database as large as it is. Beyond
{MOST_CREATED:,} keys only those asked about are created, the others written as the rows that creations leave, without
events."""


def main() -> None:
    """Fill, measure, fill on, and print."""
    arguments = figures.arguments(__doc__, most=100_000, seconds=1.0, rounds=3)
    table = Table("By number of keys", HEADS)
    with databases() as urls, DevIssuer() as issuer:
        migrate(urls["SQLite"])
        organization = Organization.named(issuer.url, ORGANIZATION)
        for engine, url in urls.items():
            filled, sample = 0, list[str]()
            for count in SIZES:
                if count <= arguments.most:
                    sample += grow(url, organization, filled, count)
                    filled = count
                    row = measured(url, issuer, sample, arguments.seconds, arguments.rounds)
                    table.rows.append([engine, count, *row, bytes_of(url) / 2**20])
    figures.publish(Section("Growth", SAYS, [table]), arguments.json)


def grow(url: str, organization: Organization, present: int, count: int) -> list[str]:
    """Bring a database from so many keys to *count*, and give the texts of some that are spread over the new ones."""
    if count <= MOST_CREATED:
        return uvloop.run(fill(url, organization, count - present))
    texts: list[str] = []
    quarter = (count - present) // 4
    for began in range(present, count, quarter):
        places = range(began, began + quarter - ASKED // 4)
        if url.startswith("sqlite"):
            fill_sqlite(url.removeprefix("sqlite:///"), organization.id, places, count)
        else:
            uvloop.run(fill_postgres(url, organization.id, places, count))
        texts += uvloop.run(fill(url, organization, ASKED // 4))
    return texts


async def fill(url: str, organization: Organization, count: int) -> list[str]:
    """Store so many keys, and give the texts of some that are spread over them."""
    every = max(1, count // ASKED)
    texts: list[str] = []

    def made() -> Iterator[NewApiKey]:
        for number in range(count):
            new = new_key(organization)
            if number % every:
                yield new
                continue
            pair = mint(os.urandom(32), brand="kw", environment="live")
            texts.append(pair.private.reveal())
            key = dataclasses.replace(new.api_key, secret=Secret.of(pair, created_at=new.api_key.created_at))
            yield dataclasses.replace(new, api_key=key, secret_digest=pair.private.digest)

    store = open_store(url)
    await store.start()
    left = made()

    async def caller() -> None:
        for new in left:
            await store.create(new)

    async with asyncio.TaskGroup() as group:
        for _ in range(CREATORS):
            group.create_task(caller())
    await store.close()
    return texts


def measured(url: str, issuer: DevIssuer, sample: list[str], seconds: float, rounds: int) -> list[Cell]:
    """Measure everything at the present size, in the order of `HEADS`."""
    texts = random.Random(7).sample(sample, min(ASKED, len(sample)))
    with running(url, issuer=issuer) as service:
        verify = [
            request_bytes("POST", f"{KEYS}/verify", service.credential, json.dumps({"key": text}).encode())
            for text in texts
        ]
        first = first_time(service, verify)
        create = request_bytes("POST", KEYS, service.token, b'{"name":"bench"}')
        rates = [rate(service, asked, seconds, rounds) for asked in (verify, [create])]
        place, cursor = last_page(service)
        pages = [page_milliseconds(service, cursor) for cursor in (None, cursor)]
    starts = median(first_answer_seconds(url, issuer, service.credential, texts[0]) for _ in range(STARTS))
    return [rates[0], first, rates[1], *pages, place, starts]


def first_time(service: Running, requests: list[bytes]) -> float:
    """Ask about each key once, and say how many were answered a second."""
    with cores.asking():
        began = time.perf_counter()
        asyncio.run(once(service.url, requests))
        return len(requests) / (time.perf_counter() - began)


async def once(base_url: str, requests: list[bytes]) -> None:
    """Send each request once, from as many connections as the others are measured with."""
    left = iter(requests)
    url = urlsplit(base_url)

    async def caller() -> None:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        for request in left:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            assert b'"valid":true' in body, body
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(caller())


def rate(service: Running, requests: list[bytes], seconds: float, rounds: int) -> float:
    """Say how many answers a second it gives."""
    servers = {"Keywright": Server(service.url, service.process_id, requests)}
    results = asking.interleaved(servers, connections=CONNECTIONS, seconds=seconds, rounds=rounds)
    return median(each.rate for each in results["Keywright"])


def last_page(service: Running) -> tuple[int, str]:
    """Walk to the last page that is measured: give its number and where it begins."""
    number, following = 1, f"{KEYS}?limit={PAGE}"
    while number < PAGES:
        # In longer strides as long as they do not go too far.
        stride = LONGEST_PAGE if PAGES - number >= LONGEST_PAGE // PAGE else PAGE
        answer = service.manage("GET", re.sub(r"limit=\d+", f"limit={stride}", following))
        if "next" not in answer.links:
            break
        following = answer.links["next"]["url"]
        number += stride // PAGE
    return number, re.sub(r"limit=\d+", f"limit={PAGE}", following)


def page_milliseconds(service: Running, path: str | None) -> float:
    """Say how long one caller waits for a page."""
    taken = []
    for _ in range(PAGE_TIMES):
        began = time.perf_counter()
        service.manage("GET", path or f"{KEYS}?limit={PAGE}")
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken)


def bytes_of(url: str) -> int:
    """Say how large a database is."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    return asyncio.run(_postgres_bytes(url))


async def _postgres_bytes(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        size: int = await connection.fetchval("SELECT pg_database_size(current_database())")
        return size
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
