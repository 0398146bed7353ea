"""
Measure how much a database grows with keys and events: bytes per million, on either engine.

    KEYWRIGHT_DATABASE_URL=sqlite:////tmp/sizes.db python scripts/sizes.py 20000

Migrates an empty database, creates keys through the store, then updates each, uses each in an hour from one source, and
revokes each with one acknowledgement. Prints the growth after each part, as MiB per million, and how long retention
takes to remove it, as rows in a second of processor time of this process.
"""

import asyncio
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from keywright.keys.pair import mint
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.ports import NewApiKey
from keywright.service.management.retention import ROWS_IN_A_STEP, prune
from keywright.service.management.task_ports import Removable
from keywright.service.principal import Organization
from keywright.service.verifier_sessions import Session
from keywright.storage import migrate
from keywright.storage import url as database_url
from keywright.storage.engine import RunningStore, open_store
from keywright.storage.url import SqliteUrl
from keywright.system import new_id

ISSUER = "https://tenant.example/"
ORGANIZATION = Organization.named(ISSUER, "acme")
OLD = datetime.now(UTC) - timedelta(days=500)
TOGETHER = 200


def made(number: int) -> NewApiKey:
    """Give the creation of a key with scopes and metadata, as large as they commonly are."""
    pair = mint(sha256(number.to_bytes(8, "big")).digest(), brand="kw", environment="live")
    key = ApiKey(
        id=new_id(),
        org_id=ORGANIZATION.id,
        name=f"Billing export {number}",
        description="for the nightly job",
        environment="live",
        created_at=OLD,
        created_by="auth0|6543210fedcba9876543210f",
        secret=Secret.of(pair, created_at=OLD),
        scopes=("invoices:read", "reports:read"),
        metadata={"team": "billing", "ticket": f"OPS-{number}"},
    )
    data = {"name": key.name, "scopes": list(key.scopes), "public_key": pair.public.text}
    return NewApiKey(
        organization=ORGANIZATION,
        api_key=key,
        secret_digest=pair.private.digest,
        event=event(EventType.CREATED, key, data),
    )


def event(type_: EventType, key: ApiKey, data: dict[str, object]) -> Event:
    """Give an event of a key, as a request of a dashboard makes it."""
    return Event(
        id=new_id(),
        type=type_,
        org_id=key.org_id,
        key_id=key.id,
        occurred_at=OLD,
        issuer=ISSUER,
        subject=key.created_by,
        client_id="dashboard",
        origin=Origin(request_id=uuid.uuid4().hex, address="192.0.2.7"),
        data=data,
    )


async def each(keys: Sequence[NewApiKey], work: Callable[[NewApiKey], Awaitable[object]]) -> None:
    """Do something for every key, some at once."""
    for start in range(0, len(keys), TOGETHER):
        await asyncio.gather(*map(work, keys[start : start + TOGETHER]))


async def use(store: RunningStore, keys: Sequence[NewApiKey]) -> None:
    """Use every key in one hour from one source."""
    hour = OLD.replace(minute=0, second=0, microsecond=0)
    for start in range(0, len(keys), TOGETHER):
        uses = [
            HourlyUsage(
                key_id=new.api_key.id.bytes,
                digest=new.secret_digest,
                hour=hour,
                network="192.0.2.0/24",
                agent="python-httpx",
                verifier="billing-api",
                first_seen=OLD,
                last_seen=OLD,
                count=1,
            )
            for new in keys[start : start + TOGETHER]
        ]
        await store.add_usage(uses, UsageBatch(uuid.uuid4(), 1))


async def revoke(store: RunningStore, keys: Sequence[NewApiKey]) -> None:
    """Revoke every key, and acknowledge all changes in one session."""
    feed = await store.follow()

    async def one(new: NewApiKey) -> None:
        await store.revoke(event(EventType.REVOKED, new.api_key, {"reason": "superseded"}), RevocationReason.SUPERSEDED)

    await feed.read()
    await each(keys, one)
    session = Session(id=uuid.uuid4(), verifier_id=None, name="host:1", outage_seconds=300)
    await store.renew_session(session)
    await store.confirm(session.id, [change.seq for change in (await feed.read()).changes])
    await feed.close()


async def size(url: str) -> int:
    """Give the bytes of a database, without its log."""
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        with closing(sqlite3.connect(place.path)) as connection:
            pages, bytes_ = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages * bytes_)
    from keywright.storage.postgres.connecting import connect

    server = await connect(place)
    try:
        return int(await server.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await server.close()


async def remove(store: RunningStore) -> list[tuple[str, int, float]]:
    """Remove everything that is old; give what, how many rows, and the processor time."""
    results = []
    for kind in (Removable.USAGE, Removable.SOURCES):
        begin, rows = time.process_time(), 0
        while step := await store.purge(kind, OLD + timedelta(days=1), limit=ROWS_IN_A_STEP):
            rows += step
        results.append((kind.name.lower(), rows, time.process_time() - begin))
    begin, rows = time.process_time(), 0
    while step := await prune(store, ORGANIZATION.id, OLD + timedelta(days=1)):
        rows += step
    results.append(("events", rows, time.process_time() - begin))
    return results


async def main(url: str, count: int) -> None:
    """Measure with so many keys."""
    migrate.migrate(url)
    store = open_store(url)
    keys = [made(number) for number in range(count)]

    async def update(new: NewApiKey) -> None:
        data: dict[str, object] = {"before": {"scopes": []}, "after": {"scopes": ["invoices:read"]}}
        await store.update(new.api_key, event(EventType.UPDATED, new.api_key, data))

    parts: dict[str, Callable[[], Awaitable[object]]] = {
        "a million keys, each with the event of its creation": lambda: each(keys, store.create),
        "a million events of updates, each with its change": lambda: each(keys, update),
        "a million hours of use, each with a source": lambda: use(store, keys),
        "a million revocations, each with an acknowledgement": lambda: revoke(store, keys),
    }
    before = await size(url)
    for name, part in parts.items():
        await part()
        after = await size(url)
        print(f"{name}: {(after - before) / count * 1e6 / 2**20:,.0f} MiB", flush=True)
        before = after
    for name, rows, seconds in await remove(store):
        print(f"removed {rows} rows of {name}: {rows / seconds:,.0f} in a second of processor time")
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(os.environ["KEYWRIGHT_DATABASE_URL"], int(sys.argv[1])))
