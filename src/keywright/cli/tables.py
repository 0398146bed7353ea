"""
Tables and times for people.

Names and descriptions are untrusted text: control characters are replaced before they reach a terminal. rich is
imported when a table is printed, because most commands print none.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_REPLACEMENT = "\ufffd"
# A file or a pipe has no width.
_UNLIMITED = 1_000_000


class Layout(NamedTuple):
    """Columns by heading, and the least width in cells of the column `Name`, which alone may be cut."""

    columns: Mapping[str, Sequence[str]]
    name_width: int


def printable(text: str) -> str:
    """Replace every character that is not printable, such as the start of an escape sequence."""
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)


def moment(time: datetime | None) -> str:
    """Format a time in UTC, to the second; a dash for None."""
    return "–" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def day(time: datetime | None) -> str:
    """Format the date of a time in UTC; a dash for None."""
    return "–" if time is None else f"{time.astimezone(UTC):%Y-%m-%d}"


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, one line a row. Nothing is cut: a narrow terminal wraps the lines."""
    _print(_unlimited(), _table(headings, rows))


def print_fields(fields: Mapping[str, str]) -> None:
    """Print one line a field. Nothing is cut, so a value can be copied from a narrow terminal."""
    table = _table(("", ""), list(fields.items()))
    table.show_header, table.columns[0].style = False, "bold"
    _print(_unlimited(), table)


def print_fitted(layouts: Sequence[Layout]) -> None:
    """
    Print one line a row, in the first layout that fits the terminal.

    Args:
        layouts: The fullest first, which a file or a pipe gets. If none fits, the last one is printed uncut.
    """
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else _unlimited()
    for columns, name_width in layouts:
        headings, rows = tuple(columns), list(zip(*columns.values(), strict=True))
        if _width(_table(headings, rows, name_width)) <= console.width:
            _print(console, _table(headings, rows))
            return
    print_rows(headings, rows)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """Show *what* and a count on standard error, if that is a terminal; the block sets the count."""
    from rich.console import Console

    with Console(stderr=True).status(f"{what} …") as status:
        yield lambda count: status.update(f"{what} … {count}")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], name_width: int | None = None) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for heading in headings:
        is_name = heading == "Name"
        # The text is bold, not the cell: `_print` removes only spaces without a style.
        table.add_column(
            Text.assemble((heading, "bold")), no_wrap=not is_name, max_width=name_width if is_name else None
        )
    for row in rows:
        table.add_row(*(Text(printable(cell), no_wrap=True, overflow="ellipsis") for cell in row))
    return table


def _unlimited() -> "Console":
    from rich.console import Console

    return Console(width=_UNLIMITED)


def _width(table: "Table") -> int:
    return _unlimited().measure(table).maximum


def _print(console: "Console", table: "Table") -> None:
    with console.capture() as captured:
        console.print(table)
    # rich pads every line to the width of the table.
    for line in captured.get().splitlines():
        print(line.rstrip())
