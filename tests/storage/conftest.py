"""What tests of the stores share. A module or a contract for one engine has a `database` of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keywright.storage.engine import RunningStore
from tests.postgres import lent_database
from tests.storage.life_contract import running
from tests.storage.making import Database, migrated_file


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Give a migrated database of each engine."""
    if request.param == "sqlite":
        yield migrated_file(tmp_path / "keywright.db")
    else:
        with lent_database(request.getfixturevalue("postgres_cluster")) as url:
            yield Database(url)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[RunningStore]:
    """Give a running store."""
    async with running(database.url) as store:
        yield store
