"""
`keywright verifiers …`: the API servers that may check keys.

The commands work on the database itself, because verifiers belong to the operator and not to an organization.
"""

import dataclasses
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from keywright.cli import exits
from keywright.cli.option_types import AsJson
from keywright.cli.tables import printable

if TYPE_CHECKING:
    from keywright.service.verifier_sessions import Confirmation
    from keywright.service.verifiers import Verifiers

verifiers = typer.Typer(
    no_args_is_help=True,
    help="Create, list and revoke verifiers: the API servers that may check keys. Works on the database that "
    "KEYWRIGHT_DATABASE_URL names, whether or not the service runs.",
)

Name = Annotated[str, typer.Argument(help="The name of the verifier: letters, digits, dots, underscores, hyphens.")]
Result = TypeVar("Result")


@verifiers.command()
def create(name: Name, as_json: AsJson = False) -> None:
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
    typer.echo(_json({**dataclasses.asdict(verifier), "credential": text}) if as_json else text)
    typer.echo("The credential is shown only this time and cannot be read again. Store it like a password.", err=True)


@verifiers.command("list")
def list_verifiers(as_json: AsJson = False) -> None:
    """Show the verifiers, newest first."""
    found = _run(lambda verifiers: verifiers.store.verifiers())
    if as_json:
        typer.echo(_json([dataclasses.asdict(verifier) for verifier in found]))
        return
    for verifier in found:
        state = "revoked" if verifier.revoked_at is not None else "active"
        typer.echo(f"{printable(verifier.name):<32} {verifier.display:<16} {state}")


@verifiers.command()
def revoke(name: Name) -> None:
    """Revoke a verifier for good. Every running service refuses it within a second."""
    if _run(lambda verifiers: verifiers.revoke(name)) is None:
        exits.stop("There is no verifier of that name.", exits.FAILED)
    typer.echo("Revoked. Every running service refuses it within a second.")


@verifiers.command()
def receipt(
    key_id: Annotated[UUID, typer.Argument(help="The id of a revoked or deleted key.")],
    org: Annotated[UUID, typer.Option(help="The id of the key's organization.")],
    as_json: AsJson = False,
) -> None:
    """Show which processes acknowledged the revocation of a key, with their names; organizations see no names."""
    from keywright.cli import database

    url = exits.load_database_settings().database_url.get_secret_value()
    database.require_migrated(url)
    found = database.run(url, lambda store: store.receipt(org, key_id))
    if found is None:
        exits.stop("That key was neither revoked nor deleted, or its receipt was removed for its age.", exits.FAILED)
    sessions = [_session(each, found.committed_by) for each in found.confirmations]
    if as_json:
        typer.echo(_json({"key_id": key_id, "revoked_at": found.ended_at, "processes": sessions}))
        return
    for session in sessions:
        until = session["may_accept_until"]
        state = f"may accept the key until {until}" if until is not None else f"confirmed {session['confirmed_at']}"
        typer.echo(f"{printable(session['name']):<32} {session['kind']:<9} {state}")


def _session(confirmation: "Confirmation", committed_by: datetime) -> dict[str, Any]:
    return {
        "name": confirmation.session.name,
        "kind": "server" if confirmation.session.verifier_id is None else "verifier",
        "connected_at": confirmation.connected_at,
        "confirmed_at": confirmation.confirmed_at,
        "may_accept_until": confirmation.may_accept_until(committed_by),
    }


def _run(work: "Callable[[Verifiers], Awaitable[Result]]") -> Result:
    """Run *work* on the verifiers of the database; an embedded database is migrated first."""
    import secrets

    from keywright import system
    from keywright.cli import database
    from keywright.keys.cache import DigestCache
    from keywright.service.verifiers import Verifiers

    settings = exits.load_database_settings()
    url = settings.database_url.get_secret_value()
    database.prepare(url, trusts_ids=settings.trusts_org_ids)
    return database.run(
        url,
        lambda store: work(
            Verifiers(
                store=store,
                cache=DigestCache(2),
                clock=system.utc_now,
                monotonic=system.boot_seconds,
                entropy=secrets.token_bytes,
                new_id=system.new_id,
                brand=settings.key_brand,
                outage_seconds=0,
            )
        ),
    )


def _json(value: Any) -> str:
    return json.dumps(value, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value))
