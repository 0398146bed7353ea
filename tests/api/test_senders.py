"""The verifiers of plain requests, found by the texts of their credentials."""

import pytest

from keywright.api.verify.callers import MOST_SENDERS, Senders
from keywright.keys.cache import BOUND_SECONDS
from tests.api.checking_plane import CREDENTIAL, KEY, VERIFIER_ID, CheckingPlane

TEXT = CREDENTIAL.reveal().encode()


@pytest.fixture
async def plane() -> CheckingPlane:
    """A plane with a verifier in a fresh cache."""
    plane = CheckingPlane()
    plane.follow()
    await plane.verifiers.recognize(CREDENTIAL.reveal())
    return plane


def senders_of(plane: CheckingPlane) -> Senders:
    return Senders(plane.verifiers, plane.checker.verifier_number)


async def test_a_verifier_in_the_cache(plane: CheckingPlane) -> None:
    """A cached verifier is found, again and again, with its number; no other text is found or kept."""
    senders = senders_of(plane)
    for _ in range(2):
        found = senders.find(TEXT, plane.time())
        assert found is not None
        assert found.caller.verifier is not None
        assert (found.caller.verifier.id, found.number) == (VERIFIER_ID, plane.checker.verifier_number("edge"))
    assert [senders.find(text, plane.time()) for text in (b"", TEXT[:-1], KEY.encode())] == [None] * 3
    assert list(senders._known) == [TEXT]


async def test_a_cache_that_is_not_fresh(plane: CheckingPlane) -> None:
    """Nobody is found once the changes were not followed for the bound, and again once they are."""
    senders = senders_of(plane)
    assert senders.find(TEXT, plane.time() + BOUND_SECONDS) is not None
    assert senders.find(TEXT, plane.time() + BOUND_SECONDS + 0.001) is None
    plane.time.seconds += BOUND_SECONDS + 0.001
    plane.follow()
    assert senders.find(TEXT, plane.time()) is not None


async def test_a_revoked_verifier(plane: CheckingPlane) -> None:
    """A verifier that changed is forgotten, with the text of its credential."""
    senders = senders_of(plane)
    assert senders.find(TEXT, plane.time()) is not None
    plane.verifier_cache.drop([CREDENTIAL.digest])
    assert senders.find(TEXT, plane.time()) is None
    assert not senders._known


async def test_a_bounded_number(plane: CheckingPlane) -> None:
    """No more credentials are kept than the bound says."""
    senders = senders_of(plane)
    found = senders.find(TEXT, plane.time())
    assert found is not None
    senders._known.clear()
    for number in range(MOST_SENDERS):
        senders._known.keep(b"%d" % number, found)
    assert senders.find(TEXT, plane.time()) == found
    assert list(senders._known) == [TEXT]
