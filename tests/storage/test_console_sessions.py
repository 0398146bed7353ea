"""Stored sessions of the console, on both engines."""

from dataclasses import replace
from datetime import timedelta

import pytest

from keywright.service.console_sessions import StoredSession
from keywright.service.faults import StorageUnavailable
from keywright.service.management.task_ports import Removable
from keywright.storage.engine import RunningStore
from tests.storage.making import NOON, Database

MINUTE = timedelta(minutes=1)


def a_console_session(number: int, subject: int = 0) -> StoredSession:
    return StoredSession(
        digest=bytes([number]) * 32,
        subject=bytes([subject]) * 32,
        sealed=b"sealed" * number,
        created_at=NOON,
        used_at=NOON + MINUTE,
        expires_at=NOON + number * MINUTE,
    )


async def test_found_as_it_was_added(store: RunningStore) -> None:
    """A session is found by its digest with all that was stored; another digest finds none."""
    one, two = a_console_session(1), a_console_session(2)
    await store.add_console_session(one)
    await store.add_console_session(two)
    assert await store.find_console_session(one.digest) == one
    assert await store.find_console_session(b"x" * 32) is None
    assert await store.find_console_session(b"") is None


async def test_a_digest_once(store: RunningStore) -> None:
    """The same digest is never stored twice."""
    await store.add_console_session(a_console_session(1))
    with pytest.raises((StorageUnavailable, ValueError)):
        await store.add_console_session(a_console_session(1, subject=2))
    assert await store.find_console_session(b"\x01" * 32) == a_console_session(1)


async def test_use(store: RunningStore) -> None:
    """A later use is stored, an earlier one is not, and that of a session that is gone makes no row."""
    session = a_console_session(9)
    await store.add_console_session(session)
    await store.note_console_session(session.digest, NOON + 5 * MINUTE)
    await store.note_console_session(session.digest, NOON)
    await store.note_console_session(b"x" * 32, NOON)
    assert await store.find_console_session(session.digest) == replace(session, used_at=NOON + 5 * MINUTE)
    assert await store.find_console_session(b"x" * 32) is None


async def test_ends(store: RunningStore) -> None:
    """One session is removed by its digest, all of a subject by that of the subject, and no other."""
    sessions = [a_console_session(number, subject=number % 2) for number in range(1, 7)]
    for session in sessions:
        await store.add_console_session(session)
    await store.end_console_session(sessions[0].digest)
    await store.end_console_sessions(sessions[1].subject)
    found = [await store.find_console_session(session.digest) for session in sessions]
    assert [session is not None for session in found] == [False, False, True, False, True, False]


async def test_purge(store: RunningStore, database: Database) -> None:
    """Sessions go after their end, a bounded number at a time."""
    for number in range(1, 6):
        await store.add_console_session(a_console_session(number))
    until = NOON + 3 * MINUTE
    assert [await store.purge(Removable.CONSOLE_SESSIONS, until, limit=2) for _ in range(3)] == [2, 1, 0]
    assert len(database.table("console_sessions")) == 2
