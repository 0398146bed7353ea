"""All that checking stands on, with a store, a count of limits and clocks under a test's control."""

from uuid import UUID

from keywright.api.verify import bodies, proxy_answers
from keywright.api.verify.callers import Callers
from keywright.keys.cache import KeyCache, preparing
from keywright.keys.pair import mint, mint_credential
from keywright.keys.usage import UsageBook, UsageRecord
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.failure_limit import FailureLimit
from keywright.service.checking.verification import Verification
from keywright.service.faults import InvalidToken
from keywright.service.principal import Organization, Permission, Principal
from keywright.service.verifiers import Verifier, VerifierCache, Verifiers
from tests.service.fake_checking_store import NOW, FakeCheckingStore, FakeTime
from tests.service.fake_rate_limiter import FakeRateLimiter
from tests.service.making_checkers import Verdicts, a_checker

PAIR = mint(bytes(range(32)), brand="kw", environment="live")
KEY = PAIR.private.reveal()
OTHER_KEY = mint(b"o" * 32, brand="kw", environment="live").private.reveal()
VERIFIER_ID = UUID(int=1)
CREDENTIAL = mint_credential(b"v" * 32, brand="kw")
FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live", scopes=("orders:read", "orders:write"))
NOW_SECONDS = 1_000_000.0
OUTAGE_SECONDS = 60.0
TOKEN, FOREIGN_TOKEN = "token.of.ours", "token.of.others"


class TwoTokens:
    """Knows a token of the organisation of `FACTS`, and one of another; both may check keys."""

    async def authenticate(self, token: str) -> Principal:
        organizations = {TOKEN: FACTS.org_id, FOREIGN_TOKEN: b"x" * 16}
        if token not in organizations:
            raise InvalidToken("It is not known.")
        return Principal(
            issuer="https://id.acme.example/",
            subject="service",
            client_id=None,
            organization=Organization(UUID(bytes=organizations[token]), "https://id.acme.example/", token),
            granted=frozenset({Permission.VERIFY.value}),
        )


class CheckingPlane:
    """One key that is known to the store, one verifier, and what checks the one for the other."""

    def __init__(self) -> None:
        self.store, self.time, self.usage = FakeCheckingStore(), FakeTime(), UsageBook()
        self.epoch = FakeTime(NOW_SECONDS)
        self.cache = KeyCache(100, prepare=preparing(bodies.prepare, proxy_answers.prepare))
        self.verifier_cache = VerifierCache(10)
        self.limiter = FakeRateLimiter(self.time)
        self.store.facts[PAIR.private.digest] = FACTS
        self.store.verifier_by_digest[CREDENTIAL.digest] = Verifier(
            id=VERIFIER_ID, name="edge", display=CREDENTIAL.display, created_at=NOW
        )
        self.verifiers = Verifiers(
            store=self.store, cache=self.verifier_cache, clock=lambda: NOW, monotonic=self.time, entropy=bytes,
            new_id=lambda: VERIFIER_ID, brand="kw", outage_seconds=OUTAGE_SECONDS,
        )  # fmt: skip
        self.callers = Callers(self.verifiers, TwoTokens(), brand="kw")
        self.failures = FailureLimit()
        self.verdicts = Verdicts()
        verification = Verification(
            self.store, self.cache, brand="kw", now=self.epoch, monotonic=self.time, outage_seconds=OUTAGE_SECONDS
        )
        self.checker = a_checker(
            verification, self.time, now=self.epoch, usage=self.usage, failures=self.failures, limiter=self.limiter,
            verdicts=self.verdicts,
        )  # fmt: skip

    def uses(self) -> list[UsageRecord]:
        """Take the uses that were noted."""
        return [record for batch in self.usage.take_all() for record in batch]

    def follow(self) -> None:
        """Sync the caches: they are fresh from now on."""
        self.cache.synced(self.time())
        self.verifier_cache.synced(self.time())
