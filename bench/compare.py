"""
Two source trees, measured in turn in the same run. "× before" is the median of the ratios of paired rounds, after to
before. CPU time is that of all processes of the service.
"""

from collections.abc import Iterator, Sequence
from statistics import median

from bench import http_cases, in_process, start
from bench.cases import Case
from bench.figures import Cell, median_ratio
from bench.rounds import Plan
from bench.service import Tree

BEFORE, AFTER = "before", "after"
HEADS = ("case", "figure", "before", "after", "× before")


def rows(case: Case, trees: Sequence[Tree], plan: Plan) -> Iterator[list[Cell]]:
    """Measure a case on both trees, and give a row for each figure; none where it is not compared."""
    if case.script:
        for connections, rounds in http_cases.measure(case, trees, plan, ()).items():
            for figure, title in {"cpu_us": "CPU µs", "rate": "a second", "p99": "p99 ms"}.items():
                pair = [[getattr(each, figure) for each in rounds.found[name]] for name in (BEFORE, AFTER)]
                yield _row(f"{case.title}, {connections} connections", title, *pair)
    elif case.name == "in-process":
        calls, sizes = in_process.measure(trees, plan)
        for call in calls[BEFORE]:
            pair = [[each["cpu_ns"] for each in calls[name][call]] for name in (BEFORE, AFTER)]
            yield _row(f"in process: {call}", "CPU ns", *pair)
        yield _row("in process", "bytes a key", [sizes[BEFORE]], [sizes[AFTER]])
    elif case.name == "start":
        starts = start.measure(trees, plan)
        for place, title in enumerate(start.HEADS[1:]):
            yield _row("start", title, *([each[place] for each in starts[name]] for name in (BEFORE, AFTER)))


def _row(case: str, figure: str, before: Sequence[float], after: Sequence[float]) -> list[Cell]:
    ratio = median_ratio(after, before)
    print(f"  {case}, {figure}: × {ratio:.3f}", flush=True)
    return [case, figure, median(before), median(after), f"{ratio:.3f}"]
