"""The verdict."""

import random
from collections import Counter
from datetime import UTC, datetime
from math import inf

import pytest

from keywright.keys.addresses import read_networks
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, Requirements, explain, judge

NOW = 1_000_000.0


def facts(**changes: object) -> KeyFacts:
    return KeyFacts(**{"id": b"k" * 16, "org_id": b"o" * 16, "name": "n", "environment": "live", **changes})  # type: ignore[arg-type]


INSIDE = {
    "192.0.2.0/24": {"192.0.2.1", "::ffff:192.0.2.1"},
    "198.51.100.7/32": {"198.51.100.7"},
    "2001:db8::/32": {"2001:db8::1"},
    "::/0": {"2001:db8::1", "2001:db9::1"},
}
ADDRESSES = [None, "", "somewhere", "203.0.113.9", *sorted(set[str]().union(*INSIDE.values()))]
SCOPES = ["a:read", "a:write", "b:read", "a:*", "*:read", "*:*", "nothing"]


def plainly(key: KeyFacts, requirements: Requirements) -> str:
    """A second reading of the rules, in their order, in the plainest words."""

    def grants(has: str, wants: str) -> bool:
        if wants == "nothing":
            return False
        (has_resource, has_action), (resource, action) = has.split(":"), wants.split(":")
        return has_resource in {"*", resource} and has_action in {"*", action}

    refused = [
        ("replaced", key.retires_at <= NOW),
        ("revoked", key.revoked),
        ("disabled", key.disabled),
        ("expired", key.expires_at <= NOW),
        ("wrong_environment", requirements.environment not in (None, key.environment)),
        ("insufficient_scope", not all(any(grants(has, wants) for has in key.scopes) for wants in requirements.scopes)),
        (
            "ip_not_allowed",
            bool(key.networks) and not any(requirements.client_ip in INSIDE[net] for net in key.allowed_ips),
        ),
    ]
    return next((word for word, applies in refused if applies), "valid")


