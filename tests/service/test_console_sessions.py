"""Sessions of the console, on a store in memory."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from keywright.service.console_sessions import (
    IDLE,
    LONGEST,
    NOTED_EVERY,
    ConsoleSessions,
    SignedIn,
    StoredSession,
)

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANNA = SignedIn(
    issuer="https://acme.eu.auth0.com/",
    subject="auth0|anna",
    name="Anna",
    organization="Acme",
    access_token="access.of.anna",
    id_token="id.of.anna",
)
BEN = replace(ANNA, subject="auth0|ben", name="Ben")


@dataclass
class Sessions:
    """The sessions and all around them; it is the store, too."""

    at: datetime = NOON
    rows: dict[bytes, StoredSession] = field(default_factory=dict)
    notes: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.sessions = ConsoleSessions(self, clock=lambda: self.at, entropy=self.entropy)

    def entropy(self, count: int) -> bytes:
        return next(self.numbers).to_bytes(count)

    async def begin(self, who: SignedIn = ANNA, former: str | None = None, lasts: timedelta = 2 * LONGEST) -> str:
        return await self.sessions.begin(
            who, token_expires_at=self.at + lasts, former=self.sessions.digest_of(former or "")
        )

    async def found(self, cookie: str) -> SignedIn | None:
        session = await self.sessions.find(cookie)
        return None if session is None else session.who

    async def add_console_session(self, session: StoredSession) -> None:
        self.rows[session.digest] = session

    async def find_console_session(self, digest: bytes) -> StoredSession | None:
        return self.rows.get(digest)

    async def note_console_session(self, digest: bytes, used_at: datetime) -> None:
        self.notes += 1
        self.rows[digest] = replace(self.rows[digest], used_at=used_at)

    async def end_console_session(self, digest: bytes) -> None:
        self.rows.pop(digest, None)

    async def end_console_sessions(self, subject: bytes) -> None:
        self.rows = {digest: row for digest, row in self.rows.items() if row.subject != subject}


@pytest.fixture
def stage() -> Sessions:
    return Sessions()


async def test_begins(stage: Sessions) -> None:
    """The cookie of a new session has 43 characters and finds who signed in."""
    cookie = await stage.begin()
    assert len(cookie) == 43
    session = await stage.sessions.find(cookie)
    assert session is not None
    assert (session.who, session.expires_at) == (ANNA, NOON + LONGEST)


async def test_a_row_tells_nothing(stage: Sessions) -> None:
    """No row contains the cookie, a token, the name or the subject."""
    cookie = await stage.begin()
    (row,) = stage.rows.values()
    for secret in (cookie, ANNA.access_token, ANNA.id_token, ANNA.name, ANNA.organization, ANNA.subject):
        assert secret.encode() not in row.digest + row.subject + row.sealed


@pytest.mark.parametrize("cookie", ["", "x" * 42, "x" * 44, "x" * 43, "é" * 43, "x" * 42 + "\n"])
async def test_other_cookies(stage: Sessions, cookie: str) -> None:
    """Any other text finds no session, ends none and is no error."""
    await stage.begin()
    assert await stage.found(cookie) is None
    assert await stage.sessions.end_all(cookie) is None
    await stage.sessions.end(cookie)
    assert len(stage.rows) == 1


async def test_idle(stage: Sessions) -> None:
    """A session ends half an hour after its last use, and not before while it is used."""
    cookie = await stage.begin()
    for _ in range(4):
        stage.at += IDLE - SECOND
        assert await stage.found(cookie) == ANNA
    stage.at += IDLE
    assert await stage.found(cookie) is None


async def test_longest(stage: Sessions) -> None:
    """A session that is used all the time ends after eight hours."""
    cookie = await stage.begin()
    while stage.at < NOON + LONGEST:
        assert await stage.found(cookie) == ANNA
        stage.at += IDLE / 2
    assert await stage.found(cookie) is None


async def test_not_longer_than_its_token(stage: Sessions) -> None:
    """A session ends with the access token that it acts with."""
    cookie = await stage.begin(lasts=timedelta(minutes=10))
    stage.at += timedelta(minutes=10) - SECOND
    assert await stage.found(cookie) == ANNA
    stage.at += SECOND
    assert await stage.found(cookie) is None


async def test_uses_are_written_seldom(stage: Sessions) -> None:
    """The use of a session is written once a minute."""
    cookie = await stage.begin()
    for _ in range(6):
        stage.at += NOTED_EVERY / 3
        await stage.found(cookie)
    assert stage.notes == 2


async def test_a_new_session_replaces_the_former(stage: Sessions) -> None:
    """A sign-in has a cookie of its own and ends the session that the browser had: fixation is of no use."""
    former = await stage.begin()
    cookie = await stage.begin(BEN, former=former)
    assert cookie != former
    assert await stage.found(former) is None
    assert await stage.found(cookie) == BEN


async def test_a_malformed_former_cookie(stage: Sessions) -> None:
    """A strange cookie has no digest, so a sign-in in its browser ends nothing."""
    other = await stage.begin()
    assert stage.sessions.digest_of("strange") is None
    await stage.begin(BEN, former="strange")
    assert await stage.found(other) == ANNA


async def test_end(stage: Sessions) -> None:
    """One session ends; another one of the same person goes on."""
    cookie, other = await stage.begin(), await stage.begin()
    await stage.sessions.end(cookie)
    assert await stage.found(cookie) is None
    assert await stage.found(other) == ANNA


async def test_end_all(stage: Sessions) -> None:
    """All sessions of a subject end, whichever of them asks; those of others go on."""
    cookie, other, ben = await stage.begin(), await stage.begin(), await stage.begin(BEN)
    assert await stage.sessions.end_all(cookie) == ANNA
    assert [await stage.found(each) for each in (cookie, other, ben)] == [None, None, BEN]
    assert await stage.sessions.end_all(cookie) is None


async def test_end_all_of_an_idle_session(stage: Sessions) -> None:
    """A person who comes back too late can still sign out everywhere."""
    cookie = await stage.begin()
    stage.at += 2 * IDLE
    assert await stage.sessions.end_all(cookie) == ANNA


@pytest.mark.parametrize("moved", ["digest", "subject", "expires_at"])
async def test_a_row_cannot_be_altered(stage: Sessions, moved: str) -> None:
    """A row whose subject, end or content was changed in the database opens no more."""
    cookie = await stage.begin()
    ((digest, row),) = stage.rows.items()
    changed = NOON + 2 * LONGEST if moved == "expires_at" else b"x" * 32
    stage.rows[digest] = replace(row, **{moved: changed})
    assert await stage.found(cookie) is None
    assert await stage.sessions.end_all(cookie) is None
