"""The client of `keywright keys …`, and the exit codes for its errors."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import click

from keywright.cli import exits, running_dev
from keywright.cli.tables import printable

if TYPE_CHECKING:
    from types import ModuleType

    from keywright.client import ManagementClient
    from keywright.client._answers import ApiKeyPage, AuditLogPage
    from keywright.client.errors import KeywrightError

Page = TypeVar("Page", "ApiKeyPage", "AuditLogPage")
Item = TypeVar("Item")

DEFAULT_URL = "http://127.0.0.1:8080"
_UNAUTHORIZED = 401
_NOT_ALLOWED_STATUSES = frozenset({_UNAUTHORIZED, 403})
_STALE = "start `keywright dev` here again, or set KEYWRIGHT_URL and KEYWRIGHT_TOKEN."


class _Target(NamedTuple):
    """The service to call; `advice` says where its address comes from, for an error."""

    url: str
    token: str
    advice: str = ""


@contextmanager
def service() -> Iterator["ManagementClient"]:
    """Yield a client with the address and token of the environment; an error of the client ends the command."""
    target = _target()
    # Not at the top: the import of httpx takes longer than that of the rest of the command line, even without its own
    # command line, which it imports where rich is installed and does without where it cannot be imported.
    sys.modules.setdefault("httpx._main", cast("ModuleType", None))
    from keywright.client import ManagementClient
    from keywright.client.errors import KeywrightError

    try:
        with ManagementClient(target.url, target.token) as client:
            yield client
    except KeywrightError as error:
        exits.stop(f"{_sentence(error)}{_advice(error, target)}", _exit_code(error))


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
    if ask and sys.stdin.isatty() and not click.confirm(question, err=True):
        exits.stop("Nothing was changed.", exits.FAILED)


def _token() -> str:
    """Return the access token of the environment, or of the file that it names; empty where there is neither."""
    token, path = (os.environ.get(name, "").strip() for name in ("KEYWRIGHT_TOKEN", "KEYWRIGHT_TOKEN_FILE"))
    if token and path:
        exits.stop("KEYWRIGHT_TOKEN and KEYWRIGHT_TOKEN_FILE are both set; set one of them.", exits.MISUSED)
    if not path:
        return token
    try:
        token = Path(path).read_text().strip()
    except (OSError, ValueError):
        exits.stop("KEYWRIGHT_TOKEN_FILE: the file cannot be read.", exits.MISUSED)
    if not token:
        exits.stop("KEYWRIGHT_TOKEN_FILE: the file is empty.", exits.MISUSED)
    return token


def _target() -> _Target:
    """Return the service of the environment, or the demo in this folder for what the environment leaves out."""
    url, token = os.environ.get("KEYWRIGHT_URL", "").strip(), _token()
    # Another service would get the demo's token.
    demo = None if url else running_dev.environment()
    if demo is not None:
        running_dev.mention(f"Using `keywright dev` at {demo.url}")
        return _Target(demo.url, token or demo.token, f" {running_dev.PATH} has this address: {_STALE}")
    if not token:
        exits.stop(
            f"KEYWRIGHT_TOKEN is not set: it is the access token for the service at {url or DEFAULT_URL}. "
            "To try Keywright, start `keywright dev` in this folder: no variable is needed beside it.",
            exits.MISUSED,
        )
    return _Target(url or DEFAULT_URL, token)


def _advice(error: "KeywrightError", target: _Target) -> str:
    from keywright.client.errors import Refused

    # A token that the service refuses may be that of an earlier start.
    its_own_answer = isinstance(error, Refused) and error.status != _UNAUTHORIZED
    return "" if its_own_answer else target.advice


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
