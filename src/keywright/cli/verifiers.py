"""What `keywright verifiers …` does, on the database itself: verifiers are the operator's business, not a tenant's."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from keywright import config, system
from keywright.cli import database, exits, tables
from keywright.keys.cache import Known
from keywright.service.faults import StorageUnavailable
from keywright.service.verifiers import Verifier, Verifiers, flaw_in_verifier_name
from keywright.storage.engine import RunningStore, open_store

Result = TypeVar("Result")


def create(name: str, *, as_json: bool) -> None:
    """Make a verifier and print its credential."""
    flaw = flaw_in_verifier_name(name)
    if flaw is not None:
        exits.stop(flaw, exits.MISUSED)
    try:
        verifier, credential = _with_verifiers(lambda verifiers: verifiers.create(name))
    except ValueError:
        exits.stop(f"There is a verifier called {name} already; revoke it, or choose another name.", exits.FAILED)
    if as_json:
        typer.echo(json.dumps({**_plain(verifier), "credential": credential.reveal()}))
    else:
        typer.echo(credential.reveal())
    typer.echo("The credential is shown this once and cannot be had again. Keep it like a password.", err=True)


def list_verifiers(*, as_json: bool) -> None:
    """Print every verifier."""
    found = _with_verifiers(lambda verifiers: verifiers.store.verifiers())
    if as_json:
        typer.echo(json.dumps([_plain(verifier) for verifier in found]))
        return
    for verifier in found:
        state = "revoked" if verifier.revoked_at is not None else "active"
        typer.echo(f"{tables.printable(verifier.name):<32} {verifier.display:<16} {state}")


def revoke(name: str) -> None:
    """Revoke a verifier."""
    if _with_verifiers(lambda verifiers: verifiers.revoke(name)) is None:
        exits.stop("There is no verifier of that name.", exits.FAILED)
    typer.echo("Revoked. Every running service refuses it within a second.")


def _with_verifiers(do: Callable[[Verifiers], Awaitable[Result]]) -> Result:
    """Open the database, have *do* done, and close it; end the command where the database is in no state for it."""
    # A job on the database needs no issuer.
    settings = exits.load_settings(auth0_domain="", issuer="https://not.wanted.example/", audience="not wanted")
    url = settings.database_url.get_secret_value()
    database.prepare(url)

    async def run() -> Result:
        store = open_store(url)
        try:
            return await do(_verifiers(store, settings))
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StorageUnavailable as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.UNAVAILABLE)


def _verifiers(store: RunningStore, settings: config.Settings) -> Verifiers:
    return Verifiers(
        store=store,
        known=Known(2),
        clock=system.utc_now,
        monotonic=system.boot_seconds,
        entropy=secrets.token_bytes,
        new_id=system.new_id,
        brand=settings.key_brand,
        outage_seconds=0,
    )


def _plain(verifier: Verifier) -> dict[str, str | None]:
    return {
        "id": str(verifier.id),
        "name": verifier.name,
        "display": verifier.display,
        "created_at": verifier.created_at.isoformat(),
        "revoked_at": None if verifier.revoked_at is None else verifier.revoked_at.isoformat(),
    }
