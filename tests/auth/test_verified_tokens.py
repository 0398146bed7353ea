import pytest

from keywright.auth.access_token import VerifiedTokens
from keywright.service.principal import Organization, Principal

WHO = Principal(
    issuer="https://i/", subject="s", client_id=None, organization=Organization.named("https://i/", "o"), granted=None
)


def remembering(*tokens: bytes, capacity: int = 10) -> VerifiedTokens:
    verified = VerifiedTokens(capacity)
    for token in tokens:
        verified.add(token, WHO, generation=1, now=1000, expires=2000)
    return verified


@pytest.mark.parametrize(("now", "found"), [(999, False), (1000, True), (1059, True), (1060, False)])
def test_a_minute_at_most(now: float, found: bool) -> None:
    """A token is remembered for 60 s, and not when the clock stands before the time it was verified."""
    assert (remembering(b"a").find(b"a", generation=1, now=now) is WHO) is found


def test_never_past_its_expiry() -> None:
    """A token that expires sooner is remembered until then, and one in its leeway not at all."""
    verified = VerifiedTokens()
    verified.add(b"a", WHO, generation=1, now=1000, expires=1010)
    verified.add(b"b", WHO, generation=1, now=1000, expires=1000)
    assert len(verified) == 1
    assert verified.find(b"a", generation=1, now=1009) is WHO
    assert verified.find(b"a", generation=1, now=1010) is None


def test_forgotten_when_over() -> None:
    """What is over takes no room any more."""
    verified = remembering(b"a")
    verified.find(b"a", generation=1, now=1060)
    assert len(verified) == 0


def test_another_token() -> None:
    """Only the very same token is found."""
    assert remembering(b"a").find(b"A", generation=1, now=1000) is None


def test_another_generation() -> None:
    """With another key set nothing is remembered, and it does not come back with the old one."""
    verified = remembering(b"a")
    assert verified.find(b"a", generation=2, now=1000) is None
    assert verified.find(b"a", generation=1, now=1000) is None


def test_bounded() -> None:
    """Beyond its capacity the oldest are forgotten."""
    verified = remembering(*(bytes([n]) for n in range(100)), capacity=10)
    assert len(verified) == 10
    assert [n for n in range(100) if verified.find(bytes([n]), generation=1, now=1000)] == list(range(90, 100))


def test_no_room_at_all() -> None:
    """A memory without room is a mistake."""
    with pytest.raises(ValueError, match="at least 1"):
        VerifiedTokens(0)
