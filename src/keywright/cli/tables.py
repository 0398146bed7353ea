"""
Tables and times for people.

Names and descriptions are untrusted text: control characters are replaced before they reach a terminal. Of rich, only
the widths of characters are used: the import of its tables takes longer than a call.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import zip_longest
from typing import NamedTuple

import click

_REPLACEMENT = "\ufffd"
# A file or a pipe has no width.
_UNLIMITED = 1_000_000
_GAP = "  "

Columns = Mapping[str, Sequence[str]]
"""The cells of each column, by its heading; all columns have as many."""


class Layout(NamedTuple):
    """Columns by heading, and the least width in cells of the column `Name`, which alone may be cut."""

    columns: Columns
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
    """
    Print a table, one line a row.

    On a terminal that is too narrow, each row is printed as its fields, one below the other. Nothing is cut.
    """
    columns = _printable({heading: [row[place] for row in rows] for place, heading in enumerate(headings)})
    if _width(columns) <= _terminal_width():
        _print(columns)
        return
    for number, row in enumerate(rows):
        if number:
            click.echo()
        print_fields(dict(zip(headings, row, strict=True)))


def print_fields(fields: Mapping[str, str]) -> None:
    """
    Print one line a field; on a terminal, a long value continues below its beginning.

    Lines break between words only, so that a value without spaces, such as a public key, can be copied.
    """
    label_width = max(map(_cells, fields), default=0)
    room = max(_terminal_width() - label_width - len(_GAP), 1)
    for label, value in fields.items():
        first, *others = _wrapped(printable(value), room)
        click.echo(f"{_bold(label)}{' ' * (label_width - _cells(label))}{_GAP}{first}".rstrip())
        for line in others:
            click.echo(f"{' ' * label_width}{_GAP}{line}")


def print_fitted(layouts: Sequence[Layout]) -> None:
    """
    Print one line a row, in the first layout that fits the terminal.

    Args:
        layouts: The fullest first, which a file or a pipe gets. If none fits, the last one is printed uncut.
    """
    width = _terminal_width()
    for each, name_width in layouts:
        columns = _printable(each)
        if _width(columns, name_width) <= width:
            _print(columns, width)
            return
    _print(_printable(layouts[-1].columns))


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """Show *what* and a count on standard error, if that is a terminal; the block sets the count."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} …") as status:
        yield lambda count: status.update(f"{what} … {count}")


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNLIMITED


def _print(columns: Columns, width: int = _UNLIMITED) -> None:
    """Print a table of printable cells; names are cut until it is *width* cells wide."""
    excess = max(_width(columns) - width, 0)
    shown = {
        heading: _fitted(cells, max(map(_cells, cells), default=0) - excess) if heading == "Name" else cells
        for heading, cells in columns.items()
    }
    widths = [max(map(_cells, (heading, *cells))) for heading, cells in shown.items()]
    click.echo(_line([_bold(heading) for heading in shown], shown, widths))
    for row in zip_longest(*shown.values()):
        click.echo(_line(row, row, widths))


def _line(cells: Sequence[str], measured: Sequence[str] | Columns, widths: Sequence[int]) -> str:
    padded = (
        f"{cell}{' ' * (width - _cells(plain))}" for cell, plain, width in zip(cells, measured, widths, strict=True)
    )
    return _GAP.join(padded).rstrip()


def _fitted(cells: Sequence[str], width: int) -> list[str]:
    from rich.cells import set_cell_size

    return [cell if _cells(cell) <= width else f"{set_cell_size(cell, width - 1)}…" for cell in cells]


def _width(columns: Columns, name_width: int = _UNLIMITED) -> int:
    """Count the width of a table in cells, if names are cut to *name_width*."""
    widths = (
        max(_cells(heading), min(max(map(_cells, cells), default=0), name_width if heading == "Name" else _UNLIMITED))
        for heading, cells in columns.items()
    )
    return sum(widths) + len(_GAP) * (len(columns) - 1)


def _printable(columns: Columns) -> Columns:
    return {heading: [printable(cell) for cell in cells] for heading, cells in columns.items()}


def _wrapped(text: str, width: int) -> list[str]:
    """Break *text* between words into lines of *width* cells; a longer word has a line of its own."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if _cells(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _bold(text: str) -> str:
    # `click.echo` removes the style where the output is no terminal.
    return click.style(text, bold=True)


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
