"""
Two source trees, measured in turn in the same run. "× before" is the median of the ratios of paired rounds, after to
before. CPU time is that of all processes of the service.
"""

from collections.abc import Iterator, Sequence
from statistics import median

from bench import http_cases, in_process, start
from bench.cases import AFTER, BEFORE, Case
from bench.figures import Cell, median_ratio
from bench.rounds import Plan, Rounds
from bench.service import Tree

FIGURES = {"cpu_us": "CPU µs", "rate": "a second", "p99": "p99 ms", "rss_mib": "RSS MiB"}
HEADS = ("case", "figure", "before", "after", "× before")


def rows(case: Case, trees: Sequence[Tree], plan: Plan) -> Iterator[list[Cell]]:
    """Measure a case on both trees, and give a row for each figure; none where it is not compared."""
    if case.script:
        for connections, rounds in http_cases.measure(case, trees, plan, (), case.connections).items():
            for figure, title in FIGURES.items():
                yield _row(f"{case.title}, {connections} connections", title, *_pair(rounds, figure))
    elif case.name == "in-process":
        calls, sizes = in_process.measure(trees, plan)
        for call, rounds in calls.items():
            yield _row(f"in process: {call}", "CPU ns", *_pair(rounds, "cpu_ns"))
        yield _row("in process", "bytes a key", [sizes[BEFORE]], [sizes[AFTER]])
    elif case.name == "start":
        starts = start.measure(trees, plan)
        for place, title in enumerate(start.HEADS[1:]):
            yield _row("start", title, *([each[place] for each in starts[name]] for name in (BEFORE, AFTER)))


def _pair(rounds: Rounds, figure: str) -> list[list[float]]:
    return [[getattr(each, figure) for each in rounds.found[name]] for name in (BEFORE, AFTER)]


def _row(case: str, figure: str, before: Sequence[float], after: Sequence[float]) -> list[Cell]:
    ratio = median_ratio(after, before)
    print(f"  {case}, {figure}: × {ratio:.3f}", flush=True)
    return [case, figure, median(before), median(after), f"{ratio:.3f}"]
