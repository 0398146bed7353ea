"""
Keys as tables for people, and progress.

Names and descriptions are other people's text; what is printed of them cannot act on a terminal.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from keywright.cli.typed_values import shown_duration
from keywright.contract import ApiKeyResponse, RateLimitResponse, SecretResponse
from keywright.keys.record import Status

_REPLACEMENT = "\ufffd"
_GAP = "  "
# Shorter names look alike; so before they are cut below this, columns go.
_NAME_WIDTH = 20
_NAME_STUB_WIDTH = 6


class _Column(NamedTuple):
    """A heading and the texts below it; they may be cut to *least* cells, or not at all where that is None."""

    heading: str
    cells: Sequence[str]
    least: int | None = None

    @property
    def wished(self) -> int:
        """How many cells of a terminal the longest text takes."""
        return max(map(cell_len, (self.heading, *self.cells)))

    @property
    def needed(self) -> int:
        """How many it takes when it is cut as far as it may be."""
        return self.wished if self.least is None else min(self.least, self.wished)


def printable(text: str) -> str:
    """Replace whatever a terminal might take for a command."""
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)


def print_keys(keys: Sequence[ApiKeyResponse]) -> None:
    """
    Print one line a key.

    On a terminal it is made to fit: what tells least is left out or shortened, then names are cut. Ids stay whole, for
    the other commands ask for them. A file or a pipe has no width, and gets everything.
    """
    console = Console()
    layouts = list(_layouts(keys))
    columns = _fitting(layouts, console.width) if sys.stdout.isatty() else layouts[0]
    widths = _widths(columns, console.width) if sys.stdout.isatty() else [column.wished for column in columns]
    _print_line(console, [column.heading for column in columns], widths, style="bold")
    for row in zip(*(column.cells for column in columns), strict=True):
        _print_line(console, row, widths)


def print_key(key: ApiKeyResponse) -> None:
    """Print one key, one line a field, and one for each of its secrets."""
    print_fields(
        {
            "ID": str(key.id),
            "Organization": str(key.org_id),
            "Name": key.name,
            "Description": key.description or "–",
            "Environment": key.environment or "–",
            "Public key": key.public_key,
            "Private key": key.private_key_display,
            "Created": moment(key.created_at),
            "Expires": moment(key.expires_at),
            "Status": _full_status(key),
            "Last used": moment(key.last_used_at),
            "Scopes": ", ".join(key.scopes) or "–",
            "Allowed from": ", ".join(key.allowed_ips) or "anywhere",
            "Rate limits": ", ".join(map(_limit, key.rate_limits)) or "–",
            "External id": key.external_id or "–",
            "Metadata": json.dumps(dict(key.metadata), ensure_ascii=False) if key.metadata else "–",
            **{f"Secret {place}": _secret(secret) for place, secret in enumerate(key.secrets, 1)},
        }
    )


def print_fields(fields: Mapping[str, str]) -> None:
    """Print one line a field; one too long for the terminal is not broken here, so that it copies whole."""
    console, label_width = Console(), max(map(len, fields))
    for label, value in fields.items():
        line = Text.assemble((label.ljust(label_width), "bold"), _GAP, printable(value))
        console.print(line, soft_wrap=True)


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, one line a row, whole; a terminal that is too narrow breaks lines itself."""
    console = Console()
    columns = [_column(heading, (row[place] for row in rows)) for place, heading in enumerate(headings)]
    widths = [column.wished for column in columns]
    _print_line(console, headings, widths, style="bold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        _print_line(console, cells, widths)


def moment(time: datetime | None) -> str:
    """Write a moment for people, to the second; a dash for none."""
    return "–" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """Show on standard error, where that is a terminal, how far something is; the caller tells the count."""
    with Console(stderr=True).status(f"{what} …") as status:
        yield lambda count: status.update(f"{what} … {count}")


def _layouts(keys: Sequence[ApiKeyResponse]) -> Iterator[Sequence[_Column]]:
    """Give the ways to show *keys*, the fullest first."""
    ids = _column("ID", (str(key.id) for key in keys))
    names = _column("Name", (key.name for key in keys), least=_NAME_WIDTH)
    displays = _column("Key", (key.private_key_display for key in keys))
    # The last characters tell one key from another, and are what people compare.
    endings = _column("Key", (f"…{key.private_key_display[-4:]}" for key in keys))
    created = _column("Created", (_day(key.created_at) for key in keys))
    statuses = _column("Status", map(_status, keys))
    words = _column("Status", (_status(key).partition(" ")[0] for key in keys))
    used = _column("Last used", (_day(key.last_used_at) for key in keys))
    yield ids, names, displays, created, statuses, used
    yield ids, names, displays, created, words, used
    yield ids, names, endings, created, words, used
    yield ids, names, endings, words, used
    yield ids, names, endings, words
    yield ids, names, words
    yield ids, names._replace(least=_NAME_STUB_WIDTH)
    yield (ids,)


def _column(heading: str, texts: Iterable[str], least: int | None = None) -> _Column:
    return _Column(heading, [printable(text) for text in texts], least)


def _fitting(layouts: Sequence[Sequence[_Column]], width: int) -> Sequence[_Column]:
    fits = (columns for columns in layouts if sum(column.needed for column in columns) + _gaps(columns) <= width)
    return next(fits, layouts[-1])


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """Give every column what it wishes, and one that may be cut what is left then."""
    left = width - _gaps(columns) - sum(column.wished for column in columns if column.least is None)
    return [column.wished if column.least is None else min(column.wished, left) for column in columns]


def _gaps(columns: Sequence[_Column]) -> int:
    return len(_GAP) * (len(columns) - 1)


def _print_line(console: Console, cells: Iterable[str], widths: Iterable[int], style: str = "") -> None:
    texts = [Text(cell, style=style) for cell in cells]
    for text, width in zip(texts, widths, strict=True):
        text.truncate(width, overflow="ellipsis", pad=True)
    line = Text(_GAP).join(texts)
    line.rstrip()
    # Without this rich would break the line where a terminal is narrower than an id.
    console.print(line, soft_wrap=True)


def _status(key: ApiKeyResponse) -> str:
    if key.status is Status.REVOKED:
        return f"revoked {_day(key.revoked_at)}"
    if key.status is Status.EXPIRED:
        return f"expired {_day(key.expires_at)}"
    return "active"


def _full_status(key: ApiKeyResponse) -> str:
    status = _status(key)
    return status if key.revocation_reason is None else f"{status} ({key.revocation_reason.replace('_', ' ')})"


def _limit(limit: RateLimitResponse) -> str:
    return f"{limit.name}: {limit.limit} in {shown_duration(limit.window_seconds)}"


def _secret(secret: SecretResponse) -> str:
    used = f"last used {moment(secret.last_used_at)}" if secret.last_used_at else "not used yet"
    if secret.retires_at is None:
        return f"{secret.private_key_display} of {_day(secret.created_at)}, current, {used}"
    end = f"works until {moment(secret.retires_at)}"
    if secret.retire_when_quiet_seconds is not None:
        end += f", or {shown_duration(secret.retire_when_quiet_seconds)} without use"
    return f"{secret.private_key_display} of {_day(secret.created_at)}, {end}, {used}"


def _day(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d}"
