"""The life of keys on each store: the contract, and what crosses processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresCluster, lent_database
from tests.storage.life_contract import LifeContract
from tests.storage.making import Database, migrated_file


class TestSqlite(LifeContract):
    """The contract on SQLite."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        """Give a migrated database."""
        return migrated_file(tmp_path / "keys.db")


class TestPostgres(LifeContract):
    """The contract on PostgreSQL."""

    @pytest.fixture
    def database(self, postgres_cluster: PostgresCluster) -> Iterator[Database]:
        """Give a migrated database."""
        with lent_database(postgres_cluster) as url:
            yield Database(url)


class TestSerializable:
    """What happens at the same time, on a server whose transactions are serializable and so give way to each other."""

    store, other = LifeContract.store, LifeContract.other
    test_of_updates_at_once_one_is_made = LifeContract.test_of_updates_at_once_one_is_made
    test_of_rotations_at_once_one_is_made = LifeContract.test_of_rotations_at_once_one_is_made
    test_one_key_of_a_hundred_equal_creations = LifeContract.test_one_key_of_a_hundred_equal_creations
    test_no_more_than_the_most = LifeContract.test_no_more_than_the_most
    test_a_repeated_rotation = LifeContract.test_a_repeated_rotation

    @pytest.fixture
    def database(self, postgres_cluster: PostgresCluster) -> Iterator[Database]:
        """Give a migrated database."""
        with lent_database(postgres_cluster, "default_transaction_isolation = serializable") as url:
            yield Database(url)
