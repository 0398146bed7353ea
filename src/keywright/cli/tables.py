"""
Keys as tables for people, and progress.

Names and descriptions are other people's text; what is printed of them cannot act on a terminal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keywright.client.management import ApiKey

_REPLACEMENT = "\ufffd"


def printable(text: str) -> str:
    """Replace whatever a terminal might take for a command."""
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)


def print_keys(keys: Sequence[ApiKey]) -> None:
    """Print one line a key."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("ID", no_wrap=True)
    for heading in ("Name", "Key", "Created", "Status", "Last used"):
        table.add_column(heading, overflow="fold")
    for key in keys:
        cells = (str(key.id), key.name, key.private_key_display, _day(key.created_at), _status(key))
        table.add_row(*map(_cell, (*cells, _day(key.last_used_at))))
    Console().print(table)


def print_key(key: ApiKey) -> None:
    """Print one key, one line a field."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    rows = {
        "ID": str(key.id),
        "Organization": str(key.org_id),
        "Name": key.name,
        "Description": key.description or "–",
        "Environment": key.environment or "–",
        "Public key": key.public_key,
        "Private key": key.private_key_display,
        "Created": _moment(key.created_at),
        "Expires": _moment(key.expires_at),
        "Status": _status(key),
        "Last used": _moment(key.last_used_at),
    }
    for label, value in rows.items():
        table.add_row(label, _cell(value))
    Console().print(table)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """Show on standard error, where that is a terminal, how far something is; the caller tells the count."""
    with Console(stderr=True).status(f"{what} …") as status:
        yield lambda count: status.update(f"{what} … {count}")


def _cell(value: str) -> Text:
    # Not a string: rich would read [markup] in it.
    return Text(printable(value))


def _status(key: ApiKey) -> str:
    if key.is_revoked:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return f"expired {_day(key.expires_at)}"
    return "active"


def _day(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d}"


def _moment(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
