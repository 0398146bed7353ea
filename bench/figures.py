"""
What a part of the benchmarks tells: a section with tables, as JSON between processes and as Markdown for readers.

    section = Section("Creating keys", "What was done.", [Table("On SQLite", ("clients", "a second"), rows)])
    publish(section, arguments.json)
"""

import argparse
import json
import signal
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

Cell = str | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures. A number is kept as measured and rounded only for readers; None is a dash."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Section:
    """What one part has measured, and in `says` what exactly was done, as sentences."""

    title: str
    says: str
    tables: list[Table]

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `publish` wrote."""
        told = json.loads(text)
        return cls(told["title"], told["says"], [Table(**table) for table in told["tables"]])


def publish(section: Section, path: Path | None) -> None:
    """Print a section, and write it to *path* where one is given."""
    print(markdown(section), flush=True)
    if path is not None:
        path.write_text(json.dumps(asdict(section)))


def arguments(description: str | None, **numbers: float) -> argparse.Namespace:
    """Read the command line of a part: `--json PATH`, and an option with a default for each of *numbers*."""
    end_in_order()
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the section there as well")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args()


def end_in_order() -> None:
    """Let SIGTERM unwind this process, so that it ends what it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))


def markdown(section: Section, level: int = 2) -> str:
    """Write a section as Markdown."""
    parts = [f"{'#' * level} {section.title}", section.says]
    for table in section.tables:
        parts += [f"**{table.title}**", _table(table)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *([shown(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(cell: Cell) -> str:
    """Round a figure as a reader wants it: three digits, or whole thousands in full."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if cell == int(cell) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"


def median(values: Iterable[float]) -> float:
    """Give the middle one."""
    return statistics.median(values)


def median_ratio(values: Sequence[float], references: Sequence[float]) -> float:
    """Give the median of the ratios of what was measured in the same round."""
    return statistics.median(value / reference for value, reference in zip(values, references, strict=True))


def row_where(table: Table, **cells: Any) -> Sequence[Cell] | None:
    """Find the first row whose named columns (underscores for spaces) hold these cells."""
    places = {table.columns.index(name.replace("_", " ")): cell for name, cell in cells.items()}
    return next((row for row in table.rows if all(row[place] == cell for place, cell in places.items())), None)
