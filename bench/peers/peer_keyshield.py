"""
keyshield: its FastAPI router over SQLAlchemy, as its README mounts it, with its caching service and Argon2.

    python peer_keyshield.py FOLDER

The tables are made once at the start, where the README makes sure of them at every request. The wait of 0.1 to 0.3 s
that it puts into every verification is set to nothing, since nothing else would be seen.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import aiocache
import protocol
from fastapi import Depends, FastAPI
from keyshield.api import create_api_keys_router
from keyshield.hasher.argon2 import Argon2ApiKeyHasher
from keyshield.repositories.sql import SqlAlchemyApiKeyRepository
from keyshield.services.cached import CachedApiKeyService
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine


def main() -> None:
    """Serve."""
    path = Path(sys.argv[1]) / "keyshield.db"
    protocol.durable_sqlite(path)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": 30})
    event.listen(engine.sync_engine, "connect", lambda opened, _: opened.execute("PRAGMA synchronous = FULL"))
    sessions = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
    hasher = Argon2ApiKeyHasher(pepper="a pepper of the benchmark")
    cache = aiocache.SimpleMemoryCache()

    def service_of(session: AsyncSession) -> CachedApiKeyService:
        repository = SqlAlchemyApiKeyRepository(session)
        return CachedApiKeyService(repo=repository, hasher=hasher, cache=cache, min_delay=0.0, max_delay=0.0)

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened, opened.begin():
            yield opened

    async def service(opened: Annotated[AsyncSession, Depends(session)]) -> CachedApiKeyService:
        return service_of(opened)

    async def when_up(url: str) -> None:
        async with sessions() as opened, opened.begin():
            await SqlAlchemyApiKeyRepository(opened).ensure_table(async_engine=engine)
            keys = [(await service_of(opened).create(name="bench"))[1] for _ in range(protocol.KEYS)]
        json = {"Content_Type": "application/json"}
        protocol.announce(
            url,
            create=protocol.request("POST", "/api-keys/", {"name": "bench"}, **json),
            verify=[protocol.request("POST", "/api-keys/verify", {"api_key": key}, **json) for key in keys],
        )

    application = FastAPI()
    application.include_router(create_api_keys_router(service))
    protocol.serve(application, when_up)


if __name__ == "__main__":
    main()
