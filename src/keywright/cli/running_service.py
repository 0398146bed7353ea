"""The client of `keywright keys …`, and the exit codes for its errors."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import typer

from keywright.cli import exits
from keywright.cli.tables import printable

if TYPE_CHECKING:
    from keywright.client import ManagementClient
    from keywright.client._answers import ApiKeyPage, AuditLogPage
    from keywright.client.errors import KeywrightError

Page = TypeVar("Page", "ApiKeyPage", "AuditLogPage")
Item = TypeVar("Item")

DEFAULT_URL = "http://127.0.0.1:8080"
_NOT_ALLOWED_STATUSES = frozenset({401, 403})


@contextmanager
def service() -> Iterator["ManagementClient"]:
    """Yield a client with the address and token of the environment; an error of the client ends the command."""
    token = os.environ.get("KEYWRIGHT_TOKEN", "").strip()
    if not token:
        exits.stop(
            "KEYWRIGHT_TOKEN is not set: it is the access token for the service "
            "(with `keywright dev`: export KEYWRIGHT_TOKEN=$(keywright dev token --org acme)).",
            exits.MISUSED,
        )
    # Not at the top: the import of httpx takes longer than that of the rest of the command line.
    from keywright.client import ManagementClient
    from keywright.client.errors import KeywrightError

    try:
        with ManagementClient(os.environ.get("KEYWRIGHT_URL") or DEFAULT_URL, token) as client:
            yield client
    except KeywrightError as error:
        exits.stop(_sentence(error), _exit_code(error))


def up_to(
    limit: int, read: Callable[[int, str | None], Page], items_of: Callable[[Page], Sequence[Item]]
) -> tuple[list[Item], bool]:
    """
    Read up to *limit* items, and tell whether there may be more.

    Args:
        limit: The most items.
        read: Reads a page by the most items and the cursor; a filtered one may be short and have a next one.
        items_of: Gives the items of a page.
    """
    found: list[Item] = []
    cursor = None
    while len(found) < limit:
        page = read(limit - len(found), cursor)
        found += items_of(page)
        cursor = page.next
        if cursor is None:
            break
    return found, cursor is not None


def confirm(ask: bool, question: str) -> None:
    """Ask for confirmation if *ask* and standard input is a terminal; no ends the command."""
    # A script cannot answer.
    if ask and sys.stdin.isatty() and not typer.confirm(question, err=True):
        exits.stop("Nothing was changed.", exits.FAILED)


def _sentence(error: "KeywrightError") -> str:
    request_id = getattr(error, "request_id", None)
    sentence = printable(str(error))
    return f"{sentence} (request {printable(request_id)})" if request_id else sentence


def _exit_code(error: "KeywrightError") -> int:
    from keywright.client.errors import Refused, ServiceUnavailable

    if isinstance(error, ServiceUnavailable):
        return exits.UNAVAILABLE
    if isinstance(error, Refused) and error.status in _NOT_ALLOWED_STATUSES:
        return exits.NOT_ALLOWED
    return exits.FAILED
