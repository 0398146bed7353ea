"""What `keywright keys …` does: calls to a running service, their results for people or for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from keywright.cli import exits, keys_output, tables
from keywright.cli.keys_service import confirm, service
from keywright.client import ManagementClient
from keywright.contract import ApiKeyResponse

CLEARED: Mapping[str, Any] = {
    "description": None,
    "expires_at": None,
    "external_id": None,
    "scopes": (),
    "allowed_ips": (),
    "rate_limits": (),
    "metadata": {},
}
"""What each field is when it is cleared."""


def list_keys(*, limit: int, everything: bool, as_json: bool, which: Mapping[str, Any]) -> None:
    """Print one page of keys, or all of them; *which* as for `ManagementClient.list`."""
    with service() as client:
        if everything:
            found, more = _read_all(client, limit, which), False
        else:
            page = client.list(limit=limit, **which)
            found, more = list(page.api_keys), page.next is not None
    if as_json:
        keys_output.print_json(found)
    else:
        tables.print_keys(found)
    if more:
        typer.echo(f"These are the newest {len(found)}; there are more: --all shows them.", err=True)


def create(name: str, *, as_json: bool, fields: Mapping[str, Any]) -> None:
    """Create a key and print it, its private half included; *fields* as for `ManagementClient.create`."""
    with service() as client:
        created = client.create(name, **_given(fields))
    keys_output.print_created(created, as_json=as_json)


def show(key_id: str, *, as_json: bool) -> None:
    """Print one key."""
    with service() as client:
        keys_output.print_one(client.get(key_id), as_json=as_json)


def update(
    key_id: str, *, as_json: bool, fields: Mapping[str, Any], cleared: Sequence[str], if_match: str | None
) -> None:
    """Change fields of a key and print it as it stands then; *fields* as for `ManagementClient.update`."""
    given = _given(fields)
    twice = sorted(given.keys() & set(cleared))
    if twice:
        exits.stop(f"{twice[0]} is to be set and to be cleared.", exits.MISUSED)
    changes = {**given, **{name: CLEARED[name] for name in cleared}}
    if not changes:
        exits.stop("Nothing is to be changed: name a field.", exits.MISUSED)
    with service() as client:
        keys_output.print_one(client.update(key_id, **changes, if_match=if_match), as_json=as_json)


def revoke(key_id: str, *, reason: str | None, ask: bool, as_json: bool) -> None:
    """Revoke a key and print it as it stands then."""
    confirm(ask, f"Revoke {key_id} for good?")
    with service() as client:
        keys_output.print_one(client.revoke(key_id, reason=reason), as_json=as_json)


def delete(key_id: str, *, ask: bool) -> None:
    """Delete a key."""
    confirm(ask, f"Delete {key_id} for good?")
    with service() as client:
        client.delete(key_id)
    typer.echo("Deleted.", err=True)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not typed."""
    return {name: value for name, value in fields.items() if value not in (None, [])}


def _read_all(client: ManagementClient, page_size: int, which: Mapping[str, Any]) -> list[ApiKeyResponse]:
    found: list[ApiKeyResponse] = []
    with tables.progress("reading keys") as tell:
        for key in client.iterate(page_size=page_size, **which):
            found.append(key)
            tell(len(found))
    return found
