"""
The verifier of the SDK with every key cached and the feed of changes followed. CPU ns a call, and p50 and p99 of what
one caller waits, the clock included. "Varied": 20,000 keys at random, each bound to two networks, every call with an
address at random in one of them; "repeated": the same 1,000 calls in turn; both with a scope. The reference is the
barest correct check: SHA-256, a look into a dict, the expiry, the scopes; it tests no network. Memory is the growth of
the resident set, allocator overhead included.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import cleandoc

from bench.cases import Keys
from bench.figures import Section, Table
from bench.processes import HERE, Program, first_line, started
from bench.rounds import Plan, Rounds
from bench.service import Tree

REFERENCE = "reference"
KEYS = Keys(networks=2)


@dataclass(frozen=True, slots=True)
class Call:
    """What one round found of one kind of call; `times_reference` is the ratio of its CPU time."""

    cpu_ns: float
    p50_us: float
    p99_us: float
    times_reference: float


def measure(trees: Sequence[Tree], plan: Plan) -> tuple[Mapping[str, Rounds], Mapping[str, float]]:
    """Give the rounds of each kind of call, and the bytes that a cached key takes, by tree."""
    found: dict[str, Rounds] = {}
    with ExitStack() as held:
        programs = {}
        for tree in trees:
            keys = str(tree.filled("sqlite", KEYS))
            programs[tree.name] = held.enter_context(in_tree(tree, "calls", "sqlite", keys))
        sizes = {name: float(first_line(program)) for name, program in programs.items()}
        for _ in range(plan.rounds):
            for name, program in programs.items():
                calls = json.loads(answered(program, "go"))
                for call, figures in calls.items():
                    reference = calls[f"{REFERENCE}, {call.rpartition(' ')[2]}"]
                    figures["times_reference"] = figures["cpu_ns"] / reference["cpu_ns"]
                    found.setdefault(call, Rounds()).found.setdefault(name, []).append(Call(**figures))
    return found, sizes


def rounds(trees: Sequence[Tree], plan: Plan) -> Rounds:
    """Measure, and give the rounds of the call that products make: the verifier, varied."""
    return measure(trees, plan)[0]["Verifier, varied"]


@contextmanager
def in_tree(tree: Tree, way: str, place: str, argument: str) -> Iterator[Program]:
    """Run `bench/in_tree.py` with a tree beside its service on that database."""
    url, database = tree.running(place).url, tree.database(place)
    command = [sys.executable, HERE / "in_tree.py", way, url, database.credential, argument]
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
    figures = ("cpu_ns", "times_reference", "p50_us", "p99_us")
    table = Table("A call", ("call", "CPU ns", "× reference", "p50 µs", "p99 µs"))
    table.rows.extend([name, *(each.median(tree.name, figure) for figure in figures)] for name, each in found.items())
    memory = Table("Memory", ("keys", "bytes a key"), [(tree.keys, sizes[tree.name])])
    return Section("The in-process verifier", cleandoc(__doc__), [table, memory])
