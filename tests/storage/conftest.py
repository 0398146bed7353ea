"""What tests of the stores share. A module or a contract for one engine has a `database` of its own."""

from collections.abc import AsyncIterator

import pytest

from keywright.storage.engine import RunningStore
from keywright.storage.migrate import migrate
from tests.storage.life_contract import running
from tests.storage.making import Database


@pytest.fixture
def database(fresh_url: str) -> Database:
    """Give a migrated database of each engine."""
    migrate(fresh_url)
    return Database(fresh_url)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[RunningStore]:
    """Give a running store."""
    async with running(database.url) as store:
        yield store
