"""
The store of the simulation, held to the contract that SQLite and PostgreSQL are held to.

Left out is what is not simulated: expiry, rotation, scopes, networks and limits of keys; verifiers; sources and hours
of uses; a database of another version; and the tests that reach behind the store with SQL, which this one has none of.
"""

import asyncio
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from keywright.keys.record import RevocationReason
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import NewApiKey
from keywright.storage.engine import RunningStore
from tests.simulation.database import EPOCH, Database, Habits, Key, Link
from tests.simulation.loop import Loop, Process
from tests.simulation.store import Store
from tests.storage.checking_contract import CheckingContract


class OnAsyncio:
    """As much of the loop of the simulation as a database needs, on the loop of a test."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.create_future = self._loop.create_future
        self.call_later = self._loop.call_later
        self.time = self._loop.time
        self.world = Process("world")

    @property
    def _time(self) -> float:
        return self._loop.time()

    def at(self, process: Process, delay: float, callback: Any, *args: Any) -> Any:
        """Have something done later."""
        return self._loop.call_later(delay, callback, *args)


class ContractStore(Store):
    """The store, with what the contract calls and a schedule does not."""

    patience = 60.0
    closed = False

    async def start(self) -> None:
        """Do nothing: there is nothing to open."""

    async def close(self) -> None:
        """Close what was begun."""
        self.closed = True
        for feed in self.feeds:
            await feed.close()

    @property
    def feeds(self) -> list[Any]:
        """Give the feeds that were begun."""
        return self.__dict__.setdefault("_feeds", [])  # type: ignore[no-any-return]

    async def follow(self) -> Any:
        """See `CheckingStore.follow`."""
        if self.closed:
            raise StorageUnavailable("the store is closed")
        feed = await super().follow()
        self.feeds.append(feed)
        return feed

    async def create(self, new: NewApiKey) -> None:  # type: ignore[override]
        """Store a key."""
        made = new.api_key
        key = Key(0, made.id, made.org_id, "", new.secret_digest, name=made.name, created_by=made.created_by)
        key.org_external_id = new.organization.external_id
        cast("list[Key]", self.database.keys).append(key)
        await super().create(key)

    async def revoke(self, event: Event, reason: RevocationReason) -> Any:  # type: ignore[override]
        """Revoke a key; gives as much of it as the contract looks at."""
        key = self._named(event.key_id)
        await super().revoke(key, event.occurred_at)
        return SimpleNamespace(revoked_at=key.ended_at)

    async def delete(self, event: Event) -> bool:  # type: ignore[override]
        """Delete a key."""
        await super().delete(self._named(event.key_id), event.occurred_at)
        return True

    def _named(self, key_id: UUID) -> Key:
        return next(key for key in self.database.keys if key.id == key_id)


class Simulated:
    """What is simulated of the contract."""

    postgres: bool

    @pytest.fixture
    async def database(self) -> Database:
        """Give a database in which everything may come in any order, though it does not take long."""
        loop = OnAsyncio()
        return Database(
            loop=cast("Loop", loop),
            random=Random(7),
            postgres=self.postgres,
            keys=[],
            habits=Habits(
                quick=0.0005, commit=0.001, commit_slow=0.01, commit_slow_share=0.1, block=3, clock_read_late=0.0
            ),
            offset=(datetime.now(UTC) - EPOCH).total_seconds() - loop.time(),
        )

    def open(self, database: Database) -> RunningStore:
        """Open a store."""
        number = len(database._blocks) + database.random.randrange(1000)
        return cast("RunningStore", ContractStore(database, Process("a test"), number, Link()))

    store = CheckingContract.store
    other = CheckingContract.other
    feed = CheckingContract.feed
    running = CheckingContract.running

    test_a_key_is_found_by_its_digest = CheckingContract.test_a_key_is_found_by_its_digest
    test_no_key_is_found_by_another_digest = CheckingContract.test_no_key_is_found_by_another_digest
    test_a_revoked_key_is_found_as_revoked = CheckingContract.test_a_revoked_key_is_found_as_revoked
    test_a_deleted_key_is_not_found = CheckingContract.test_a_deleted_key_is_not_found
    test_everybody_gets_the_key_asked_for = CheckingContract.test_everybody_gets_the_key_asked_for
    test_a_caller_that_goes_away_harms_nobody = CheckingContract.test_a_caller_that_goes_away_harms_nobody
    test_a_trail_begins_with_the_recent_changes = CheckingContract.test_a_trail_begins_with_the_recent_changes
    test_what_changes_while_a_trail_begins = CheckingContract.test_what_changes_while_a_trail_begins
    test_changes_are_on_the_trail = CheckingContract.test_changes_are_on_the_trail
    test_numbers_tell_changes_apart = CheckingContract.test_numbers_tell_changes_apart
    test_a_reading_that_is_given_up_loses_nothing = CheckingContract.test_a_reading_that_is_given_up_loses_nothing
    test_a_change_ends_the_waiting = CheckingContract.test_a_change_ends_the_waiting
    test_waiting_ends_by_itself = CheckingContract.test_waiting_ends_by_itself
    test_waiting_can_be_given_up = CheckingContract.test_waiting_can_be_given_up
    test_a_closed_trail = CheckingContract.test_a_closed_trail
    test_nothing_is_missed = CheckingContract.test_nothing_is_missed
    test_a_receipt_before_any_confirmation = CheckingContract.test_a_receipt_before_any_confirmation
    test_a_confirmation_is_kept = CheckingContract.test_a_confirmation_is_kept
    test_each_key_is_confirmed_by_itself = CheckingContract.test_each_key_is_confirmed_by_itself
    test_whoever_confirms_was_there = CheckingContract.test_whoever_confirms_was_there
    test_a_deleted_key_has_a_receipt = CheckingContract.test_a_deleted_key_has_a_receipt
    test_no_receipt = CheckingContract.test_no_receipt


class TestAsPostgres(Simulated):
    """The contract on the database that behaves as PostgreSQL."""

    postgres = True


class TestAsSqlite(Simulated):
    """The contract on the database that behaves as SQLite."""

    postgres = False

    # Numbers that are drawn and not used leave gaps, and here there are none.
    test_where_a_trail_is_complete = CheckingContract.test_where_a_trail_is_complete
