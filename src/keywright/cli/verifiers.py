"""
`keywright verifiers …`: the API servers that may check keys.

The commands work on the database itself, because verifiers belong to the operator and not to an organization.
"""

import dataclasses
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from keywright.cli import exits, option_types
from keywright.cli.commands import Group
from keywright.cli.tables import moment, print_rows, printable

if TYPE_CHECKING:
    from keywright.service.verifier_sessions import Confirmation
    from keywright.service.verifiers import Verifiers

_name = click.argument("name", metavar="NAME", help="Letters, digits, dots, underscores and hyphens.")
Result = TypeVar("Result")


@click.group(
    cls=Group, examples=("export KEYWRIGHT_VERIFIER=$(keywright verifiers create api-1)", "keywright verifiers list")
)
def verifiers() -> None:
    """
    Create, list and revoke verifiers: the API servers that may check keys.

    Works on the database that KEYWRIGHT_DATABASE_URL names, whether or not the service runs.
    """


@verifiers.command(
    examples=("keywright verifiers create api-1", "export KEYWRIGHT_VERIFIER=$(keywright verifiers create api-2)")
)
@_name
@option_types.as_json
def create(name: str, as_json: bool) -> None:
    """Create a verifier. Its credential is printed only this time."""
    from keywright.service.verifiers import flaw_in_verifier_name

    flaw = flaw_in_verifier_name(name)
    if flaw is not None:
        exits.stop(flaw, exits.MISUSED)
    try:
        verifier, credential = _run(lambda verifiers: verifiers.create(name))
    except ValueError:
        exits.stop(f"A verifier called {name} exists; revoke it, or choose another name.", exits.FAILED)
    text = credential.reveal()
    click.echo(_json({**dataclasses.asdict(verifier), "credential": text}) if as_json else text)
    click.echo("The credential is shown only this time and cannot be read again. Store it like a password.", err=True)


@verifiers.command("list", examples=("keywright verifiers list", "keywright verifiers list --json"))
@option_types.as_json
def list_verifiers(as_json: bool) -> None:
    """Show the verifiers, newest first."""
    found = _run(lambda verifiers: verifiers.store.verifiers())
    if as_json:
        click.echo(_json([dataclasses.asdict(verifier) for verifier in found]))
        return
    rows = [
        (one.name, one.display, moment(one.created_at), "active" if one.revoked_at is None else "revoked")
        for one in found
    ]
    print_rows(("Name", "Credential", "Created", "Status"), rows)


@verifiers.command(examples=("keywright verifiers revoke api-1",))
@_name
def revoke(name: str) -> None:
    """Revoke a verifier for good. Every running service refuses it within a second."""
    if _run(lambda verifiers: verifiers.revoke(name)) is None:
        exits.stop("There is no verifier of that name.", exits.FAILED)
    click.echo("Revoked. Every running service refuses it within a second.")


@verifiers.command(
    examples=(
        "keywright verifiers receipt 019a5d2e-0b6a-7d3e-8f10-5c9e4b7a2d31 --org 019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b22",
    )
)
@click.argument("key_id", type=click.UUID, metavar="ID", help="The id of a revoked or deleted key.")
@click.option("--org", type=click.UUID, required=True, metavar="ID", help="The id of the key's organization.")
@option_types.as_json
def receipt(key_id: UUID, org: UUID, as_json: bool) -> None:
    """Show which processes acknowledged the revocation of a key, with their names; organizations see no names."""
    from keywright.cli import database

    found = database.run(lambda store: store.receipt(org, key_id))
    if found is None:
        exits.stop("That key was neither revoked nor deleted, or its receipt was removed for its age.", exits.FAILED)
    sessions = [_session(each, found.committed_by) for each in found.confirmations]
    if as_json:
        click.echo(_json({"key_id": key_id, "revoked_at": found.ended_at, "processes": sessions}))
        return
    for session in sessions:
        until = session["may_accept_until"]
        state = f"may accept the key until {until}" if until is not None else f"confirmed {session['confirmed_at']}"
        click.echo(f"{printable(session['name']):<32} {session['kind']:<9} {state}")


def _session(confirmation: "Confirmation", committed_by: datetime) -> dict[str, Any]:
    return {
        "name": confirmation.session.name,
        "kind": "server" if confirmation.session.verifier_id is None else "verifier",
        "connected_at": confirmation.connected_at,
        "confirmed_at": confirmation.confirmed_at,
        "may_accept_until": confirmation.may_accept_until(committed_by),
    }


def _run(work: "Callable[[Verifiers], Awaitable[Result]]") -> Result:
    """Run *work* on the verifiers of the database."""
    from keywright.cli import database

    brand = exits.load_database_settings().key_brand
    return database.run(lambda store: work(database.verifiers_of(store, brand)))


def _json(value: Any) -> str:
    return json.dumps(value, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value))
