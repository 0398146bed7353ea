"""The three plots of docs/benchmarks.md: bars as SVG, written by hand, readable on a light and on a dark page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

from bench.figures import Cell, Section, shown

WIDTH, LABEL, VALUE, BAR, GAP, TOP = 760, 250, 110, 18, 7, 52
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 15px; font-weight: 600 }
.note { fill: #59636e } .bar { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .note { fill: #9198a1 } .bar { fill: #656c76 } .ours { fill: #4493f8 }
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
    Which rows of a section's first table are drawn.

    Args:
        file: The name of the file.
        title: The line above the bars.
        section: The title of the section.
        where: The cells that a row must have, by column.
        label: The column with the label of a bar.
        value: The column that is drawn.
        note: What the reader has to know, under the title.
        logarithmic: Whether bars grow by powers of ten.
    """

    file: str
    title: str
    section: str
    where: Mapping[str, Cell]
    label: str
    value: str
    note: str
    logarithmic: bool = False


PLOTS = (
    Plot(
        "verify.svg", "Verifications a second, varied traffic", "Over HTTP",
        {"case": "verify, varied", "connections": 64}, "server", "a second",
        "20,000 keys in random order, 64 connections; one process on one core",
    ),
    Plot(
        "cpu.svg", "CPU time of a request in µs", "Over HTTP", {"server": "Keywright", "connections": 64}, "case",
        "CPU µs", "64 connections; one worker on one core; each bar grows by powers of ten", logarithmic=True,
    ),
    Plot(
        "peers.svg", "How many times as many verifications a second", "Peers", {"question": "verify"}, "peer",
        "Keywright ×", "Keywright beside each peer in the same rounds; each bar grows by powers of ten",
        logarithmic=True,
    ),
)  # fmt: skip


def draw(sections: Sequence[Section], folder: Path) -> None:
    """Draw what there are figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in PLOTS:
        if found := bars_of(plot, sections):
            (folder / plot.file).write_text(svg(plot, found))


def bars_of(plot: Plot, sections: Sequence[Section]) -> list[Bar]:
    """Pick the bars of a plot out of the tables; none where they are not there."""
    table = next((each.tables[0] for each in sections if each.title == plot.section), None)
    return [
        Bar(shown(row[plot.label]), float(row[plot.value]), "Keywright" in row.values())
        for row in (table.named() if table else ())
        if plot.where.items() <= row.items() and isinstance(row[plot.value], int | float)
    ]


def svg(plot: Plot, bars: Sequence[Bar]) -> str:
    """Write bars, one under the other, each with its label and its value."""
    most = max(bar.value for bar in bars)
    alone = not any(bar.ours for bar in bars)
    parts = [
        f'<text class="title" x="0" y="16">{escape(plot.title)}</text>',
        f'<text class="note" x="0" y="36">{escape(plot.note)}</text>',
    ]
    for place, bar in enumerate(bars):
        y = TOP + place * (BAR + GAP)
        share = _by_powers(bar.value) / _by_powers(most) if plot.logarithmic else bar.value / most
        width = max(1.0, share * (WIDTH - LABEL - VALUE))
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{"ours" if bar.ours or alone else "bar"}" x="{LABEL}" y="{y}" width="{width:.1f}" '
            f'height="{BAR}" rx="2"/>',
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 14}">{shown(bar.value)}</text>',
        ]
    height = TOP + len(bars) * (BAR + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" width="{WIDTH}">'
    return "\n".join([head, f"<title>{escape(plot.title)}</title>", f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _by_powers(value: float) -> float:
    """From a tenth upwards, so that a value of one has a bar, too."""
    return max(0.01, math.log10(value * 10))
