"""API keys on standard output: for people, or as JSON like the API's own. A new private key is printed here, once."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import typer

from keywright.cli.option_types import shown_duration
from keywright.cli.tables import Layout, day, moment, print_fields, print_fitted
from keywright.keys.pair import PrivateKey
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import Status

if TYPE_CHECKING:
    from keywright.client.records import ApiKey, CreatedApiKey, Secret

Answer = TypeVar("Answer")

# Shorter names look alike; columns are left out before names are cut below this.
_NAME_WIDTH = 20
_NAME_STUB_WIDTH = 6


def print_key(key: "ApiKey", *, as_json: bool) -> None:
    """Print one key."""
    print_answer(key, lambda key: print_fields(dict(_fields(key))), as_json=as_json)


def print_created(created: "CreatedApiKey", *, as_json: bool) -> None:
    """Print a key with a new pair, its private key included; the warning about that goes to standard error."""
    print_key(created, as_json=as_json)
    if created.private_key is None:
        return
    if not as_json:
        typer.echo(f"\n{created.private_key.reveal()}")
    typer.echo("The private key is shown this once and cannot be had again. Keep it like a password.", err=True)


def print_keys(keys: Sequence["ApiKey"], *, as_json: bool) -> None:
    """
    Print one line a key.

    On a terminal the line fits: columns are left out or shortened, then names are cut. Ids stay whole, because the
    other commands take them. A file or a pipe gets every column.
    """
    print_answer(keys, lambda keys: print_fitted(list(_layouts(keys))), as_json=as_json)


def print_answer(answer: Answer, print_for_people: Callable[[Answer], None], *, as_json: bool) -> None:
    """Print an answer of the service, as JSON or with *print_for_people*; a new key's includes the private key."""
    if as_json:
        typer.echo(json.dumps(_plain(answer), indent=2))
    else:
        print_for_people(answer)


def mention_more(count: int) -> None:
    """Say on standard error that the *count* rows printed are not all."""
    typer.echo(f"These are the newest {count}; there are more: --all shows them.", err=True)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, PrivateKey):
        return value.reveal()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, RateLimit):
        return value._asdict()
    if dataclasses.is_dataclass(value):
        members = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: _plain(member) for name, member in members if not _is_of_a_header(name, member)}
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value


def _is_of_a_header(name: str, member: Any) -> bool:
    """Tell what stood in a header of the answer; an entity tag, where there was one, is shown nevertheless."""
    return name == "replayed" or (name == "etag" and member is None)


def _layouts(keys: Sequence["ApiKey"]) -> Iterator[Layout]:
    """Give the ways to show *keys*, the fullest first."""
    ids = {"ID": [str(key.id) for key in keys]}
    names = {"Name": [key.name for key in keys]}
    displays = {"Key": [key.private_key_display for key in keys]}
    # People compare the last characters, which differ from key to key.
    endings = {"Key": [f"…{key.private_key_display[-4:]}" for key in keys]}
    created = {"Created": [day(key.created_at) for key in keys]}
    statuses = {"Status": [_status(key) for key in keys]}
    words = {"Status": [key.status.value for key in keys]}
    used = {"Last used": [day(key.last_used_at) for key in keys]}
    for columns in (
        {**names, **displays, **created, **statuses, **used},
        {**names, **displays, **created, **words, **used},
        {**names, **endings, **created, **words, **used},
        {**names, **endings, **words, **used},
        {**names, **endings, **words},
        {**names, **words},
    ):
        yield Layout({**ids, **columns}, _NAME_WIDTH)
    yield Layout({**ids, **names}, _NAME_STUB_WIDTH)
    yield Layout(ids, 0)


def _fields(key: "ApiKey") -> Iterator[tuple[str, str]]:
    yield "ID", str(key.id)
    yield "Organization", str(key.org_id)
    yield "Name", key.name
    yield "Description", key.description or "–"
    yield "Environment", key.environment or "–"
    yield "Public key", key.public_key
    yield "Private key", key.private_key_display
    yield "Created", moment(key.created_at)
    yield "Expires", moment(key.expires_at)
    reason = "" if key.revocation_reason is None else f" ({key.revocation_reason.replace('_', ' ')})"
    yield "Status", f"{_status(key)}{reason}"
    yield "Last used", moment(key.last_used_at)
    yield "Scopes", ", ".join(key.scopes) or "–"
    yield "Allowed from", ", ".join(key.allowed_ips) or "anywhere"
    yield "Rate limits", ", ".join(map(_limit, key.rate_limits)) or "–"
    yield "External id", key.external_id or "–"
    yield "Metadata", json.dumps(dict(key.metadata), ensure_ascii=False) if key.metadata else "–"
    for place, secret in enumerate(key.secrets, 1):
        yield f"Secret {place}", _secret(secret)


def _status(key: "ApiKey") -> str:
    end = {Status.REVOKED: key.revoked_at, Status.EXPIRED: key.expires_at}
    return f"{key.status.value} {day(end[key.status])}" if key.status in end else key.status.value


def _limit(limit: RateLimit) -> str:
    return f"{limit.name}: {limit.limit} in {shown_duration(limit.window_seconds)}"


def _secret(secret: "Secret") -> str:
    used = f"last used {moment(secret.last_used_at)}" if secret.last_used_at else "not used yet"
    end = "current"
    if secret.retires_at is not None:
        end = f"works until {moment(secret.retires_at)}"
    if secret.retire_when_quiet_seconds is not None:
        end += f", or {shown_duration(secret.retire_when_quiet_seconds)} without use"
    return f"{secret.private_key_display} of {day(secret.created_at)}, {end}, {used}"
