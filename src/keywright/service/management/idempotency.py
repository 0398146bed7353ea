"""
Idempotency: a request that is repeated gets the answer of the first one, and nothing is done twice.

The answer holds a private key, which must not lie in a database. So it is stored sealed with a key that is made of the
request's own idempotency key, which is stored nowhere: only whoever repeats the request can have the answer opened.

    found by     SHA-256("keywright.idempotency.v1" NUL idempotency-key), within the organization
    fingerprint  HMAC-SHA256(HKDF(idempotency-key, info "keywright.idempotency.v1 fingerprint"), what was asked)
    sealed       salt (16 bytes), nonce (12 bytes), AES-256-GCM of the answer, with the key
                 HKDF(idempotency-key, salt, info "keywright.idempotency.v1 answer")
                 and as associated data the organization's id, what it is found by, and the fingerprint

HKDF is that of RFC 5869 with SHA-256, 32 bytes long.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Literal, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keywright.service.management.commands import Created
from keywright.service.management.ports import SealedAnswer, Store
from keywright.service.management.refusals import Refused
from keywright.service.ports import Clock, Entropy

KEPT = timedelta(hours=24)
"""How long an answer can be had again."""

WAIT_SECONDS = 10.0
"""How long a request waits for the same one that is under way in this process."""

_DOMAIN = b"keywright.idempotency.v1"
_SALT_BYTES = 16
_NONCE_BYTES = 12
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """
    A request with an idempotency key, which may be repeated.

    Args:
        key: The idempotency key, 22 to 255 printable ASCII characters; whoever knows it can have the answer opened.
        content: The request in one canonical form: operation, path and body.
        render: Gives what is answered, private key included, and whatever else is needed to answer the same again. It
            is called before anything is stored, and its bytes are sealed.
    """

    key: str
    content: bytes
    render: Callable[[Created], bytes]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to an idempotent request, as it was rendered; `replayed` where this one did nothing."""

    body: bytes
    replayed: bool


Seal = Callable[[Created, datetime], SealedAnswer | None]
"""Seals what is answered at a moment; None where the request cannot be repeated."""

Attempt = Callable[[Seal], Awaitable[Created | Refused | None]]
"""Makes the change and stores the sealed answer with it; changes nothing and gives None where one is stored already."""


class _Flight(NamedTuple):
    """A request under way."""

    fingerprint: bytes
    task: "asyncio.Task[Answered | Refused]"


class Idempotency:
    """
    Has an idempotent request done once: in this process, and with the help of the store among all processes.

    Args:
        store: Where the answers lie, sealed.
        clock: The time.
        entropy: For salts and nonces.
        wait_seconds: See `WAIT_SECONDS`.
    """

    def __init__(self, store: Store, *, clock: Clock, entropy: Entropy, wait_seconds: float = WAIT_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._wait_seconds = wait_seconds
        self._flights: dict[tuple[UUID, bytes], _Flight] = {}

    async def once(
        self, org_id: UUID, request: IdempotentRequest | None, attempt: Attempt
    ) -> Created | Answered | Refused:
        """
        Have *attempt* do what is asked, unless it was done before.

        Args:
            org_id: Whose request it is.
            request: None for one without an idempotency key.
            attempt: Does it, once for every call.

        Raises:
            StorageUnavailable: It may or may not have been done; the same request tells.
        """
        if request is None:
            return await attempt(lambda _created, _at: None) or Refused("idempotency_key_in_use")
        sealing = Sealing(org_id, request, self._entropy)
        place = (org_id, sealing.request_digest)
        if (flight := self._flights.get(place)) is not None:
            return await self._join(flight, sealing, attempt)
        # A task of its own: a caller that goes away takes nobody's answer along, and leaves nothing half done.
        task = asyncio.get_running_loop().create_task(self._run(sealing, attempt), name="answering once")
        self._flights[place] = _Flight(sealing.fingerprint, task)
        task.add_done_callback(lambda done: self._landed(place, done))
        await asyncio.wait([task])
        return task.result()

    async def _join(self, flight: _Flight, sealing: "Sealing", attempt: Attempt) -> Answered | Refused:
        if not compare_digest(flight.fingerprint, sealing.fingerprint):
            return Refused("idempotency_key_reused")
        await asyncio.wait([flight.task], timeout=self._wait_seconds)
        if not flight.task.done():
            return Refused("idempotency_key_in_use")
        if not flight.task.cancelled():
            answer = flight.task.result()
            if isinstance(answer, Answered):
                return Answered(answer.body, replayed=True)
        # Nothing was stored. A refusal may depend on more than what both said, so each gets one of its own.
        return await self._run(sealing, attempt)

    async def _run(self, sealing: "Sealing", attempt: Attempt) -> Answered | Refused:
        for _ in range(_ATTEMPTS):
            stored = await self._store.sealed_answer(sealing.org_id, sealing.request_digest, self._clock())
            if stored is not None:
                body = sealing.open(stored)
                return Refused("idempotency_key_reused") if body is None else Answered(body, replayed=True)
            made = await attempt(sealing.seal)
            if isinstance(made, Refused):
                return made
            if made is not None:
                return Answered(sealing.answer, replayed=False)
        # Stored by others again and again, and gone again each time we looked.
        return Refused("idempotency_key_in_use")

    def _landed(self, place: tuple[UUID, bytes], done: "asyncio.Task[Answered | Refused]") -> None:
        del self._flights[place]
        if not done.cancelled():
            # Seen here, so that it is not reported as lost when every caller has gone away.
            done.exception()


class Sealing:
    """
    Seals and opens the answers to one request of one organization, as the module's docstring writes it down.

    `answer` is what was sealed last: what is sent now and what is sent later are the same bytes, rendered once.
    """

    def __init__(self, org_id: UUID, request: IdempotentRequest, entropy: Entropy) -> None:
        self.org_id = org_id
        self.answer = b""
        self._render = request.render
        self._key = request.key.encode("ascii")
        self._entropy = entropy
        self.request_digest = sha256(_DOMAIN + b"\0" + self._key).digest()
        self.fingerprint = hmac_digest(self._derive("fingerprint", None), request.content, "sha256")

    def seal(self, created: Created, at: datetime) -> SealedAnswer:
        """Render and seal what is answered at a moment."""
        self.answer = self._render(created)
        salt, nonce = self._entropy(_SALT_BYTES), self._entropy(_NONCE_BYTES)
        sealed = AESGCM(self._derive("answer", salt)).encrypt(nonce, self.answer, self._associated)
        return SealedAnswer(
            request_digest=self.request_digest,
            fingerprint=self.fingerprint,
            sealed=salt + nonce + sealed,
            created_at=at,
            expires_at=at + KEPT,
        )

    def open(self, sealed_answer: SealedAnswer) -> bytes | None:
        """Open an answer; None when it answers something else, or is not what was sealed."""
        if not compare_digest(sealed_answer.fingerprint, self.fingerprint):
            return None
        salt, rest = sealed_answer.sealed[:_SALT_BYTES], sealed_answer.sealed[_SALT_BYTES:]
        nonce, sealed = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            return AESGCM(self._derive("answer", salt)).decrypt(nonce, sealed, self._associated)
        except (InvalidTag, ValueError):
            # The latter where too little is left of it to hold a nonce.
            return None

    @property
    def _associated(self) -> bytes:
        return self.org_id.bytes + self.request_digest + self.fingerprint

    def _derive(self, use: Literal["answer", "fingerprint"], salt: bytes | None) -> bytes:
        info = _DOMAIN + b" " + use.encode()
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(self._key)
