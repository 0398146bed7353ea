"""The life of keys, any calls in any order, against a model in plain containers; on both stores."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test

from keywright.keys.record import ApiKey, flaw_in_description, flaw_in_name
from keywright.service.events import EventType
from keywright.storage.engine import open_store
from keywright.storage.migrate import migrate
from tests.postgres import migrated_database
from tests.storage.contract import assert_trail_agrees
from tests.storage.making import NOON, Database, an_event, an_organization, new_key

T = TypeVar("T")

BOUNDED = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = st.text(min_size=1, max_size=100).filter(lambda name: flaw_in_name(name) is None)
DESCRIPTIONS = st.none() | st.text(max_size=255).filter(lambda text: flaw_in_description(text) is None)
OWNERS = st.integers(0, 1)


class KeyLife(RuleBasedStateMachine):
    """Two organisations that create, read, page through, revoke and delete keys, their own and each other's."""

    url: str
    made: Bundle[ApiKey] = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.store = open_store(self.url)
        self.do(self.store.start())
        self.organizations = [an_organization(), an_organization()]
        self.model: dict[UUID, ApiKey] = {}

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call to its end."""
        return self.loop.run(call)

    def owned(self, owner: int) -> list[ApiKey]:
        """Give what the model holds for an organisation, newest first."""
        org_id = self.organizations[owner].id
        return [self.model[id_] for id_ in sorted(self.model, reverse=True) if self.model[id_].org_id == org_id]

    def known(self, owner: int, key: ApiKey) -> ApiKey | None:
        """Give what the model shows of a key to an organisation."""
        shown = self.model.get(key.id)
        return shown if shown is not None and shown.org_id == self.organizations[owner].id else None

    @rule(target=made, owner=OWNERS, name=NAMES, description=DESCRIPTIONS)
    def create(self, owner: int, name: str, description: str | None) -> ApiKey:
        """A creation is stored."""
        new = new_key(self.organizations[owner], name=name, description=description)
        self.do(self.store.create(new))
        self.model[new.api_key.id] = new.api_key
        return new.api_key

    @rule(owner=OWNERS, key=made)
    def get(self, owner: int, key: ApiKey) -> None:
        """A key is read by its organisation as the model has it, and by no other."""
        assert self.do(self.store.get(self.organizations[owner].id, key.id)) == self.known(owner, key)

    @rule(owner=OWNERS, size=st.integers(1, 5))
    def list_all(self, owner: int, size: int) -> None:
        """Pages of any size show what the model has, in its order."""
        shown: list[ApiKey] = []
        before: UUID | None = None
        org_id = self.organizations[owner].id
        while page := self.do(self.store.list_newest(org_id, limit=size, before=before)):
            shown += page
            before = page[-1].id
        assert shown == self.owned(owner)

    @rule(owner=OWNERS, key=made)
    def revoke(self, owner: int, key: ApiKey) -> None:
        """A revocation by its organisation marks the key once; by another one it finds nothing."""
        shown = self.known(owner, key)
        event = an_event(EventType.REVOKED, replace(key, org_id=self.organizations[owner].id), occurred_at=NOON)
        if shown is not None and shown.revoked_at is None:
            shown = self.model[key.id] = replace(shown, revoked_at=NOON)
        assert self.do(self.store.revoke(event)) == shown

    @rule(owner=OWNERS, key=made)
    def delete(self, owner: int, key: ApiKey) -> None:
        """A deletion by its organisation ends the key; by another one it finds nothing."""
        shown = self.known(owner, key)
        event = an_event(EventType.DELETED, replace(key, org_id=self.organizations[owner].id))
        assert self.do(self.store.delete(event)) is (shown is not None)
        if shown is not None:
            del self.model[key.id]

    def teardown(self) -> None:
        """Close the store."""
        self.do(self.store.close())
        self.loop.close()


def _run(database: Database) -> None:
    class Machine(KeyLife):
        url = database.url

    run_state_machine_as_test(Machine, settings=BOUNDED)
    assert_trail_agrees(database)


def test_sqlite(tmp_path: Path) -> None:
    """SQLite does what the model does."""
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    migrate(url)
    _run(Database(url))


def test_postgresql(request: pytest.FixtureRequest) -> None:
    """PostgreSQL does what the model does."""
    _run(Database(migrated_database(request.getfixturevalue("postgres_cluster"))))
