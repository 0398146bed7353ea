"""The life of keys: any calls in any order, on both stores against the one in memory, which this tests, too."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test

from keywright.keys.record import ApiKey, RevocationReason, Status
from keywright.keys.shown_text import flaw_in_description, flaw_in_name
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import EventFilter, KeyFilter
from keywright.storage.engine import open_store
from keywright.storage.migrate import migrate
from tests.postgres import migrated_database
from tests.service.fake_store import FakeStore
from tests.storage.chain import assert_chains
from tests.storage.contract import assert_trail_agrees
from tests.storage.life_contract import EVERYTHING
from tests.storage.making import NOON, Database, a_rotation, a_sealed_answer, an_event, an_organization, new_key

pytestmark = pytest.mark.early

T = TypeVar("T")

BOUNDED = settings(max_examples=25, stateful_step_count=30)
NAMES = st.text(min_size=1, max_size=100).filter(lambda name: flaw_in_name(name) is None)
DESCRIPTIONS = st.none() | st.text(max_size=255).filter(lambda text: flaw_in_description(text) is None)
OWNERS = st.integers(0, 1)
# Few, and some the same, so that they meet.
MOMENTS = st.sampled_from([NOON + timedelta(hours=hours) for hours in range(4)])
ENDS = st.none() | MOMENTS
REQUESTS = st.none() | st.sampled_from([bytes([number]) * 32 for number in range(3)])
TEXTS = st.none() | st.sampled_from(["BILL", "kw_pk_live", "0", "a"])


class KeyLife(RuleBasedStateMachine):
    """Two organizations that do whatever can be done with keys, their own and each other's."""

    url: str
    made: Bundle[ApiKey] = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.store = open_store(self.url)
        self.do(self.store.start())
        self.organizations = [an_organization(), an_organization()]
        self.model = FakeStore()

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call to its end."""
        return self.loop.run(call)

    def both(self, name: str, *values: Any, **named: Any) -> Any:
        """Make a call of the store and of the model, hold that they answer the same, and give the answer."""
        answer = self.do(getattr(self.store, name)(*values, **named))
        assert answer == self.do(getattr(self.model, name)(*values, **named))
        return answer

    def posing(self, owner: int, key: ApiKey) -> ApiKey:
        """Give the key as it stands, as if it were the organization's own."""
        return replace(self.model.keys.get(key.id, key), org_id=self.organizations[owner].id)

    @rule(
        target=made,
        owner=OWNERS,
        name=NAMES,
        description=DESCRIPTIONS,
        expires_at=ENDS,
        more=st.booleans(),
        request=REQUESTS,
        most=st.none() | st.integers(1, 4),
        at=MOMENTS,
    )
    def create(
        self,
        owner: int,
        name: str,
        description: str | None,
        expires_at: datetime | None,
        more: bool,
        request: bytes | None,
        most: int | None,
        at: datetime,
    ) -> ApiKey:
        """A creation is stored, unless it is repeated or there is no room for it."""
        fields = {**(EVERYTHING if more else {}), "name": name, "description": description, "expires_at": expires_at}
        new = new_key(self.organizations[owner], created_at=at, **fields)
        sealed_answer = (
            None if request is None else a_sealed_answer(request_digest=request, created_at=at, expires_at=at)
        )
        self.both("create", replace(new, sealed_answer=sealed_answer, most_active=most))
        return new.api_key

    @rule(owner=OWNERS, key=made)
    def get(self, owner: int, key: ApiKey) -> None:
        """A key is read by its organization as it stands, and by no other."""
        self.both("get", self.organizations[owner].id, key.id)

    @rule(owner=OWNERS, size=st.integers(1, 5), at=MOMENTS, status=st.none() | st.sampled_from(Status), text=TEXTS)
    def list_all(self, owner: int, size: int, at: datetime, status: Status | None, text: str | None) -> None:
        """Pages of any size show what fits, in order."""
        which = KeyFilter(at=at, status=status, text=text, unused_since=None if text is None else at)
        before: UUID | None = None
        org_id = self.organizations[owner].id
        for wanted in (which, None):
            while (page := self.both("list_newest", org_id, limit=size, before=before, which=wanted)).next:
                before = page.next
            before = None

    @rule(owner=OWNERS, key=made, name=NAMES, expires_at=ENDS, stale=st.booleans())
    def update(self, owner: int, key: ApiKey, name: str, expires_at: datetime | None, stale: bool) -> None:
        """A change of a key as it stands is made, and no other."""
        read = self.posing(owner, key)
        wish = replace(read, name=name, expires_at=expires_at, version=read.version + stale)
        self.both("update", wish, an_event(EventType.UPDATED, wish))

    @rule(owner=OWNERS, key=made, at=MOMENTS, hours=st.integers(0, 2), request=REQUESTS, stale=st.booleans())
    def rotate(self, owner: int, key: ApiKey, at: datetime, hours: int, request: bytes | None, stale: bool) -> None:
        """A rotation is made of a key as it stands, unless it is repeated or the last one still overlaps."""
        read = self.posing(owner, key)
        sealed_answer = (
            None if request is None else a_sealed_answer(request_digest=request, created_at=at, expires_at=at)
        )
        read = replace(read, version=read.version + stale)
        self.both(
            "rotate",
            a_rotation(read, at=at, overlap=timedelta(hours=hours), sealed_answer=sealed_answer, idle_seconds=hours),
        )

    @rule(owner=OWNERS, key=made, at=MOMENTS, until=MOMENTS)
    def set_retirement(self, owner: int, key: ApiKey, at: datetime, until: datetime) -> None:
        """A secret that is being replaced gets another end."""
        read = self.posing(owner, key)
        event = an_event(EventType.ROTATION_CHANGED, read, occurred_at=at)
        self.both("set_retirement", event, version=read.version, retires_at=max(at, until))

    @rule(owner=OWNERS, key=made, reason=st.sampled_from(RevocationReason))
    def revoke(self, owner: int, key: ApiKey, reason: RevocationReason) -> None:
        """A revocation by its organization marks the key once; by another one it finds nothing."""
        self.both("revoke", an_event(EventType.REVOKED, self.posing(owner, key), occurred_at=NOON), reason)

    @rule(owner=OWNERS, key=made)
    def delete(self, owner: int, key: ApiKey) -> None:
        """A deletion by its organization ends the key; by another one it finds nothing."""
        self.both("delete", an_event(EventType.DELETED, self.posing(owner, key)))

    @rule(at=MOMENTS, days=st.integers(0, 2))
    def give_notice(self, at: datetime, days: int) -> None:
        """A key that is due gets one notice."""
        mine = {organization.id for organization in self.organizations}
        due = [each for each in self.do(self.model.expiring(at, within_days=days, limit=99)) if each.org_id in mine]
        found = [each for each in self.do(self.store.expiring(at, within_days=days, limit=999)) if each.org_id in mine]
        assert sorted(found, key=lambda each: each.key_id) == sorted(due, key=lambda each: each.key_id)
        for each in due:
            assert each.expires_at is not None
            event = an_event(EventType.EXPIRING, self.model.keys[each.key_id])
            self.both("add_expiry_notice", event, expires_at=each.expires_at, days=days)

    @rule(owner=OWNERS, request=REQUESTS, at=MOMENTS)
    def sealed_answer(self, owner: int, request: bytes | None, at: datetime) -> None:
        """A sealed answer is there until it expires."""
        self.both("sealed_answer", self.organizations[owner].id, request or bytes(32), at)

    @rule(owner=OWNERS, key=made, size=st.integers(1, 5), of_key=st.booleans())
    def events(self, owner: int, key: ApiKey, size: int, of_key: bool) -> None:
        """Events are shown as they were noted, each with its place."""
        which = EventFilter(key_id=key.id if of_key else None, type=None if of_key else EventType.ROTATED)
        self.both("events", self.organizations[owner].id, limit=size, before=None, which=which)

    def teardown(self) -> None:
        """Hold the chains to each other, and close the store."""
        for organization in self.organizations:
            self.both("chain_end", organization.id)
            self.both("links", organization.id, after=0, limit=999)
        self.do(self.store.close())
        self.loop.close()


def _run(database: Database) -> None:
    class Machine(KeyLife):
        url = database.url

    run_state_machine_as_test(Machine, settings=BOUNDED)
    assert_trail_agrees(database)
    asyncio.run(_assert_chains(database))


async def _assert_chains(database: Database) -> None:
    store = open_store(database.url)
    try:
        await assert_chains(store, database)
    finally:
        await store.close()


def test_sqlite(tmp_path: Path) -> None:
    """SQLite does what the model does."""
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    migrate(url)
    _run(Database(url))


def test_postgresql(request: pytest.FixtureRequest) -> None:
    """PostgreSQL does what the model does."""
    _run(Database(migrated_database(request.getfixturevalue("postgres_cluster"))))
