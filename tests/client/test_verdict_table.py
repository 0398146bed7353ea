"""
The whole table of verdicts: an in-process verifier, the service's own decision, and a model written down plainly here.

Every combination of what decides is tried, so the table has no corner that nobody looked into.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from math import inf
from typing import Any, NamedTuple

from keywright.client.verifier import Verdict
from keywright.client.verifier._answers import Answer
from keywright.client.verifier._checker import LocalChecker
from keywright.keys.addresses import read_networks
from keywright.keys.pair import mint
from keywright.keys.rate_limits import RateLimit, decide_one
from keywright.keys.verdict import Code, KeyFacts, Requirements, judge
from tests.client.clocks import SetClock
from tests.client.deciding import from_memory, request

TEXT = mint(bytes(32), brand="kw", environment="live").private.reveal()
NOW = 1_800_000_000.0
LIMIT = RateLimit("burst", 2, 60)
WIDE = RateLimit("wide", 100, 60)

# Revoked, and disabled.
STATES = ((False, False), (False, True), (True, False), (True, True))
ENDS = (inf, NOW + 1, NOW, NOW - 1)
RETIREMENTS = (inf, NOW)
ENVIRONMENTS = (None, "live", "sandbox")
GRANTS: tuple[tuple[str, ...], ...] = ((), ("reports:read",), ("reports:*", "*:list"), ("*:*",))
WISHES: tuple[tuple[str, ...], ...] = (
    (),
    ("reports:read",),
    ("reports:read", "users:list"),
    ("reports:*",),
    ("no scope",),
)
PLACES: tuple[tuple[tuple[str, ...], str | None], ...] = (
    ((), None),
    ((), "192.0.2.7"),
    (("192.0.2.0/24", "2001:db8::/32"), None),
    (("192.0.2.0/24", "2001:db8::/32"), "192.0.2.7"),
    (("192.0.2.0/24", "2001:db8::/32"), "::ffff:192.0.2.7"),
    (("192.0.2.0/24", "2001:db8::/32"), "2001:db9::1"),
    (("192.0.2.0/24", "2001:db8::/32"), "not an address"),
)
# The limits of a key, what was spent of them before, and what the request costs.
SPENDINGS: tuple[tuple[tuple[RateLimit, ...], int, int], ...] = (
    ((), 0, 1),
    ((LIMIT,), 0, 2),
    ((LIMIT, WIDE), 2, 1),
    ((LIMIT,), 2, 0),
    ((LIMIT,), 0, 3),
)


class Case(NamedTuple):
    """One row of the table."""

    facts: KeyFacts
    requirements: Requirements
    spent: int
    cost: int


def cases() -> Iterator[Case]:
    columns = (STATES, ENDS, RETIREMENTS, ENVIRONMENTS, GRANTS, WISHES, PLACES, SPENDINGS)
    for (revoked, disabled), expires, retires, environment, granted, wanted, (allowed, ip), (
        limits,
        spent,
        cost,
    ) in itertools.product(*columns):
        facts = KeyFacts(
            id=b"k" * 16,
            org_id=b"o" * 16,
            name="n",
            environment="live",
            revoked=revoked,
            disabled=disabled,
            expires_at=expires,
            retires_at=retires,
            scopes=granted,
            networks=read_networks(allowed),
            rate_limits=limits,
        )
        yield Case(facts, Requirements(environment=environment, scopes=wanted, client_ip=ip), spent, cost)


def plainly(case: Case) -> str:
    """Decide by the words of the documentation, as slowly and simply as it can be said."""
    facts, requirements = case.facts, case.requirements
    if facts.retires_at <= NOW:
        return "replaced"
    if facts.revoked:
        return "revoked"
    if facts.disabled:
        return "disabled"
    if facts.expires_at <= NOW:
        return "expired"
    if requirements.environment not in (None, "live"):
        return "wrong_environment"
    if not all(any(covers(grant, wish) for grant in facts.scopes) for wish in requirements.scopes):
        return "insufficient_scope"
    if facts.allowed_ips and not lies_in(requirements.client_ip, facts.allowed_ips):
        return "ip_not_allowed"
    if case.cost and any(case.spent + case.cost > limit.limit for limit in facts.rate_limits):
        return "rate_limited"
    return "valid"


def covers(grant: str, wish: str) -> bool:
    if wish.count(":") != 1:
        return False
    return all(given in ("*", wanted) for given, wanted in zip(grant.split(":"), wish.split(":"), strict=True))


def lies_in(text: str | None, networks: tuple[str, ...]) -> bool:
    if text is None or not text.replace("::ffff:", "").replace(":", "").replace(".", "").isalnum():
        return False
    address = ip_address(text.replace("::ffff:", ""))
    return any(address in ip_network(network) for network in networks)


def by_the_service(case: Case) -> str:
    """Decide as the service does: the shared decision first, then what the limits say."""
    code = judge(case.facts, case.requirements, NOW)
    if code is not Code.VALID:
        return code.value
    for limit in case.facts.rate_limits:
        before = decide_one(limit, 0.0, NOW, case.spent).full_at
        if not decide_one(limit, before, NOW, case.cost).allowed:
            return Code.RATE_LIMITED.value
    return code.value


class InProcess:
    """A verifier's decisions on one key, whose facts come from an answer."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.checker = LocalChecker(
            brand="kw", capacity=10, outage_seconds=0, clock=self.clock, wall=SetClock(NOW), limit_share=1.0
        )
        self.checker.synced(self.clock.now)

    def asked(self, case: Case) -> tuple[Any, ...]:
        return case.requirements.scopes, case.requirements.environment, case.requirements.client_ip, None, False

    def by_a_fresh_answer(self, case: Case) -> Verdict | None:
        """Decide by what the service says of the key, which was asked without being told what the request wants."""
        self.forget()
        self.hold(case.facts)
        self.decide_one(case)
        said = judge(case.facts, Requirements(client_ip=case.requirements.client_ip), NOW)
        return self.tell(Answer(code=said, facts=case.facts, complete=True), case)

    def from_memory(self, case: Case) -> Verdict | None:
        """Decide by the cache."""
        self.forget()
        self.hold(case.facts)
        self.decide_one(case)
        return from_memory(self.checker, TEXT, *self.asked(case), case.cost)

    def forget(self) -> None:
        self.checker.forget()
        self.checker.synced(self.clock.now)

    def hold(self, facts: KeyFacts) -> None:
        asking = request(TEXT)
        self.checker.end(self.checker.begin(asking), Answer(code=Code.VALID, facts=facts, complete=True))

    def decide_one(self, case: Case) -> None:
        """Let other requests use up the limit first, whatever rule would refuse this one."""
        if case.spent:
            free = replace(case.facts, revoked=False, disabled=False, expires_at=inf, retires_at=inf, networks=())
            self.tell(
                Answer(code=Code.VALID, facts=free, complete=True),
                case._replace(requirements=Requirements(), cost=case.spent),
            )

    def tell(self, answer: Answer, case: Case) -> Verdict | None:
        return self.checker.answered(request(TEXT, *self.asked(case), case.cost), answer)


def test_the_whole_table() -> None:
    """
    For every combination, an in-process verifier gives the verdict that the service gives and that the model expects:
    by an answer of the service, from memory, and once more with the same words, where a ready verdict may be given.
    """
    verifier, seen = InProcess(), dict.fromkeys(Code, 0)
    for case in cases():
        expected = plainly(case)
        assert by_the_service(case) == expected, case
        fresh, held = verifier.by_a_fresh_answer(case), verifier.from_memory(case)
        assert fresh is not None
        assert held is not None
        assert (fresh.code.value, held.code.value) == (expected, expected), case
        if not case.facts.rate_limits:
            again = from_memory(verifier.checker, TEXT, *verifier.asked(case), case.cost)
            assert again is not None
            assert again.code.value == expected, case
        seen[held.code] += 1
    assert sum(seen.values()) >= 10_000
    # Every verdict but one stands in the table many times; that one is for texts that are no key.
    assert seen.pop(Code.NOT_FOUND) == 0
    assert min(seen.values()) > 50, seen
