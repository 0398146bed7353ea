"""API keys on standard output: for people, or as the API's JSON. Here a new private key is printed, once."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from keywright.cli.option_types import shown_duration
from keywright.cli.tables import Layout, day, moment, print_fields, print_fitted
from keywright.keys.record import Status

if TYPE_CHECKING:
    from keywright.contract import ApiKeyResponse, CreatedApiKeyResponse, RateLimitResponse, SecretResponse

Answer = TypeVar("Answer")

# Shorter names look alike, so columns are omitted before names are cut below this.
_NAME_WIDTH = 20
_NAME_STUB_WIDTH = 6


def print_key(key: "ApiKeyResponse", *, as_json: bool) -> None:
    """Print one key, with its entity tag if the answer has one."""
    from keywright.contract.codec import ABSENT

    key = dataclasses.replace(key, etag=key.etag or ABSENT)
    print_answer(key, lambda key: print_fields(dict(_fields(key))), as_json=as_json)


def print_created(created: "CreatedApiKeyResponse", *, as_json: bool) -> None:
    """
    Print a key with a new pair and its private key; a warning about it goes to standard error.

    A file or a pipe gets the private key alone, so that `KEY=$(keywright keys create NAME)` is the key; a terminal
    gets the fields, too.
    """
    from keywright.contract.codec import ABSENT

    # The answer to a repeated request has the same key, so the output is the same.
    created = dataclasses.replace(created, replayed=ABSENT)
    if as_json or sys.stdout.isatty():
        print_key(created, as_json=as_json)
    if not as_json:
        click.echo(("\n" if sys.stdout.isatty() else "") + created.private_key.reveal())
    click.echo("The private key is shown only this time and cannot be read again. Store it like a password.", err=True)


def print_keys(keys: Sequence["ApiKeyResponse"], *, as_json: bool) -> None:
    """
    Print one line a key.

    On a terminal the line fits: columns are omitted or shortened, then names are cut. Ids are never cut, because the
    other commands need them. A file or a pipe gets every column.
    """
    print_answer(keys, lambda keys: print_fitted(list(_layouts(keys))), as_json=as_json)


def print_answer(answer: Answer, print_for_people: Callable[[Answer], None], *, as_json: bool) -> None:
    """Print an answer of the service, as JSON or with *print_for_people*. JSON of a new key has the private key."""
    if as_json:
        from keywright.contract import written

        # Written by the contract, so the JSON is the API's; the standard library indents it.
        click.echo(json.dumps(json.loads(written(answer)), indent=2))
    else:
        print_for_people(answer)


def mention_more(count: int, what: str = "") -> None:
    """Note on standard error that there are more rows, or more of *what*, than the *count* printed."""
    click.echo(f"These are the first {' '.join((str(count), what)).strip()}. There are more: use --all.", err=True)


def _layouts(keys: Sequence["ApiKeyResponse"]) -> Iterator[Layout]:
    """Yield the layouts for *keys*, the fullest first."""
    ids = {"ID": [str(key.id) for key in keys]}
    names = {"Name": [key.name for key in keys]}
    displays = {"Key": [key.private_key_display for key in keys]}
    # The last characters differ from key to key.
    endings = {"Key": [f"…{key.private_key_display[-4:]}" for key in keys]}
    created = {"Created": [day(key.created_at) for key in keys]}
    statuses = {"Status": [_status(key) for key in keys]}
    plain_statuses = {"Status": [key.status.value for key in keys]}
    used = {"Last used": [day(key.last_used_at) for key in keys]}
    for columns in (
        {**names, **displays, **created, **statuses, **used},
        {**names, **displays, **created, **plain_statuses, **used},
        {**names, **endings, **created, **plain_statuses, **used},
        {**names, **endings, **plain_statuses, **used},
        {**names, **endings, **plain_statuses},
        {**names, **plain_statuses},
    ):
        yield Layout({**ids, **columns}, _NAME_WIDTH)
    yield Layout({**ids, **names}, _NAME_STUB_WIDTH)
    yield Layout(ids, 0)


def _fields(key: "ApiKeyResponse") -> Iterator[tuple[str, str]]:
    yield "ID", str(key.id)
    yield "Organization", f"{key.org_id} ({key.org_external_id})"
    yield "Name", key.name
    yield "Description", key.description or "–"
    yield "Environment", key.environment or "–"
    yield "Public key", key.public_key
    yield "Private key", key.private_key_display
    yield "Created", f"{moment(key.created_at)} by {key.created_by}"
    yield "Expires", moment(key.expires_at)
    reason = "" if key.revocation_reason is None else f" ({key.revocation_reason.replace('_', ' ')})"
    by = "" if key.revoked_by is None else f" by {key.revoked_by}"
    yield "Status", f"{_status(key)}{reason}{by}"
    yield "Last used", moment(key.last_used_at)
    yield "Scopes", ", ".join(key.scopes) or "–"
    yield "Allowed from", ", ".join(key.allowed_ips) or "anywhere"
    yield "Rate limits", ", ".join(map(_limit, key.rate_limits)) or "–"
    yield "External id", key.external_id or "–"
    yield "Metadata", json.dumps(dict(key.metadata), ensure_ascii=False) if key.metadata else "–"
    for number, secret in enumerate(key.secrets, 1):
        yield f"Secret {number}", _secret(secret)


def _status(key: "ApiKeyResponse") -> str:
    end = {Status.REVOKED: key.revoked_at, Status.EXPIRED: key.expires_at}
    return f"{key.status.value} {day(end[key.status])}" if key.status in end else key.status.value


def _limit(limit: "RateLimitResponse") -> str:
    return f"{limit.name}: {limit.limit} in {shown_duration(limit.window_seconds)}"


def _secret(secret: "SecretResponse") -> str:
    used = f"last used {moment(secret.last_used_at)}" if secret.last_used_at else "not used yet"
    end = "current"
    if secret.retires_at is not None:
        end = f"works until {moment(secret.retires_at)}"
    if secret.retire_when_idle_seconds is not None:
        end += f", or {shown_duration(secret.retire_when_idle_seconds)} without use"
    return f"{secret.private_key_display} of {day(secret.created_at)}, {end}, {used}"
