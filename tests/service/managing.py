"""Management on a store in memory, for the tests of the use cases."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.commands import Created, NewKey, Policy
from keywright.service.management.idempotency import Idempotency, IdempotentRequest
from keywright.service.management.management import Management
from keywright.service.management.refusals import Refused
from keywright.service.principal import Organization, Principal
from keywright.service.turns import Turns
from tests.service.fake_store import FakeStore

NOW = datetime(2026, 11, 23, 12, 0, 0, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
ISSUER = "https://issuer.example/"
ORIGIN = Origin(request_id="request-1", address="192.0.2.1")
ENVIRONMENTS = ("live", "sandbox")
HEADER = "5cbf3a0e-3b8f-4a51-8f0c-1d5a0f3c2b7e"


def turns_for_many() -> Turns:
    """Give turns that none of these tests has to wait for, on a clock that stands."""
    return Turns(lambda: 0.0, most=100, alone=100, together=100, longest=0, longest_of_share=0)


def principal_of(organization: str) -> Principal:
    return Principal(
        issuer=ISSUER,
        subject="auth0|alice",
        client_id="dashboard",
        organization=Organization.named(ISSUER, organization),
        granted=None,
    )


ALICE = principal_of("org_acme")
BOB = principal_of("org_globex")


def idempotent_request(content: bytes = b"POST /api-keys {}", key: str = HEADER) -> IdempotentRequest:
    """An idempotent request; its answer is the private key and nothing else."""
    return IdempotentRequest(key, content, lambda created: created.private_key.reveal().encode())


class Scenario:
    """A store, a clock that is moved by hand, and one process of the service."""

    def __init__(self, store: FakeStore | None = None, **policy: Any) -> None:
        self.store = store or FakeStore()
        self.now = NOW
        self._numbers = iter(range(1, 100_000))
        self.policy = Policy(environments=ENVIRONMENTS, **policy)
        self.management = self.process()

    def process(self, wait_seconds: float = 10.0) -> Management:
        """Another process on the same store, or the same one started anew."""
        return Management(
            store=self.store,
            clock=lambda: self.now,
            entropy=self.entropy,
            new_id=lambda: UUID(int=next(self._numbers)),
            brand="kw",
            policy=self.policy,
            idempotency=Idempotency(
                self.store, clock=lambda: self.now, entropy=self.entropy, wait_seconds=wait_seconds
            ),
            turns=turns_for_many(),
        )

    def entropy(self, count: int) -> bytes:
        return next(self._numbers).to_bytes(count, "big")

    async def create(self, **fields: Any) -> Created:
        """Create a key for Alice's organisation, which has to succeed."""
        return made(await self.management.create(ALICE, ORIGIN, NewKey(**{"name": "name", **fields})))

    async def rotate(self, key_id: UUID, **options: Any) -> Created:
        """Rotate a key of Alice's organisation, which has to succeed."""
        given = {"overlap_seconds": None, "idle_seconds": None, **options}
        return made(await self.management.rotate(ALICE, ORIGIN, key_id, **given))

    def once_meanwhile(self, change: Callable[[], None]) -> None:
        """Have somebody else be first, once."""

        def first() -> None:
            self.store.meanwhile = lambda: None
            change()

        self.store.meanwhile = first


def made(result: object) -> Created:
    """Give what was created; anything else is a failure."""
    assert isinstance(result, Created), result
    return result


def flaws_of(result: object) -> list[tuple[str, str, tuple[str | int, ...]]]:
    """Give field, word and place of the flaws for which something was refused."""
    assert isinstance(result, Refused), result
    assert result.code == "validation_failed"
    assert all(flaw.msg.endswith(".") for flaw in result.flaws)
    return [(flaw.field, flaw.type, flaw.path) for flaw in result.flaws]


def an_event(type_: EventType, number: int, **fields: Any) -> Event:
    """Give an event of Alice's at `NOW`, with a number for its id and its key; *fields* replace others."""
    given = {
        "id": UUID(int=number),
        "type": type_,
        "org_id": ALICE.organization.id,
        "key_id": UUID(int=number),
        "occurred_at": NOW,
        "issuer": ALICE.issuer,
        "subject": ALICE.subject,
        "client_id": ALICE.client_id,
        "origin": ORIGIN,
    }
    return Event(**{**given, **fields})
