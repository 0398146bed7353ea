"""
The verifier of the SDK with every key cached and the feed of changes followed. CPU ns a call, and the p99 of what one
caller waits, the clock included. "Varied": 20,000 keys at random; "repeated": the same 1,000 in turn; both with a scope
and an address. The bare loop hashes the text and looks the digest up, which no checker can do without. Memory is the
growth of the resident set, allocator overhead included.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from inspect import cleandoc
from statistics import median

from bench.figures import Section, Table, median_ratio
from bench.processes import HERE, Program, first_line, started
from bench.rounds import Plan
from bench.service import Tree

Found = dict[str, list[dict[str, float]]]


def measure(trees: Sequence[Tree], plan: Plan) -> tuple[dict[str, Found], dict[str, float]]:
    """Give the figures of each kind of call, round by round, and the bytes that a cached key takes, by tree."""
    found: dict[str, Found] = {tree.name: {} for tree in trees}
    with ExitStack() as held:
        programs = {tree.name: held.enter_context(in_tree(tree, "calls", "sqlite")) for tree in trees}
        sizes = {name: float(first_line(program)) for name, program in programs.items()}
        for _ in range(plan.rounds):
            for name, program in programs.items():
                for call, figures in json.loads(answered(program, "go")).items():
                    found[name].setdefault(call, []).append(figures)
    return found, sizes


@contextmanager
def in_tree(tree: Tree, way: str, engine: str, argument: str | None = None) -> Iterator[Program]:
    """Run `bench/in_tree.py` with a tree beside its service on that database."""
    url, database = tree.running(engine).url, tree.database(engine)
    command = [sys.executable, HERE / "in_tree.py", way, url, database.credential, argument or tree.filled(engine)]
    with started(command, env=tree.environment()) as process:
        yield process


def answered(program: Program, line: str) -> str:
    """Send a line to a program, and give the one it prints next."""
    assert program.stdin is not None
    program.stdin.write(f"{line}\n")
    program.stdin.flush()
    return first_line(program)


def section(tree: Tree, plan: Plan) -> Section:
    """Measure, and give the section of the report."""
    found, sizes = measure([tree], plan)
    calls = found[tree.name]
    table = Table("A call", ("call", "CPU ns", "× bare loop", "p99 ns"))
    for name, rounds in calls.items():
        bare = calls[f"bare loop, {name.rpartition(' ')[2]}"]
        cpu, of_bare = ([each["cpu_ns"] for each in column] for column in (rounds, bare))
        table.rows.append((name, median(cpu), median_ratio(cpu, of_bare), median(each["p99_ns"] for each in rounds)))
    memory = Table("Memory", ("keys", "bytes a key"), [(tree.keys, sizes[tree.name])])
    return Section("The in-process verifier", cleandoc(__doc__), [table, memory])
