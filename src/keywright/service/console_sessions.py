"""
Sessions of the console: who is signed in, sealed with a secret that only the browser's cookie has.

A session is a row that anybody who reads the database may see: it names no person, and its content opens with the
cookie alone. So a stolen database gives no session, and a deleted row ends one at once.

    cookie    32 random bytes as base64url: 43 characters
    digest    SHA-256("keywright.console.v1" NUL cookie), the primary key
    subject   SHA-256("keywright.console.v1 subject" NUL issuer NUL subject), by which all sessions of one are found
    sealed    `sealing.seal` of the content, with the cookie as secret, info "keywright.console.v1 session", and as
              associated data digest, subject and the end of the session in microseconds since 1970
"""

import json
import re
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

from keywright.service.ports import Clock, Entropy
from keywright.service.sealing import seal, unseal

LONGEST: Final = timedelta(hours=8)
"""How long a session lasts at most; not longer than its access token."""

IDLE: Final = timedelta(minutes=30)
"""How long a session lasts without a request."""

NOTED_EVERY: Final = timedelta(minutes=1)
"""How often the use of a session is written: an idle one ends up to a minute early, and most requests write nothing."""

_NAME = b"keywright.console.v1"
_SECRET_BYTES = 32
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """
    Who has signed in.

    Args:
        issuer: The issuer of the tokens.
        subject: The subject of both tokens.
        name: How the person is called, for the page; the subject where the issuer gives no name.
        organization: How the organization is called, for the page; its id at the issuer where it has no other name.
        access_token: The token with which the session acts.
        id_token: The token that ends the session at the issuer.
    """

    issuer: str
    subject: str
    name: str
    organization: str
    access_token: str
    id_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A row; see the module's docstring. Times are aware, in UTC."""

    digest: bytes
    subject: bytes
    sealed: bytes
    created_at: datetime
    used_at: datetime
    expires_at: datetime


class ConsoleSessionStore(Protocol):
    """
    The port to the stored sessions. An adapter promises every sentence written here.

    Every method raises `StorageUnavailable` where the database is unavailable.
    """

    async def add_console_session(self, session: StoredSession) -> None:
        """Store a new session."""
        ...

    async def find_console_session(self, digest: bytes) -> StoredSession | None:
        """Give the session with this digest, ended or not."""
        ...

    async def note_console_session(self, digest: bytes, used_at: datetime) -> None:
        """Store that a session was used; nothing for one that is gone."""
        ...

    async def end_console_session(self, digest: bytes) -> None:
        """Remove a session."""
        ...

    async def end_console_sessions(self, subject: bytes) -> None:
        """Remove all sessions with this digest of a subject."""
        ...


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that has not ended: who has signed in, and when it ends at the latest."""

    who: SignedIn
    expires_at: datetime


class ConsoleSessions:
    """
    Begins, finds and ends sessions. Cookies are untrusted text of any size.

    Args:
        store: Where they are stored.
        clock: The time.
        entropy: Gives cookies, salts and nonces.
    """

    def __init__(self, store: ConsoleSessionStore, *, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    @staticmethod
    def digest_of(cookie: str) -> bytes | None:
        """Give the digest by which `begin` ends the session of a cookie; None for other text."""
        return _digest(cookie) if _COOKIE.fullmatch(cookie) else None

    async def begin(self, who: SignedIn, *, token_expires_at: datetime, former: bytes | None) -> str:
        """
        Begin a session with a secret of its own, and end the one that the browser had.

        Args:
            who: Who has signed in.
            token_expires_at: When the access token expires.
            former: The digest of the session that the browser had, if any: the new one has another cookie, so that
                whoever knew the former cookie knows nothing of the new one.

        Returns:
            The cookie.
        """
        cookie = urlsafe_b64encode(self._entropy(_SECRET_BYTES)).rstrip(b"=").decode()
        at = self._clock()
        digest, subject = _digest(cookie), _subject(who)
        expires_at = min(at + LONGEST, token_expires_at)
        sealed = seal(
            json.dumps(asdict(who)).encode(),
            secret=cookie.encode(),
            info=_INFO,
            associated=_associated(digest, subject, expires_at),
            entropy=self._entropy,
        )
        await self._store.add_console_session(
            StoredSession(
                digest=digest, subject=subject, sealed=sealed, created_at=at, used_at=at, expires_at=expires_at
            )
        )
        if former is not None:
            await self._store.end_console_session(former)
        return cookie

    async def find(self, cookie: str) -> OpenSession | None:
        """Give the session of a cookie, and note its use; None for one that has ended, or never was."""
        stored = await self._stored(cookie)
        if stored is None:
            return None
        at = self._clock()
        who = self._opened(stored, cookie) if at < min(stored.expires_at, stored.used_at + IDLE) else None
        if who is None:
            return None
        if at >= stored.used_at + NOTED_EVERY:
            await self._store.note_console_session(stored.digest, at)
        return OpenSession(who, stored.expires_at)

    async def end(self, cookie: str) -> None:
        """End one session."""
        if _COOKIE.fullmatch(cookie):
            await self._store.end_console_session(_digest(cookie))

    async def end_all(self, cookie: str) -> SignedIn | None:
        """
        End all sessions of the subject to whom a cookie belongs, in every browser.

        Returns:
            Who was signed in; None where the cookie opens no session. One that was idle for too long still counts: the
            person wants to sign out.
        """
        stored = await self._stored(cookie)
        who = None if stored is None else self._opened(stored, cookie)
        if who is not None:
            await self._store.end_console_sessions(_subject(who))
        return who

    async def _stored(self, cookie: str) -> StoredSession | None:
        return await self._store.find_console_session(_digest(cookie)) if _COOKIE.fullmatch(cookie) else None

    def _opened(self, stored: StoredSession, cookie: str) -> SignedIn | None:
        associated = _associated(stored.digest, stored.subject, stored.expires_at)
        content = unseal(stored.sealed, secret=cookie.encode(), info=_INFO, associated=associated)
        return None if content is None else SignedIn(**json.loads(content))


_INFO = _NAME + b" session"


def _digest(cookie: str) -> bytes:
    return sha256(_NAME + b"\0" + cookie.encode()).digest()


def _subject(who: SignedIn) -> bytes:
    return sha256(_NAME + b" subject\0" + f"{who.issuer}\0{who.subject}".encode()).digest()


def _associated(digest: bytes, subject: bytes, expires_at: datetime) -> bytes:
    return digest + subject + str((expires_at - _EPOCH) // _MICROSECOND).encode()
