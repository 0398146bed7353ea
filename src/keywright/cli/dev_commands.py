"""`keywright dev` and `keywright dev token`: their options."""

from pathlib import Path
from typing import Annotated

import typer

dev = typer.Typer(invoke_without_command=True)

_TWELVE_HOURS = 12 * 3600


@dev.callback()
def run(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="The service's port.")] = 8080,
    issuer_port: Annotated[int, typer.Option(help="The embedded issuer's port.")] = 8081,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    folder: Annotated[Path, typer.Option("--dir", help="Where the issuer's key and the database are kept.")] = Path(
        ".keywright-dev"
    ),
) -> None:
    """
    Run everything on this machine, for trying it: the service, an issuer of tokens, and two demo organizations.

    Prints a session to paste into another terminal. It listens on loopback only: whoever reads its folder can sign
    tokens.
    """
    context.obj = folder
    if context.invoked_subcommand is None:
        from keywright.cli import dev as commands

        commands.run(host=host, port=port, issuer_port=issuer_port, path=folder)


@dev.command()
def token(
    context: typer.Context,
    org: Annotated[str, typer.Option(help="acme, globex, or an organization's id.")],
    permissions: Annotated[
        str | None, typer.Option(help="The token's `permissions`, separated by commas; without it, none are stated.")
    ] = None,
    scope: Annotated[str | None, typer.Option(help="The token's `scope`, separated by spaces.")] = None,
    subject: Annotated[str, typer.Option(help="The token's `sub`.")] = "auth0|demo",
    expires_in: Annotated[int, typer.Option(help="Seconds from now; negative for one that has expired.")] = (
        _TWELVE_HOURS
    ),
    audience: Annotated[str | None, typer.Option(help="Another `aud` than the service's.")] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="The folder of `keywright dev`.")] = None,
) -> None:
    """Print an access token, signed with the key in the folder of `keywright dev`."""
    from keywright.cli import dev as commands

    typer.echo(
        commands.token(
            folder or context.obj,
            org,
            permissions=None if permissions is None else [name for name in permissions.split(",") if name.strip()],
            scope=scope,
            subject=subject,
            expires_in=expires_in,
            audience=audience,
        )
    )
