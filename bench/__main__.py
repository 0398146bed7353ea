"""
Run all benchmarks and write one report.

    python -m bench [--only PART ...] [--quick] [--most 10000000] [--to FOLDER]

A whole run writes its report to bench/results and its plots to docs/images; with `--only` or `--quick` both go to
.cache/bench, so that a part never stands beside figures of another run. A part that fails is named in the report and
stops nothing.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import asking, machine, plots
from bench.figures import Section, end_in_order, markdown
from bench.parts import PARTS, ROOT, Part, adopt_orphans, run
from bench.peers.installing import scrubbed

INTRODUCTION = """\
Written by `make bench`; anyone can repeat it with that command. Absolute figures belong to this machine, ratios travel
further. Every figure is the median of interleaved rounds, and every ratio the median of the ratios of rounds, so that
what the machine does besides falls on all alike. Servers run on the first core and the load comes from the second,
unless said otherwise. p50, p99 and p99.9 are latencies as the load generator sees them; "processor µs" is the processor
time of the server for one answer."""


def main() -> None:
    """Run, and write the report as far as it has come after every part."""
    arguments = _arguments()
    chosen = [part for part in PARTS if not arguments.only or part.name in arguments.only]
    kept = not (arguments.only or arguments.quick or arguments.to)
    folder = arguments.to or ROOT / ("bench/results" if kept else ".cache/bench/results")
    images = ROOT / "docs/images" if kept else folder / "images"
    folder.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine.machine(), "versions": machine.versions() | {"load generator": asking.GENERATOR}}
    about["run"] = {"began": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
    if arguments.quick:
        about["run"]["quick"] = "one short round of everything, to see that it works; the figures say nothing"
    end_in_order()
    adopt_orphans()
    sections: dict[str, Section] = {}
    failures: dict[str, str] = {}
    began = time.monotonic()
    for part in chosen:
        print(f"{part.name}, at most {part.seconds // 60} min ...", flush=True)
        started = time.monotonic()
        outcome = run(part, _extra(part, arguments))
        if outcome.section is not None:
            sections[part.name] = outcome.section
        if outcome.failure is not None:
            failures[part.name] = scrubbed(outcome.failure)
            print(f"  failed: {outcome.failure}", file=sys.stderr, flush=True)
        print(f"  {time.monotonic() - started:.0f} s", flush=True)
        about["run"]["took"] = f"{(time.monotonic() - began) / 60:.1f} min"
        write(folder, about, sections, failures)
    plots.draw(sections, images)
    print(folder / "report.md")
    raise SystemExit(1 if failures else 0)


def write(
    folder: Path, about: Mapping[str, Mapping[str, str]], sections: Mapping[str, Section], failures: Mapping[str, str]
) -> None:
    """Write report.md and report.json."""
    told = {**about, "sections": {name: asdict(section) for name, section in sections.items()}, "failed": failures}
    (folder / "report.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    parts = ["# Benchmarks", INTRODUCTION]
    parts += ["\n".join(f"- {name}: {value}" for name, value in named.items()) for named in about.values()]
    parts += [f"**{name} failed:** {why}" for name, why in failures.items()]
    parts += [markdown(section).rstrip() for section in sections.values()]
    (folder / "report.md").write_text("\n\n".join(parts) + "\n")


def _extra(part: Part, arguments: argparse.Namespace) -> tuple[str, ...]:
    most = ("--most", str(arguments.most)) if part.name == "growth" and arguments.most else ()
    return (*(part.quick if arguments.quick else ()), *most)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [part.name for part in PARTS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="PART", help=f"some of {', '.join(names)}")
    parser.add_argument("--most", type=int, help="how many keys to grow to; 10000000 needs time and disk")
    parser.add_argument("--quick", action="store_true", help="see whether everything works; the figures say nothing")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where the report goes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