@pytest.mark.parametrize(
    "expires_at", [datetime(2026, 12, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_every_expiry_is_a_time(expires_at: datetime) -> None:
    """The expiry of a key is read back to the next number of a float, also the last one, which a float rounds up."""
    expiry = facts(expires_at=expires_at.timestamp()).expiry
    assert expiry is not None
    assert abs((expiry - expires_at).total_seconds()) < 4e-5
    assert facts().expiry is None


def test_the_first_rule_that_refuses_is_the_verdict() -> None:
    """In 20,000 combinations of all conditions the verdict is that of a second reading of the rules."""
    chance = random.Random(2026)
    ends = [NOW - 1, NOW, NOW + 1e-6, NOW + 1, inf, inf, inf]
    seen: Counter[str] = Counter()
    for _ in range(20_000):
        key = facts(
            revoked=chance.random() < 0.1,
            disabled=chance.random() < 0.1,
            expires_at=chance.choice(ends),
            retires_at=chance.choice(ends),
            environment=chance.choice(["live", "sandbox"]),
            scopes=tuple(chance.sample(SCOPES[:-1], chance.choice([0, 1, 2, 3]))),
            networks=read_networks(chance.sample(list(INSIDE), chance.choice([0, 0, 1, 2]))),
            rate_limits=chance.choice([(), (RateLimit("r", 1, 1),)]),
        )
        requirements = Requirements(
            environment=chance.choice([None, None, "live", "sandbox"]),
            scopes=tuple(chance.sample(SCOPES, chance.choice([0, 0, 1, 2]))),
            client_ip=chance.choice(ADDRESSES),
        )
        asked = chance.choice([requirements, requirements, requirements, NO_REQUIREMENTS])
        verdict = judge(key, asked, NOW)
        assert verdict == plainly(key, asked), (key, asked)
        # Whoever is refused is told why, and nobody else.
        assert (explain(verdict, key, asked) is None) is (verdict is Code.VALID)
        seen[verdict] += 1
    # Each of them was decided often: none of the rules went untried.
    assert set(seen) == set(Code) - {Code.NOT_FOUND, Code.RATE_LIMITED}
    assert min(seen.values()) > 250, seen


def test_a_secret_that_has_ended() -> None:
    """The verdict on it depends on nothing that can change, so that a cached one is as good as a new one."""
    for changed in ({}, {"revoked": True}, {"expires_at": NOW}, {"networks": read_networks(["192.0.2.0/24"])}):
        ended = facts(retires_at=NOW, **changed)
        verdict = judge(ended, Requirements(environment="sandbox", scopes=("b:read",)), NOW)
        assert verdict is Code.REPLACED
        assert explain(verdict, ended, NO_REQUIREMENTS) == explain(verdict, facts(retires_at=NOW), NO_REQUIREMENTS)


def test_what_is_not_known() -> None:
    """A key that is not known is not found, whatever is asked of it, and nothing is explained."""
    for requirements in (NO_REQUIREMENTS, Requirements(environment="live", scopes=("a:read",))):
        assert judge(None, requirements, NOW) is Code.NOT_FOUND
        assert explain(Code.NOT_FOUND, None, requirements) is None


def test_asking_for_nothing() -> None:
    """The shortcut for requests that ask for nothing decides like an ask that says so."""
    for key in (facts(), facts(revoked=True), facts(expires_at=NOW)):
        assert judge(key, NO_REQUIREMENTS, NOW) is judge(key, Requirements(), NOW)


@pytest.mark.parametrize(
    ("key", "requirements", "words"),
    [
        (facts(revoked=True), NO_REQUIREMENTS, ("revoked", "Another key")),
        (facts(disabled=True, expires_at=NOW), NO_REQUIREMENTS, ("disabled", "enabled")),
        (facts(expires_at=NOW), NO_REQUIREMENTS, ("expired", "later expiry")),
        (facts(retires_at=NOW), NO_REQUIREMENTS, ("replaced by a rotation", "new secret")),
        (facts(expires_at=NOW, retires_at=NOW), NO_REQUIREMENTS, ("replaced by a rotation", "new secret")),
        (facts(), Requirements(environment="sandbox"), ("live", "sandbox")),
        (facts(networks=read_networks(["192.0.2.0/24"])), NO_REQUIREMENTS, ("not known", "192.0.2.0/24")),
        (
            facts(networks=read_networks(["192.0.2.0/24"])),
            Requirements(client_ip="192.0.3.1"),
            ("another address", "192.0.2.0/24"),
        ),
        (facts(scopes=("a:read",)), Requirements(scopes=("a:read", "a:write")), ("a:write", "a:read, a:write")),
    ],
)
def test_explanations(key: KeyFacts, requirements: Requirements, words: tuple[str, str]) -> None:
    """An explanation names the rule that refused and what would pass."""
    explanation = explain(judge(key, requirements, NOW), key, requirements)
    assert explanation is not None
    assert words[0] in explanation.reason
    assert words[1] in explanation.would_pass


def test_nothing_to_explain() -> None:
    """A valid key has no explanation; that of a used-up limit says to retry."""
    assert explain(Code.VALID, facts(), NO_REQUIREMENTS) is None
    spent = explain(Code.RATE_LIMITED, facts(), NO_REQUIREMENTS)
    assert spent is not None
    assert "spent" in spent.reason


def test_the_words() -> None:
    """The codes are part of the contract."""
    assert [code.value for code in Code] == [
        "valid",
        "not_found",
        "revoked",
        "disabled",
        "expired",
        "replaced",
        "wrong_environment",
        "insufficient_scope",
        "ip_not_allowed",
        "rate_limited",
    ]


def test_equal_facts_have_one_hash() -> None:
    """Facts may be a key of a dict: equal ones are one entry, whatever they weigh, and different ones are two."""
    assert facts(weight=3) == facts(weight=7)
    assert len({facts(weight=3), facts(weight=7), facts(name="other")}) == 2
