"""The limit on failures by caller and address."""

from uuid import UUID

import pytest

from keywright.service.checking.failure_limit import WIDER, FailureLimit
from keywright.service.checking.verdicts import Caller
from keywright.service.verifiers import Verifier
from tests.service.fake_checking_store import NOW

EDGE = Caller("edge", Verifier(id=UUID(int=1), name="edge", display="kw_vk_…", created_at=NOW), None)
OTHER = Caller("edge", Verifier(id=UUID(int=2), name="edge", display="kw_vk_…", created_at=NOW), None)
ACME, RIVAL, ANYBODY = Caller("acme", None, b"a" * 16), Caller("rival", None, b"r" * 16), Caller("open", None, None)
HERE, NEAR, FAR = "192.0.2.1", "192.0.2.200", "198.51.100.1"


def failed(limit: FailureLimit, caller: Caller, address: str | None, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        limit.note(caller, address, now)


def test_a_network_that_fails_too_often_waits() -> None:
    """A network may fail so often; then it has to wait, all its addresses with it, and other networks do not."""
    limit = FailureLimit(allowed=3)
    for _ in range(3):
        assert not limit.exceeded(EDGE, HERE, 0.0)
        limit.note(EDGE, HERE, 0.0)
    assert limit.exceeded(EDGE, HERE, 1.0)
    assert limit.exceeded(EDGE, NEAR, 1.0)
    assert not limit.exceeded(EDGE, FAR, 1.0)


@pytest.mark.parametrize("others", [OTHER, ACME, RIVAL, ANYBODY])
def test_failures_belong_to_one_caller(others: Caller) -> None:
    """What fails through one verifier or for one organization does not count for another, at the same network."""
    limit = FailureLimit(allowed=3)
    failed(limit, EDGE, HERE, 100)
    assert limit.exceeded(EDGE, HERE, 0.0)
    assert not limit.exceeded(others, HERE, 0.0)


def test_tokens_of_one_organization_are_one_caller() -> None:
    """The tokens of an organization share its buckets, whatever they call themselves."""
    limit = FailureLimit(allowed=3)
    failed(limit, ACME, HERE, 3)
    assert limit.exceeded(ACME._replace(name="another client"), HERE, 0.0)


def test_failures_are_forgotten() -> None:
    """Failures leak out of the bucket over time, at the rate of the limit, however many there were at once."""
    limit = FailureLimit(allowed=3, seconds=60)
    failed(limit, EDGE, HERE, 50)
    assert limit.exceeded(EDGE, HERE, 19.0)
    assert not limit.exceeded(EDGE, HERE, 20.0)
    limit.note(EDGE, HERE, 20.0)
    assert limit.exceeded(EDGE, HERE, 21.0)


def test_an_ipv6_site_has_a_limit_of_its_own() -> None:
    """One /64 takes as much as a /24; networks of one /48 take more together, and then all of it waits."""
    limit = FailureLimit(allowed=3)
    failed(limit, EDGE, "2001:db8:1:1::1", 3)
    assert limit.exceeded(EDGE, "2001:db8:1:1::2", 0.0)
    assert not limit.exceeded(EDGE, "2001:db8:1:2::1", 0.0)
    for number in range(3 * (WIDER - 1)):
        limit.note(EDGE, f"2001:db8:1:{number + 2:x}::1", 0.0)
    assert limit.exceeded(EDGE, "2001:db8:1:ffff::1", 0.0)
    assert not limit.exceeded(EDGE, "2001:db8:2::1", 0.0)


def test_no_address_no_limit() -> None:
    """What is no address counts for nothing, and takes no memory."""
    limit = FailureLimit(allowed=1)
    failed(limit, EDGE, None, 5)
    failed(limit, EDGE, "nonsense", 5)
    assert not limit.exceeded(EDGE, None, 0.0)
    assert len(limit) == 0


def test_a_caller_pushes_out_only_its_own_buckets() -> None:
    """However many networks one caller fails in, the latest are kept, and others keep all of theirs."""
    limit = FailureLimit(allowed=1, networks=10)
    limit.note(EDGE, HERE, 0.0)
    for number in range(1000):
        limit.note(RIVAL, f"10.{number // 256}.{number % 256}.1", 0.0)
    assert len(limit) == 11
    assert limit.exceeded(EDGE, HERE, 0.0)
    assert limit.exceeded(RIVAL, "10.3.231.1", 0.0)
    assert not limit.exceeded(RIVAL, "10.0.0.1", 0.0)


def test_callers_are_bounded() -> None:
    """However many callers fail, those that failed last are kept."""
    limit = FailureLimit(allowed=1, callers=10)
    for number in range(1000):
        limit.note(Caller("x", None, number.to_bytes(16)), HERE, 0.0)
    assert len(limit) == 10
    assert limit.exceeded(Caller("x", None, (999).to_bytes(16)), HERE, 0.0)


def test_empty_buckets_are_dropped() -> None:
    """Buckets that have become empty take no memory once others are counted, of the same caller and of all."""
    limit = FailureLimit(allowed=10, seconds=60)
    limit.note(EDGE, HERE, 0.0)
    limit.note(EDGE, FAR, 7.0)
    assert len(limit) == 1
    limit.note(ACME, HERE, 8.0)
    limit.note(RIVAL, HERE, 100.0)
    assert len(limit) == 1
