"""The table of goals, and how a goal is read from the rounds."""

from dataclasses import fields

import pytest

from bench import console, goals
from bench.cases import BEFORE, CASES, NGINX
from bench.goals import DJANGO, FIRST_ROUND, GOALS, Goal
from bench.in_process import Call
from bench.peers.installing import CONTESTANTS
from bench.rounds import Figures, Rounds

BY_NAME = {case.name: case for case in CASES}


def figures(rate: float, cpu_us: float = 1.0) -> Figures:
    return Figures(rate=rate, answers=1, p50=1, p99=1, p999=1, cpu_us=cpu_us, rss_mib=rate)


FOUND = {
    "one": Rounds({"before": [figures(1), figures(2)], "after": [figures(2), figures(6)], "nginx": [figures(4)] * 2}),
    "other": Rounds({"after": [figures(8), figures(8)]}),
}


@pytest.mark.parametrize(
    ("goal", "value", "outcome"),
    [
        (Goal(case="one", figure="rate", least=4), 4, "met"),
        (Goal(case="one", figure="rate", most=3.9), 4, "missed"),
        (Goal(case="one", figure="rate", least=1.1, beside="nginx"), 1, "missed"),
        (Goal(case="one", figure="rate", least=2, beside="before"), 2.5, "met"),
        (Goal(case="one", figure="rate", most=3, beside=FIRST_ROUND), 3, "met"),
        (Goal(case="one", figure="rate", least=0.5, other="other"), 0.5, "met"),
        (Goal(case="one", figure="rate", least=1, beside="absent"), None, "not measured"),
        (Goal(case="one", figure="rate", least=1, other="absent"), None, "not measured"),
        (Goal(case="absent", figure="rate", least=1), None, "not measured"),
    ],
)
def test_how_a_goal_is_read(goal: Goal, value: float | None, outcome: str) -> None:
    """A figure, or its ratio to another server, the first round or another case; what is absent is neither."""
    (row,) = goals.rows(FOUND, ["before", "after"], [goal])
    assert row[-2:] == [value, outcome]


def test_both_trees_stand_beside_each_other() -> None:
    """Each tree has its own figure, and the last one decides."""
    (row,) = goals.rows(FOUND, ["before", "after"], [Goal(case="one", figure="rate", least=2, beside="nginx")])
    assert row == ["one", "rate", "≥ 2 × nginx", 0.375, 1, "missed"]


def test_every_goal_can_be_measured() -> None:
    """A goal names a case, a figure of its rounds, and what is measured beside it."""
    known = {each.name for each in (*fields(Figures), *fields(Call), *fields(console.Figures))}
    for goal in GOALS:
        case = BY_NAME[goal.case]
        assert goal.figure in known
        assert (goal.least is None) != (goal.most is None)
        assert goal.beside in {"", BEFORE, FIRST_ROUND, *case.references, *(each.name for each in CONTESTANTS)}
        assert not goal.other or goal.other in BY_NAME
    assert DJANGO in {each.name for each in CONTESTANTS}


def test_goals_keep_the_order_of_cases() -> None:
    """`--goals` measures the other case of a goal, too, and nginx beside every case over HTTP."""
    chosen = goals.with_goals(CASES)
    assert {goal.case for goal in GOALS} | {goal.other for goal in GOALS if goal.other} == {
        each.name for each in chosen
    }
    assert all(goals.beside(case)[0] == NGINX for case in chosen if case.script)
