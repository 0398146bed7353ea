"""The report of a run, written as JSON for programs and as Markdown for readers, and without paths of this machine."""

import json
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from inspect import cleandoc
from pathlib import Path

from bench.figures import Cell, Section, Table, markdown
from bench.rounds import MOST_REPEATS, QUIET_P99_MS, Rounds

INTRODUCTION = """\
Written by `make bench`. Absolute figures belong to this machine, ratios travel further. Every figure is the median of
interleaved rounds, and every ratio the median of the ratios of rounds, so that what the machine does besides falls on
all alike. p50, p99 and p99.9 are latencies as `wrk` sees them; CPU time is that of all processes of a server."""
_SHOWN_CHARACTERS = 400
_HOST = re.compile(r"https?://(?!127\.0\.0\.1|localhost)[^\s'\",)]+")


class Report:
    """What has been measured so far, which cases failed, and which rounds were repeated."""

    def __init__(self, folder: Path, about: Mapping[str, Mapping[str, str]]) -> None:
        self._folder = folder
        self._about = about
        self._repeated: list[str] = []
        self.failures: dict[str, str] = {}
        self.sections: list[Section] = []
        self.found: dict[str, Rounds] = {}
        """The rounds of the cases that goals are set for."""

    def add_rows(self, title: str, text: str | None, heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Add rows to the one table of a section, which is there from its first row on."""
        section = next((each for each in self.sections if each.title == title), None)
        if section is None:
            section = Section(title, cleandoc(text or ""), [Table("By case", heads)])
            self.sections.append(section)
        section.tables[0].rows.extend(rows)

    def put_first(self, section: Section) -> None:
        """Put a section before all others, in place of an earlier one of that title."""
        self.sections = [section, *(each for each in self.sections if each.title != section.title)]

    def add_repeated(self, case: str, rounds: Rounds) -> None:
        """Note how many rounds were measured again because the machine was busy."""
        if rounds.repeated:
            self._repeated.append(f"{case}: {rounds.repeated} repeated, {rounds.in_vain} still above it")

    def fail(self, case: str, error: Exception) -> None:
        """Note that a case has failed, and why."""
        self.failures[case] = scrubbed(f"{type(error).__name__}: {error}")
        print(f"  failed: {error}", file=sys.stderr, flush=True)

    def write(self) -> None:
        """Write report.md and report.json."""
        self._folder.mkdir(parents=True, exist_ok=True)
        more = {"repeated": self._repeated, "failed": self.failures}
        data = {**self._about, **more, "sections": [asdict(each) for each in self.sections]}
        (self._folder / "report.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
        parts = ["# Benchmarks", INTRODUCTION]
        parts += ["\n".join(f"- {name}: {value}" for name, value in named.items()) for named in self._about.values()]
        parts += [
            f"A round in which nginx's own p99 exceeds {QUIET_P99_MS} ms, at 64 connections and single requests, is "
            f"repeated, {MOST_REPEATS} times at most. {'; '.join(self._repeated) or 'There was none'}."
        ]
        parts += [f"**{name} failed:** {why}" for name, why in self.failures.items()]
        parts += [markdown(section).rstrip() for section in self.sections]
        (self._folder / "report.md").write_text("\n\n".join(parts) + "\n")


def scrubbed(text: str) -> str:
    """Give the end of what a program said, on one line, without paths of this machine or addresses of hosts."""
    said = _HOST.sub("another host", " ".join(text.split()))
    for place in (Path.cwd(), tempfile.gettempdir(), sys.prefix, Path.home()):
        said = re.sub(re.escape(str(place)) + r"[^\s:'\",)]*", "…", said)
    return said if len(said) <= _SHOWN_CHARACTERS else f"… {said[-_SHOWN_CHARACTERS:]}"
