"""
Idempotency: a request that is repeated gets the answer of the first one, and nothing is done twice.

The answer contains a private key, which must not be stored. So the answer is sealed with a key that is derived from the
request's idempotency key, which is stored nowhere: only the same request can open the answer.

    found by     SHA-256("keywright.idempotency.v1" NUL idempotency-key), within the organization
    fingerprint  HMAC-SHA256(HKDF(idempotency-key, info "keywright.idempotency.v2 fingerprint"),
                 issuer NUL subject NUL request content)
    sealed       salt (16 bytes), nonce (12 bytes), AES-256-GCM of the answer, with the key
                 HKDF(idempotency-key, salt, info "keywright.idempotency.v1 answer")
                 and as associated data the organization's id, the digest above, and the fingerprint

HKDF is that of RFC 5869 with SHA-256 and an output of 32 bytes.

Another subject with the same idempotency key is refused as another request: it gets no private key, and the first
request is not done a second time. An earlier version wrote fingerprints of the request content alone (info
"keywright.idempotency.v1 fingerprint"). Its answers open for any subject of the organization, until they expire after
24 hours.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import NamedTuple
from uuid import UUID

from keywright.service.management.commands import Created
from keywright.service.management.ports import SealedAnswer, Store
from keywright.service.management.refusals import Refused
from keywright.service.ports import Clock, Entropy
from keywright.service.principal import Principal
from keywright.service.sealing import derive, seal, unseal

KEPT = timedelta(hours=24)
"""How long an answer can be replayed."""

WAIT_SECONDS = 10.0
"""How long a request waits for the same request that is running in this process."""

_NAME = b"keywright.idempotency."
_ANSWER = _NAME + b"v1 answer"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """
    A request with an idempotency key, which may be repeated.

    Args:
        key: The idempotency key, 22 to 255 printable ASCII characters. It is a secret: it opens the answer.
        content: The request in its canonical form: operation, path and body.
        render: Writes the answer, private key and headers included. It is called before anything is stored, and its
            bytes are sealed.
    """

    key: str
    content: bytes
    render: Callable[[Created], bytes]


@dataclass(frozen=True, slots=True)
class Answered:
    """The rendered answer to an idempotent request; `replayed` where an earlier request made it."""

    body: bytes
    replayed: bool


Seal = Callable[[Created, datetime], SealedAnswer | None]
"""Seals the answer of a moment; None for a request without an idempotency key."""

Attempt = Callable[[Seal], Awaitable[Created | Refused | None]]
"""Makes the change and stores the sealed answer with it; None, and no change, where an answer was stored before."""


def _unsealed(_created: Created, _at: datetime) -> None:
    """Seal nothing: the request cannot be repeated."""


class _Flight(NamedTuple):
    """A running request."""

    fingerprint: bytes
    task: "asyncio.Task[Answered | Refused]"


class Idempotency:
    """
    Makes sure that an idempotent request is done once: in this process, and with the store among all processes.

    Args:
        store: Stores the sealed answers.
        clock: The time.
        entropy: Gives salts and nonces.
        wait_seconds: See `WAIT_SECONDS`.
    """

    def __init__(self, store: Store, *, clock: Clock, entropy: Entropy, wait_seconds: float = WAIT_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._wait_seconds = wait_seconds
        self._flights: dict[tuple[UUID, bytes], _Flight] = {}

    async def once(
        self, principal: Principal, request: IdempotentRequest | None, attempt: Attempt
    ) -> Created | Answered | Refused:
        """
        Run *attempt*, unless the same request was done before.

        Args:
            principal: The principal of the request; only the same subject gets the answer again.
            request: None for a request without an idempotency key.
            attempt: Makes the change, once for every call.

        Raises:
            StorageUnavailable: The change may or may not have been made; the same request may be sent again.
        """
        if request is None:
            return await attempt(_unsealed) or Refused("idempotency_key_in_use")
        sealing = Sealing(principal, request, self._entropy)
        flight_id = (sealing.org_id, sealing.request_digest)
        if (flight := self._flights.get(flight_id)) is not None:
            return await self._join(flight, sealing, attempt)
        # In a task: when this caller disconnects, other callers still get the answer and the change is completed.
        task = asyncio.get_running_loop().create_task(self._run(sealing, attempt), name="answering once")
        self._flights[flight_id] = _Flight(sealing.fingerprint, task)
        task.add_done_callback(lambda done: self._finished(flight_id, done))
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
        # Nothing was stored. A refusal may depend on more than the content, so this request gets its own.
        return await self._run(sealing, attempt)

    async def _run(self, sealing: "Sealing", attempt: Attempt) -> Answered | Refused:
        for _ in range(_ATTEMPTS):
            if (answer := await self._stored(sealing)) is not None:
                return answer
            made = await attempt(sealing.seal)
            if isinstance(made, Refused):
                # Perhaps for what the same request has just done in another process.
                return await self._stored(sealing) or made
            if made is not None:
                return Answered(sealing.answer, replayed=False)
        # Each time another process stored an answer, and it had expired when it was read.
        return Refused("idempotency_key_in_use")

    async def _stored(self, sealing: "Sealing") -> Answered | Refused | None:
        """Give the stored answer to a request; None where there is none."""
        stored = await self._store.sealed_answer(sealing.org_id, sealing.request_digest, self._clock())
        if stored is None:
            return None
        body = sealing.open(stored)
        return Refused("idempotency_key_reused") if body is None else Answered(body, replayed=True)

    def _finished(self, flight_id: tuple[UUID, bytes], done: "asyncio.Task[Answered | Refused]") -> None:
        del self._flights[flight_id]
        if not done.cancelled():
            # Retrieved here, or asyncio reports it as never retrieved when every caller has disconnected.
            done.exception()


class Sealing:
    """
    Seals and opens the answers to one request of one subject, as the module's docstring defines it.

    `answer` is the last sealed answer. It is rendered once, so that a later answer has the same bytes.
    """

    def __init__(self, principal: Principal, request: IdempotentRequest, entropy: Entropy) -> None:
        self.org_id = principal.organization.id
        self.answer = b""
        self._render = request.render
        self._key = request.key.encode("ascii")
        self._entropy = entropy
        self.request_digest = sha256(_NAME + b"v1\0" + self._key).digest()
        bound = f"{principal.issuer}\0{principal.subject}\0".encode() + request.content
        self.fingerprint = hmac_digest(derive(self._key, _NAME + b"v2 fingerprint"), bound, "sha256")
        # A rolling upgrade: the earlier version stores such answers until its last process has stopped.
        self._fingerprint_before = hmac_digest(derive(self._key, _NAME + b"v1 fingerprint"), request.content, "sha256")

    def seal(self, created: Created, at: datetime) -> SealedAnswer:
        """Render and seal the answer of a moment."""
        self.answer = self._render(created)
        sealed = seal(
            self.answer,
            secret=self._key,
            info=_ANSWER,
            associated=self._associated(self.fingerprint),
            entropy=self._entropy,
        )
        return SealedAnswer(
            request_digest=self.request_digest,
            fingerprint=self.fingerprint,
            sealed=sealed,
            created_at=at,
            expires_at=at + KEPT,
        )

    def open(self, sealed_answer: SealedAnswer) -> bytes | None:
        """Open an answer; None when it belongs to another request or was altered."""
        fingerprint = sealed_answer.fingerprint
        if not (compare_digest(fingerprint, self.fingerprint) or compare_digest(fingerprint, self._fingerprint_before)):
            return None
        associated = self._associated(fingerprint)
        return unseal(sealed_answer.sealed, secret=self._key, info=_ANSWER, associated=associated)

    def _associated(self, fingerprint: bytes) -> bytes:
        return self.org_id.bytes + self.request_digest + fingerprint
