"""What `keywright keys …` does: calls to a running service, their results for people or for programs."""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import typer

from keywright.cli import exits, tables
from keywright.client.errors import KeywrightError, Refused, ServiceUnavailable
from keywright.client.management import ApiKey, ManagementClient
from keywright.keys.pair import PrivateKey

DEFAULT_URL = "http://127.0.0.1:8080"
_NOT_ALLOWED_STATUSES = frozenset({401, 403})


def list_keys(*, limit: int, everything: bool, as_json: bool) -> None:
    """Print one page of keys, or all of them."""
    with _service() as service:
        if everything:
            found, more = _read_all(service, limit), False
        else:
            page = service.list(limit=limit)
            found, more = list(page.api_keys), page.next is not None
    if as_json:
        _print_json([_plain(key) for key in found])
    else:
        tables.print_keys(found)
    if more:
        typer.echo(f"These are the newest {len(found)}; there are more: --all shows them.", err=True)


def create(name: str, description: str | None, *, as_json: bool) -> None:
    """Create a key and print it, its private half included."""
    with _service() as service:
        created = service.create(name, description=description)
    if as_json:
        _print_json(_plain(created))
    else:
        tables.print_key(created)
        if created.private_key is not None:
            typer.echo(f"\n{created.private_key.reveal()}")
    if created.private_key is not None:
        typer.echo("The private key is shown this once and cannot be had again. Keep it like a password.", err=True)


def show(key_id: str, *, as_json: bool) -> None:
    """Print one key."""
    with _service() as service:
        _print_one(service.get(key_id), as_json=as_json)


def revoke(key_id: str, *, ask: bool, as_json: bool) -> None:
    """Revoke a key and print it as it stands then."""
    _confirm(ask, f"Revoke {key_id} for good?")
    with _service() as service:
        _print_one(service.revoke(key_id), as_json=as_json)


def delete(key_id: str, *, ask: bool) -> None:
    """Delete a key."""
    _confirm(ask, f"Delete {key_id} for good?")
    with _service() as service:
        service.delete(key_id)
    typer.echo("Deleted.", err=True)


@contextmanager
def _service() -> Iterator[ManagementClient]:
    token = os.environ.get("KEYWRIGHT_TOKEN", "").strip()
    if not token:
        exits.stop(
            "KEYWRIGHT_TOKEN is not set: it is the access token to call the service with "
            "(beside `keywright dev`: export KEYWRIGHT_TOKEN=$(keywright dev token --org acme)).",
            exits.MISUSED,
        )
    try:
        with ManagementClient(os.environ.get("KEYWRIGHT_URL") or DEFAULT_URL, token) as service:
            yield service
    except KeywrightError as error:
        exits.stop(_told(error), _exit_code(error))


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


def _read_all(service: ManagementClient, page_size: int) -> list[ApiKey]:
    found: list[ApiKey] = []
    with tables.progress("reading keys") as tell:
        for key in service.iterate(page_size=page_size):
            found.append(key)
            tell(len(found))
    return found


def _confirm(ask: bool, question: str) -> None:
    # A script has nobody to ask, and said what it wants by calling.
    if ask and sys.stdin.isatty() and not typer.confirm(question, err=True):
        exits.stop("Nothing was changed.", exits.FAILED)


def _print_one(key: ApiKey, *, as_json: bool) -> None:
    if as_json:
        _print_json(_plain(key))
    else:
        tables.print_key(key)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def _plain(key: ApiKey) -> dict[str, Any]:
    """Say a key in the contract's words and JSON's types; that of a new one holds the private key."""
    return {field.name: _plain_value(getattr(key, field.name)) for field in dataclasses.fields(key)}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, PrivateKey):
        return value.reveal()
    return str(value) if isinstance(value, UUID) else value
