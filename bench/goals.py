"""
What verification, creation and the in-process verifier are to reach on varied traffic, and whether they do. Ratios are
medians of the ratios of rounds, as everywhere; where two cases are compared, of their medians. "CPU" is µs an answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.cases import ASGI, BEFORE, NGINX, Case
from bench.figures import Cell, shown
from bench.rounds import Rounds

DJANGO = "djangorestframework-api-key"
FIRST_ROUND = "its first round"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """
    One goal; either `least` or `most` is its bound.

    Args:
        case: In whose rounds it is measured.
        figure: The figure of a round.
        beside: What divides it: another server in the same rounds, or `FIRST_ROUND`, by which the last one is divided.
        other: Another case, whose median divides it.
    """

    case: str
    figure: str
    least: float | None = None
    most: float | None = None
    beside: str = ""
    other: str = ""

    @property
    def bound(self) -> str:
        """Write the bound as the table has it."""
        sign, bound = ("≤", self.most) if self.least is None else ("≥", self.least)
        divisor = self.beside or self.other
        return f"{sign} {bound:,g}{f' × {divisor}' if divisor else ''}"

    def met(self, value: float) -> bool:
        """Tell whether a figure reaches the bound."""
        return value >= self.least if self.least is not None else self.most is not None and value <= self.most


GOALS = (
    Goal(case="verify", figure="rate", least=0.40, beside=NGINX),
    Goal(case="verify", figure="cpu_us", most=2.5, beside=NGINX),
    Goal(case="verify", figure="rate", least=3, beside=ASGI),
    Goal(case="verify", figure="p99", most=4),
    Goal(case="verify-200k", figure="rate", least=0.35, beside=NGINX),
    Goal(case="verify-200k", figure="rss_mib", most=250),
    Goal(case="verify-addresses", figure="rate", least=0.35, beside=NGINX),
    Goal(case="verify-addresses", figure="rss_mib", most=1.1, beside=FIRST_ROUND),
    Goal(case="verify-limits", figure="rate", least=0.30, beside=NGINX),
    Goal(case="verify-limits", figure="cpu_us", least=0.5, other="verify-limits-redis"),
    Goal(case="forward-auth", figure="rate", least=0.40, beside=NGINX),
    Goal(case="forward-auth", figure="rate", least=1.5, beside=ASGI),
    Goal(case="forward-auth", figure="p99", most=4),
    Goal(case="first-sight", figure="rate", least=12_000),
    Goal(case="first-sight-postgresql", figure="rate", least=10_000),
    Goal(case="verify-repeated", figure="rate", least=1, other="verify"),
    Goal(case="in-process", figure="p50_us", most=3),
    Goal(case="in-process", figure="times_reference", most=4),
    Goal(case="create", figure="rate", least=2, beside=BEFORE),
    Goal(case="create-postgresql", figure="rate", least=2, beside=BEFORE),
    # docs/benchmarks.md says what each of these is.
    Goal(case="console", figure="first_kb", most=32),
    Goal(case="console", figure="all_kb", most=32),
    Goal(case="console", figure="element_requests", most=14),
    Goal(case="console", figure="list_requests", most=1),
    Goal(case="console", figure="console_kb", most=40),
    Goal(case="console", figure="console_requests", most=14),
    Goal(case="console", figure="cold_ms", most=1200),
    Goal(case="console", figure="warm_ms", most=400),
    Goal(case="console", figure="longest_task_ms", most=50),
    Goal(case="console", figure="shift", most=0.02),
    Goal(case="console", figure="interaction_ms", most=100),
    Goal(case="console", figure="heap_growth_kb", most=1000),
    Goal(case="console", figure="detached_dialogs", most=0),
    Goal(case="peers", figure="rate", least=5, beside=DJANGO),
    Goal(case="batch", figure="rate", least=1.5, beside=ASGI),
)
_CASES = {name for goal in GOALS for name in (goal.case, goal.other) if name}


def with_goals(cases: Sequence[Case]) -> list[Case]:
    """Give those of the cases that a goal is measured in."""
    return [case for case in cases if case.name in _CASES]


def beside(case: Case) -> list[str]:
    """Give the references that a case's goals name, and nginx, since it shows a busy machine."""
    return [name for name in case.references if name == NGINX or (case.name, name) in _BESIDE]


_BESIDE = {(goal.case, goal.beside) for goal in GOALS}


def heads(trees: Sequence[str]) -> Sequence[str]:
    """Give the heads of the columns."""
    return ("case", "figure", "goal", *trees, "outcome")


def rows(found: Mapping[str, Rounds], trees: Sequence[str], table: Sequence[Goal] = GOALS) -> Iterator[list[Cell]]:
    """Give a row for each goal: what each tree reached, and whether the last one meets it."""
    for goal in table:
        values = [_measured(goal, found, tree) for tree in trees]
        last = values[-1]
        outcome = "not measured" if last is None else "met" if goal.met(last) else "missed"
        yield [goal.case, goal.figure, goal.bound, *values, outcome]


def _measured(goal: Goal, found: Mapping[str, Rounds], tree: str) -> float | None:
    rounds, other = found.get(goal.case), found.get(goal.other)
    if rounds is None or tree not in rounds.found:
        return None
    values = [float(getattr(each, goal.figure)) for each in rounds.found[tree]]
    if goal.beside == FIRST_ROUND:
        return values[-1] / values[0]
    if goal.beside:
        return rounds.ratio(tree, goal.beside, goal.figure) if goal.beside in rounds.found else None
    if goal.other:
        return median(values) / other.median(tree, goal.figure) if other and tree in other.found else None
    return median(values)


def printed(row: Sequence[Cell]) -> str:
    """Write a row on a line of its own."""
    return "  ".join(f"{shown(cell):<24}" for cell in row).rstrip()
