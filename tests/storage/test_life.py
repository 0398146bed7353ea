"""The life of keys on each store: the contract, and what crosses processes."""

from pathlib import Path

import pytest

from keywright.storage.migrate import migrate
from tests.postgres import PostgresCluster, migrated_database, name_of
from tests.storage.life_contract import LifeContract
from tests.storage.making import Database


class TestSqlite(LifeContract):
    """The contract on SQLite."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        """Give a migrated database."""
        url = f"sqlite:///{tmp_path / 'keys.db'}"
        migrate(url)
        return Database(url)


class TestPostgres(LifeContract):
    """The contract on PostgreSQL."""

    @pytest.fixture
    def database(self, postgres_cluster: PostgresCluster) -> Database:
        """Give a migrated database."""
        return Database(migrated_database(postgres_cluster))


class TestSerializable:
    """What happens at the same time, on a server whose transactions are serializable and so give way to each other."""

    store, other = LifeContract.store, LifeContract.other
    test_of_updates_at_once_one_is_made = LifeContract.test_of_updates_at_once_one_is_made
    test_of_rotations_at_once_one_is_made = LifeContract.test_of_rotations_at_once_one_is_made
    test_one_key_of_a_hundred_equal_creations = LifeContract.test_one_key_of_a_hundred_equal_creations
    test_no_more_than_the_most = LifeContract.test_no_more_than_the_most
    test_a_repeated_rotation = LifeContract.test_a_repeated_rotation

    @pytest.fixture
    def database(self, postgres_cluster: PostgresCluster) -> Database:
        """Give a migrated database."""
        url = migrated_database(postgres_cluster)
        setting = "default_transaction_isolation = serializable"
        postgres_cluster.execute(f"ALTER DATABASE {name_of(url)} SET {setting}")
        return Database(url)
