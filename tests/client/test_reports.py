"""What a verifier acknowledges: its position, soon after it moved, and once for all changes since."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import UUID

import pytest

from keywright.client.errors import Refused, ServiceUnavailable
from keywright.client.verifier._calls import Timing
from keywright.client.verifier._feed import Applied
from keywright.client.verifier._reports import MOST_UNACKNOWLEDGED, Reports
from tests.client.fake_service import eventually_async

SESSION = UUID(int=5)
Sent = tuple[tuple[int, ...], str | None, str | None]


class Calls:
    """Takes acknowledgements, unless it is away or refuses them."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.tries = 0
        self.closed = False
        self.away: Exception | None = None

    async def acknowledge(
        self, session: UUID, seqs: Sequence[int], *, after: str | None, to: str | None, closed: bool = False
    ) -> None:
        assert session == SESSION
        self.tries += 1
        if self.away is not None:
            raise self.away
        if closed:
            self.closed = True
        else:
            self.sent.append((tuple(seqs), after, to))


class Uses:
    """A session without usage."""

    session = SESSION

    def take_usage(self, most: int) -> list[Any]:
        return []


@pytest.fixture
async def calls() -> Calls:
    """The service."""
    return Calls()


@pytest.fixture
async def reports(calls: Calls) -> AsyncIterator[Reports]:
    """Reports of a session that was greeted at position 5."""
    made = Reports(Uses(), cast("Any", calls), Timing(longest_pause=0.01))
    made.acknowledge(Applied((), None, 0.0, anew=True))
    made.acknowledge(Applied((), "5", 0.0, anew=False))
    yield made
    calls.away = None
    await made.finish()
    assert calls.closed


def applied(position: str, *seqs: int, within: float = 0.0, anew: bool = False) -> Applied:
    """Give what has been applied."""
    return Applied(seqs, position, within, anew)


async def test_one_acknowledgement_for_many_changes(calls: Calls, reports: Reports) -> None:
    """However many changes are applied before an acknowledgement is sent, one stands for all of them."""
    for position in range(6, 500):
        reports.acknowledge(applied(str(position)))
    await eventually_async(lambda: calls.sent)
    reports.acknowledge(applied("600"))
    await eventually_async(lambda: len(calls.sent) == 2)
    assert calls.sent == [((), "5", "499"), ((), "499", "600")]


async def test_nothing_to_acknowledge(calls: Calls, reports: Reports) -> None:
    """A position that does not move is not acknowledged; the end of the session is sent alone."""
    for _ in range(5):
        reports.acknowledge(applied("5"))
        await asyncio.sleep(0)
    await reports.finish()
    assert (calls.sent, calls.tries) == ([], 1)


async def test_changes_that_the_position_does_not_pass(calls: Calls, reports: Reports) -> None:
    """Changes with numbers are acknowledged at once by these, and later with the position that passes them, too."""
    reports.acknowledge(applied("5", 8, 9))
    await eventually_async(lambda: calls.sent)
    reports.acknowledge(applied("9"))
    await eventually_async(lambda: len(calls.sent) == 2)
    assert calls.sent == [((8, 9), "5", "5"), ((), "5", "9")]


async def test_many_changes_with_numbers(calls: Calls, reports: Reports) -> None:
    """More numbers than fit into one request are sent in several, each once; beyond a bound the oldest are dropped."""
    reports.acknowledge(applied("5", *range(MOST_UNACKNOWLEDGED + 7)))
    await eventually_async(lambda: sum(len(seqs) for seqs, _, _ in calls.sent) == MOST_UNACKNOWLEDGED)
    assert [seq for seqs, _, _ in calls.sent for seq in seqs] == list(range(7, MOST_UNACKNOWLEDGED + 7))


async def test_a_service_that_is_away(calls: Calls, reports: Reports) -> None:
    """What could not be acknowledged is acknowledged later, together with what was applied since."""
    calls.away = ServiceUnavailable("away")
    reports.acknowledge(applied("6"))
    await eventually_async(lambda: calls.tries > 1)
    reports.acknowledge(applied("7", 12))
    calls.away = None
    await eventually_async(lambda: calls.sent)
    assert calls.sent == [((12,), "5", "7")]


async def test_a_position_that_is_refused_for_good(calls: Calls, reports: Reports) -> None:
    """An acknowledgement that the service will never take is not sent again, and the next one begins behind it."""
    calls.away = Refused("validation_failed", 422, "No.")
    reports.acknowledge(applied("6"))
    await eventually_async(lambda: calls.tries)
    calls.away = None
    reports.acknowledge(applied("7"))
    await eventually_async(lambda: calls.sent)
    assert calls.sent == [((), "6", "7")]


async def test_a_service_that_does_not_know_the_position(calls: Calls, reports: Reports) -> None:
    """After a reset nothing is said about numbers from before: they may be those of other changes."""
    calls.away = ServiceUnavailable("away")
    reports.acknowledge(applied("6", 11))
    await eventually_async(lambda: calls.tries)
    reports.acknowledge(Applied((), None, 0.0, anew=True))
    reports.acknowledge(applied("40", 41))
    calls.away = None
    await eventually_async(lambda: calls.sent)
    assert calls.sent == [((41,), "5", "40")]


async def test_the_end_waits_for_no_spread(calls: Calls, reports: Reports) -> None:
    """An acknowledgement that waits for its moment is sent at once when the session ends, before the end."""
    reports.acknowledge(applied("6", within=3600.0))
    await asyncio.sleep(0)
    await reports.finish()
    assert (calls.sent, calls.closed) == ([((), "5", "6")], True)
