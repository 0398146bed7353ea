"""The plots of docs/benchmarks.md: bars as SVG, written by hand, readable on a light and on a dark page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

from bench.figures import Cell, Section, Table, shown

WIDTH, LABEL, VALUE, BAR, GAP, TOP = 760, 250, 110, 18, 7, 52
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.note { fill: #59636e }
.bar { fill: #8c959f }
.us { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .note { fill: #9198a1 } .bar { fill: #656c76 } .us { fill: #4493f8 }
}
"""


class Bar(NamedTuple):
    """A label, a value, and whether it is Keywright's."""

    label: str
    value: float
    ours: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """
    Which rows of which table are drawn.

    Args:
        file: The name of the file.
        part: Whose section.
        table: The beginning of the table's title.
        where: The cells a row must have, by column.
        labels: The columns that a bar's label is made of.
        value: The column that is drawn.
        note: What the reader has to know, under the title.
        logarithmic: Whether bars grow by powers of ten.
    """

    file: str
    title: str
    part: str
    table: str
    labels: tuple[str, ...]
    value: str
    note: str
    where: Mapping[str, Cell]
    logarithmic: bool = False


PLOTS = (
    Plot(
        "verify.svg", "Verifications a second over HTTP", "verify", "Verification", ("server",), "a second",
        "A known key, 64 connections; one worker on one core", {"connections": 64, "case": "plain"},
    ),
    Plot(
        "forward-auth.svg", "Forward auth, answers a second", "front", "forward auth", ("server",), "a second",
        "64 connections; one worker on one core", {"connections": 64},
    ),
    Plot(
        "batch.svg", "Batches of 100 verifications, answers a second", "front", "batch", ("server",), "a second",
        "64 connections; one worker on one core", {"connections": 64},
    ),
    Plot(
        "create-sqlite.svg", "Durable creations a second over HTTP, SQLite", "create", "On SQLite", ("connections",),
        "a second", "By number of connections; one worker on one core", {"server": "create"},
    ),
    Plot(
        "create-postgresql.svg", "Durable creations a second over HTTP, PostgreSQL", "create", "On PostgreSQL",
        ("connections",), "a second", "By number of connections; one worker, PostgreSQL on the same core",
        {"server": "create"},
    ),
    Plot(
        "store.svg", "Durable creations a second at the store", "store", "Durable", ("store", "callers"),
        "creations a second", "By number of callers who wait", {},
    ),
    Plot(
        "revocation.svg", "From a revocation to the first refusal, p99 in ms", "revocation", "From", ("path",),
        "p99 ms", "Promised: 1,000 ms", {},
    ),
    Plot(
        "growth.svg", "Verifications a second by number of keys", "growth", "By number", ("store", "keys"),
        "verify, known, a second", "16 connections; keys at random", {},
    ),
    Plot(
        "peers-verify.svg", "How many times as many verifications a second", "peers", "Verification", ("peer",),
        "Keywright ×", "Keywright beside each peer in the same rounds; 64 connections; each bar grows by powers of ten",
        {"connections": 64}, logarithmic=True,
    ),
    Plot(
        "peers-create.svg", "How many times as many creations a second", "peers", "Creation", ("peer",),
        "Keywright ×", "Keywright beside each peer in the same rounds; 16 connections; each bar grows by powers of ten",
        {"connections": 16}, logarithmic=True,
    ),
)  # fmt: skip


def draw(sections: Mapping[str, Section], folder: Path) -> None:
    """Draw what there are figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in PLOTS:
        found = bars_of(plot, sections)
        if found:
            (folder / plot.file).write_text(svg(plot.title, plot.note, found, logarithmic=plot.logarithmic))


def bars_of(plot: Plot, sections: Mapping[str, Section]) -> list[Bar]:
    """Pick the bars of a plot out of the tables; none where they are not there."""
    section = sections.get(plot.part)
    table = next((each for each in section.tables if each.title.startswith(plot.table)), None) if section else None
    if table is None or not {plot.value, *plot.labels, *plot.where} <= set(table.columns):
        return []
    return [
        Bar(", ".join(shown(row[name]) for name in plot.labels), row[plot.value], _is_ours(row))
        for row in _named(table)
        if isinstance(row[plot.value], int | float) and all(row[name] == cell for name, cell in plot.where.items())
    ]


def _named(table: Table) -> list[dict[str, Cell]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _is_ours(row: Mapping[str, Cell]) -> bool:
    return any(str(cell).lower().startswith("keywright") for cell in row.values())


def svg(title: str, note: str, bars: Sequence[Bar], *, logarithmic: bool = False) -> str:
    """Write bars, one under the other, each with its label and its value."""
    length = _logarithmic if logarithmic else _linear
    most = max(bar.value for bar in bars)
    alone = not any(bar.ours for bar in bars)
    parts = [
        f'<text class="title" x="0" y="16">{escape(title)}</text>',
        f'<text class="note" x="0" y="36">{note}</text>',
    ]
    for place, bar in enumerate(bars):
        y = TOP + place * (BAR + GAP)
        width = max(1.0, length(bar.value, most) * (WIDTH - LABEL - VALUE))
        kind = "us" if bar.ours or alone else "bar"
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 14}">{shown(bar.value)}</text>',
        ]
    height = TOP + len(bars) * (BAR + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" width="{WIDTH}">'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _linear(value: float, most: float) -> float:
    return value / most


def _logarithmic(value: float, most: float) -> float:
    """From a tenth upwards, so that a ratio of one has a bar, too."""
    return max(0.0, math.log10(value * 10)) / max(1.0, math.log10(most * 10))
