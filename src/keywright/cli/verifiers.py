"""
`keywright verifiers …`: the API servers that may check keys.

The commands work on the database itself, because verifiers belong to the operator and not to an organization.
"""

import dataclasses
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keywright.cli import exits, option_types
from keywright.cli.commands import Group

if TYPE_CHECKING:
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
    from keywright.cli.tables import moment, print_rows

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


def _run(work: "Callable[[Verifiers], Awaitable[Result]]") -> Result:
    """Run *work* on the verifiers of the database."""
    from keywright.cli import database

    url = database.existing_url()
    return database.run(url, lambda store: work(database.verifiers_of(store, exits.load_database_settings().key_brand)))


def _json(value: Any) -> str:
    return json.dumps(value, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value))
