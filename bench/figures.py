"""Figures as the report has them: sections with tables, and how they are written for readers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Cell = str | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures. A number is kept as measured and rounded only for readers; None is a dash."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)

    def named(self) -> list[Mapping[str, Cell]]:
        """Give each row by the names of its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Section:
    """A title, what was done, in sentences, and the tables."""

    title: str
    text: str
    tables: list[Table]


def markdown(section: Section) -> str:
    """Write a section as Markdown."""
    parts = [f"## {section.title}", section.text]
    for table in section.tables:
        parts += [f"**{table.title}**", _table(table)]
    return "\n\n".join(parts) + "\n"


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


def median_ratio(values: Sequence[float], references: Sequence[float]) -> float:
    """Give the median of the ratios of what was measured in the same round."""
    return median(value / reference for value, reference in zip(values, references, strict=True))
