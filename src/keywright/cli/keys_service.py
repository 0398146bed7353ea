"""The service that `keywright keys …` calls, and how a command ends when it says no."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from keywright.cli import exits, tables
from keywright.client import ManagementClient
from keywright.client.errors import KeywrightError, Refused, ServiceUnavailable

DEFAULT_URL = "http://127.0.0.1:8080"
_NOT_ALLOWED_STATUSES = frozenset({401, 403})


@contextmanager
def service() -> Iterator[ManagementClient]:
    """Give a client for the service and token of the environment; what it raises ends the command."""
    token = os.environ.get("KEYWRIGHT_TOKEN", "").strip()
    if not token:
        exits.stop(
            "KEYWRIGHT_TOKEN is not set: it is the access token to call the service with "
            "(beside `keywright dev`: export KEYWRIGHT_TOKEN=$(keywright dev token --org acme)).",
            exits.MISUSED,
        )
    try:
        with ManagementClient(os.environ.get("KEYWRIGHT_URL") or DEFAULT_URL, token) as client:
            yield client
    except KeywrightError as error:
        exits.stop(_told(error), _exit_code(error))


def confirm(ask: bool, question: str) -> None:
    """Ask on a terminal whether to go on; end the command where not."""
    # A script has nobody to ask, and said what it wants by calling.
    if ask and sys.stdin.isatty() and not typer.confirm(question, err=True):
        exits.stop("Nothing was changed.", exits.FAILED)


def _told(error: KeywrightError) -> str:
    request_id = getattr(error, "request_id", None)
    sentence = tables.printable(str(error))
    return f"{sentence} (request {tables.printable(request_id)})" if request_id else sentence


def _exit_code(error: KeywrightError) -> int:
    if isinstance(error, ServiceUnavailable):
        return exits.UNAVAILABLE
    if isinstance(error, Refused) and error.status in _NOT_ALLOWED_STATUSES:
        return exits.NOT_ALLOWED
    return exits.FAILED
