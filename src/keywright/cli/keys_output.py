"""Keys on standard output, for people or as JSON in the contract's words; a new private key is printed here, once."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import typer

from keywright.cli import tables
from keywright.contract import ApiKeyResponse, CreatedApiKeyResponse
from keywright.keys.pair import PrivateKey


def print_one(key: ApiKeyResponse, *, as_json: bool) -> None:
    """Print one key."""
    if as_json:
        print_json(key)
    else:
        tables.print_key(key)


def print_created(created: CreatedApiKeyResponse, *, as_json: bool) -> None:
    """Print a key with a new pair, its private half included; that it is shown this once goes to standard error."""
    print_one(created, as_json=as_json)
    if not as_json:
        typer.echo(f"\n{created.private_key.reveal()}")
    typer.echo("The private key is shown this once and cannot be had again. Keep it like a password.", err=True)


def print_json(value: Any) -> None:
    """Print what came from the service as it says it; a new key holds its private half."""
    typer.echo(json.dumps(_plain(value), indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, PrivateKey):
        return value.reveal()
    if isinstance(value, UUID):
        return str(value)
    if dataclasses.is_dataclass(value):
        members = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: _plain(member) for name, member in members if not _is_of_the_answer(name, member)}
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value


def _is_of_the_answer(name: str, member: Any) -> bool:
    """Tell what stood in the headers of an answer; an entity tag, where there was one, is worth showing."""
    return name == "replayed" or (name == "etag" and member is None)
