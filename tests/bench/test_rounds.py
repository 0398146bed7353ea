"""Rounds of the benchmark: who is measured in which order, and which rounds are measured again."""

from collections.abc import Sequence

import pytest

from bench.processes import Server
from bench.rounds import MOST_REPEATS, QUIET_P99_MS, Contender, Figures, Plan, Rounds, interleaved

CALM, BUSY = QUIET_P99_MS / 2, QUIET_P99_MS * 2


def no_server() -> Server:
    raise AssertionError("no server is needed where nothing is sent")


class Measured:
    """Gives the figures of a machine: nginx's p99 in each of its rounds, one after another."""

    def __init__(self, p99s: Sequence[float] = ()) -> None:
        self.order: list[tuple[str, int]] = []
        self._p99s = iter(p99s)

    def __call__(self, contender: Contender, plan: Plan, connections: int, seed: int) -> Figures:
        self.order.append((contender.name, seed))
        p99 = next(self._p99s) if contender.name == "nginx" else CALM
        return Figures(rate=len(self.order), answers=1, p50=0.1, p99=p99, p999=9.0, cpu_us=1.0, rss_mib=1.0)


def contenders(*names: str) -> list[Contender]:
    return [Contender(name, no_server, "verify", {}) for name in names]


def test_both_directions_and_one_traffic() -> None:
    """In every round all are sent the same traffic, and who comes first changes from round to round."""
    measured = Measured()
    interleaved(contenders("before", "after"), Plan(3, 1.0), 64, measure=measured)
    assert measured.order == [("before", 1), ("after", 1), ("after", 2), ("before", 2), ("before", 3), ("after", 3)]


def test_a_busy_round_is_repeated() -> None:
    """A round in which nginx's own p99 is too long is measured again, counted, and does not count itself."""
    measured = Measured([BUSY, CALM, CALM])
    found = interleaved(contenders("Keywright", "nginx"), Plan(2, 1.0), 64, quiet=True, measure=measured)
    assert (found.repeated, found.in_vain) == (1, 0)
    assert [each.rate for each in found.found["Keywright"]] == [3, 6]


def test_a_machine_that_stays_busy() -> None:
    """After the last repetition a round counts as it is, and the report says so."""
    measured = Measured([BUSY] * (1 + MOST_REPEATS))
    found = interleaved(contenders("Keywright", "nginx"), Plan(1, 1.0), 64, quiet=True, measure=measured)
    assert (found.repeated, found.in_vain) == (MOST_REPEATS, 1)
    assert len(found.found["Keywright"]) == 1


@pytest.mark.parametrize(("names", "quiet"), [(("Keywright", "nginx"), False), (("before", "after"), True)])
def test_rounds_that_are_not_repeated(names: tuple[str, ...], quiet: bool) -> None:
    """Where nginx's p99 tells nothing, or nginx is not there, no round is repeated."""
    found = interleaved(contenders(*names), Plan(1, 1.0), 64, quiet=quiet, measure=Measured([BUSY]))
    assert (found.repeated, found.in_vain) == (0, 0)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """A round that was disturbed as a whole does not move a ratio."""
    rates = {"one": (10, 1, 20), "other": (5, 0.5, 10)}
    rounds = Rounds({name: [Figures(rate, 1, 1, 1, 1, 1, 1) for rate in column] for name, column in rates.items()})
    assert rounds.ratio("one", "other", "rate") == 2
    assert rounds.median("one", "rate") == 10
