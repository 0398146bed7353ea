"""
Measure, and write one report.

    python -m bench [--only CASE ...] [--rounds N] [--seconds S] [--quick] [--to FOLDER]
    python -m bench --compare OTHER_TREE [--only CASE ...]
    python -m bench --goals [--compare OTHER_TREE] [--only CASE ...]

A whole run writes bench/results/report.md, report.json, and the plots in docs/images. With any option the report goes
to .cache/bench, so that a part never stands beside figures of another run. A case that fails is named in the report and
stops nothing. `--compare` measures another source tree (before) and this one (after) in turn. `--goals` measures what
bench/goals.py has goals for, each beside the servers that its goals name, and says which of them are met.
"""

import argparse
import signal
import sys
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from inspect import cleandoc
from pathlib import Path

from bench import (
    compare,
    console,
    fleet,
    goals,
    http_cases,
    in_process,
    machine,
    neighbours,
    plots,
    regions,
    revocation,
    start,
    store,
)
from bench.cases import AFTER, BEFORE, CASES, Case
from bench.figures import Section, Table
from bench.issuer import Issuer
from bench.peers import measure as peers
from bench.postgres import Postgres
from bench.processes import ROOT, stay_on_the_second_core
from bench.redis import Redis
from bench.report import Report
from bench.rounds import Plan, Rounds
from bench.service import KEYS, Tree

QUICK_ROUNDS, ROUNDS, PAIRED_ROUNDS = 2, 5, 9
QUICK_SECONDS = 0.5
QUICK_KEYS = 1000
SECTIONS = {
    "revocation": revocation.section,
    "store": store.section,
    "in-process": in_process.section,
    "start": start.section,
    "neighbours": neighbours.section,
    "fleet": fleet.section,
    "regions": regions.section,
    "console": console.section,
    "peers": peers.section,
}
ROUNDS_OF = {"in-process": in_process.rounds, "console": console.rounds, "peers": peers.creations}
"""How that is measured in which a goal is set, though `wrk` does not send it."""


def main() -> None:
    """Run, and write the report after every case."""
    arguments = _arguments()
    cases = [case for case in CASES if not arguments.only or case.name in arguments.only]
    plan = _plan(arguments)
    cases = goals.with_goals(cases) if arguments.goals else cases
    kept = len(sys.argv) == 1
    folder = arguments.to or ROOT / ("bench/results" if kept else ".cache/bench/results")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    # Before this process moves to one core: the report names all cores of the machine.
    report = Report(folder, _about(plan, quick=arguments.quick))
    stay_on_the_second_core()
    with ExitStack() as held:
        issuer, postgres = Issuer(), held.enter_context(closing(Postgres()))
        redis = held.enter_context(closing(Redis()))
        paths = {BEFORE: arguments.compare, AFTER: ROOT} if arguments.compare else {"Keywright": ROOT}
        keys = QUICK_KEYS if arguments.quick else KEYS
        made = [Tree(name, path, issuer, postgres, redis, keys) for name, path in paths.items()]
        trees = [held.enter_context(closing(tree)) for tree in made]
        for case in cases:
            print(f"{case.name} ...", flush=True)
            began = time.monotonic()
            for tree in trees:
                tree.pause()
            if arguments.goals:
                _towards_goals(case, trees, plan, report)
            else:
                _measure(case, trees, plan, report)
            report.write()
            print(f"  {time.monotonic() - began:.0f} s", flush=True)
    if kept:
        plots.draw(report.sections, ROOT / "docs" / "images")
    print(folder / "report.md")
    raise SystemExit(bool(report.failures))


def _measure(case: Case, trees: list[Tree], plan: Plan, report: Report) -> None:
    """Measure a case and report what came of it."""
    try:
        if len(trees) > 1:
            report.add_rows("Before and after", compare.__doc__, compare.HEADS, compare.rows(case, trees, plan))
        elif case.name in SECTIONS:
            report.sections.append(SECTIONS[case.name](trees[0], plan))
        else:
            for connections, rounds in http_cases.measure(case, trees, plan, case.references, case.connections).items():
                _add(case, connections, rounds, trees, report)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other cases are measured
        report.fail(case.name, error)


def _add(case: Case, connections: int, rounds: Rounds, trees: list[Tree], report: Report) -> None:
    rows = http_cases.rows(case, connections, rounds, trees[-1].name)
    report.add_rows("Over HTTP", http_cases.__doc__, http_cases.HEADS, rows)
    report.add_repeated(case.title, rounds)


def _towards_goals(case: Case, trees: list[Tree], plan: Plan, report: Report) -> None:
    """Measure a case on all trees beside what its goals name, and write the goals anew."""
    try:
        if case.script:
            rounds = http_cases.measure(case, trees, plan, goals.beside(case), [64])[64]
            _add(case, 64, rounds, trees, report)
        else:
            rounds = ROUNDS_OF[case.name](trees, plan)
        report.found[case.name] = rounds
    except Exception as error:  # noqa: BLE001 - whatever it is, the other cases are measured
        report.fail(case.name, error)
    names = [tree.name for tree in trees]
    rows = list(goals.rows(report.found, names))
    report.put_first(Section("Goals", cleandoc(goals.__doc__ or ""), [Table("By case", goals.heads(names), rows)]))
    print(*(goals.printed(row) for row in rows if row[0] == case.name), sep="\n", flush=True)


def _plan(arguments: argparse.Namespace) -> Plan:
    if arguments.quick:
        return Plan(arguments.rounds or QUICK_ROUNDS, QUICK_SECONDS, repeats=0, long_seconds=QUICK_SECONDS)
    usual = PAIRED_ROUNDS if arguments.compare and not arguments.goals else ROUNDS
    return Plan(arguments.rounds or usual, arguments.seconds)


def _about(plan: Plan, *, quick: bool) -> dict[str, dict[str, str]]:
    run = {"began": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "rounds": f"{plan.rounds} of {plan.seconds:g} s"}
    if quick:
        run["quick"] = "few short rounds of few keys, to see that everything works; the figures say nothing"
    return {"machine": machine.machine(), "versions": machine.versions(), "run": run}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.name for case in CASES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="CASE", help=f"some of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, help=f"how many; {ROUNDS} unless given, {PAIRED_ROUNDS} with --compare")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a round of one server takes")
    parser.add_argument("--quick", action="store_true", help="see whether everything works; the figures say nothing")
    parser.add_argument("--compare", type=Path, metavar="TREE", help="another source tree, measured as `before`")
    parser.add_argument("--goals", action="store_true", help="measure what goals are set for, and say which are met")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where the report goes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
