"""What the stores do for checking: the contract on each of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keywright.storage.engine import RunningStore, open_store
from tests.postgres import PostgresCluster, fresh_database, lent_database
from tests.storage.checking_contract import CheckingContract, FollowingContract
from tests.storage.making import Database, migrated_file


class OnPostgres(FollowingContract):
    """A contract on a real server."""

    @pytest.fixture
    def database(self, postgres_cluster: PostgresCluster) -> Iterator[Database]:
        """Give a migrated database."""
        with lent_database(postgres_cluster) as url:
            yield Database(url)

    @pytest.fixture
    def unmigrated(self, postgres_cluster: PostgresCluster) -> Database:
        """Give an empty database."""
        return Database(fresh_database(postgres_cluster))

    def open(self, database: Database) -> RunningStore:
        """Open a store."""
        return open_store(database.url)


class TestSqlite(CheckingContract):
    """The contract on SQLite."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        """Give a migrated database."""
        return migrated_file(tmp_path / "keys.db")

    @pytest.fixture
    def unmigrated(self, tmp_path: Path) -> Database:
        """Give a database that does not exist yet."""
        return Database(f"sqlite:///{tmp_path / 'absent.db'}")

    def open(self, database: Database) -> RunningStore:
        """Open a store."""
        return open_store(database.url)


class TestPostgres(OnPostgres, CheckingContract):
    """The contract on PostgreSQL."""


class TestBehindAPooler(OnPostgres):
    """Finding and following without prepared statements and without notifications, as behind a simple pooler."""

    def open(self, database: Database) -> RunningStore:
        """Open a store."""
        return open_store(f"{database.url}&statement_cache_size=0")


class TestSerializable(OnPostgres):
    """What happens at the same time, on a server whose transactions are serializable and so give way to each other."""

    test_revoking_a_verifier_at_the_same_time = CheckingContract.test_revoking_a_verifier_at_the_same_time
    test_the_revocation_of_a_verifier_is_on_the_trail = (
        CheckingContract.test_the_revocation_of_a_verifier_is_on_the_trail
    )
    test_a_batch_that_is_repeated_at_the_same_time = CheckingContract.test_a_batch_that_is_repeated_at_the_same_time
    test_uses_by_many_at_once = CheckingContract.test_uses_by_many_at_once
    test_uses_never_undo_a_revocation = CheckingContract.test_uses_never_undo_a_revocation

    @pytest.fixture
    def database(self, postgres_cluster: PostgresCluster) -> Iterator[Database]:
        """Give a migrated database."""
        with lent_database(postgres_cluster, "default_transaction_isolation = serializable") as url:
            yield Database(url)
