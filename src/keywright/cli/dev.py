"""`keywright dev`: the embedded issuer and the service in one process, on loopback only."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keywright.cli import exits

if TYPE_CHECKING:
    import socket

    from keywright.dev.folder import DevFolder
    from keywright.dev.issuer import DevIssuer

dev = typer.Typer(invoke_without_command=True)


@dev.callback()
def run(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="The service's port.")] = 8080,
    issuer_port: Annotated[int, typer.Option(help="The embedded issuer's port.")] = 8081,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    folder: Annotated[Path, typer.Option("--dir", help="The folder of the issuer's key and the database.")] = Path(
        ".keywright-dev"
    ),
) -> None:
    """
    Run a demo on this host: the service, an issuer of tokens, and two demo organizations.

    Prints a session to paste into another terminal. Listens on loopback only: every process that can read its folder
    can sign tokens.
    """
    context.obj = folder
    if context.invoked_subcommand is None:
        _run(host.removeprefix("[").removesuffix("]"), port, issuer_port, folder)


@dev.command()
def token(
    context: typer.Context,
    org: Annotated[str, typer.Option(help="acme, globex, or an organization's id.")],
    permissions: Annotated[
        str | None, typer.Option(help="The token's `permissions`, separated by commas; absent by default.")
    ] = None,
    scope: Annotated[str | None, typer.Option(help="The token's `scope`, separated by spaces.")] = None,
    subject: Annotated[str, typer.Option(help="The token's `sub`.")] = "auth0|demo",
    expires_in: Annotated[int, typer.Option(help="Seconds from now; negative for an expired token.")] = 43_200,
    audience: Annotated[str | None, typer.Option(help="Another `aud` than the service's.")] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="The folder of `keywright dev`.")] = None,
) -> None:
    """Print an access token, signed with the key in the folder of `keywright dev`."""
    from keywright.dev.folder import DevFolder, DevFolderError

    with exits.ending_on(DevFolderError, code=exits.FAILED):
        issuer = DevFolder(folder or context.obj).issuer()
    names = None if permissions is None else [name for name in permissions.split(",") if name.strip()]
    claims: dict[str, Any] = {
        "subject": subject,
        "permissions": names,
        "scope": scope,
        "audience": audience,
        "expires_in": expires_in,
    }
    typer.echo(issuer.token(org, **claims))


def _run(host: str, port: int, issuer_port: int, path: Path) -> None:
    """Serve until Ctrl-C or SIGTERM; print the session to paste once requests are answered."""
    from keywright.cli.server import listening, metrics
    from keywright.keys.addresses import is_loopback

    if not is_loopback(host):
        exits.stop(
            "keywright dev listens on loopback addresses only, because its issuer has no sign-in; "
            "use `keywright serve` on other addresses.",
            exits.MISUSED,
        )
    with ExitStack() as stack:
        stack.enter_context(exits.unwinding_on_sigterm())
        stack.enter_context(metrics.shared_folder(1))
        with exits.ending_on(listening.CannotListen, code=exits.MISUSED, advice=" Choose another port with --port."):
            listener = stack.enter_context(listening.listen(host, port))
        folder, issuer = _start_issuer(path, host, issuer_port, stack)
        _serve(folder, issuer, host, listener)


def _start_issuer(path: Path, host: str, port: int, stack: ExitStack) -> "tuple[DevFolder, DevIssuer]":
    from keywright.cli.server import listening
    from keywright.dev.folder import DevFolder, DevFolderError
    from keywright.dev.issuer import DevIssuer

    with exits.ending_on(DevFolderError, code=exits.FAILED):
        folder = DevFolder.create(path)
        issuer = DevIssuer(folder.signing_key(), host=host, port=port)
    try:
        stack.enter_context(issuer)
    except (OSError, OverflowError) as error:
        where, why = listening.shown(host, port), listening.reason(error)
        exits.stop(f"Cannot listen on {where}: {why}. Choose another port with --issuer-port.", exits.MISUSED)
    folder.save_address(issuer)
    return folder, issuer


def _serve(folder: "DevFolder", issuer: "DevIssuer", host: str, listener: "socket.socket") -> None:
    from keywright import telemetry
    from keywright.cli import database
    from keywright.cli.server import listening, process

    # The settings that the printed session depends on; the environment may set the others.
    settings = exits.load_settings(
        auth0_domain="",
        issuer=issuer.url,
        audience=issuer.audience,
        database_url=folder.database_url,
        org_claim="org_id",
        permissions="auto",
        workers=1,
        metrics="path",
        host=host,
        port=listener.getsockname()[1],
    )
    telemetry.configure_logging(settings.log_level, as_json=False)
    database.prepare(folder.database_url, trusts_ids=True)
    url = listening.bound_url(listener, host)
    if not process.run(settings, listener, on_ready=partial(_print_session, url, folder, issuer)):
        exits.stop("The service could not start; the log has the cause.", exits.FAILED)


def _print_session(url: str, folder: "DevFolder", issuer: "DevIssuer") -> None:
    from keywright.dev import session

    typer.echo(f"Keywright is at {url} and its issuer at {issuer.url}; their data is in {folder.path}.", err=True)
    typer.echo(f"Metrics are at {url}/metrics. Ctrl-C stops both. Paste this into another terminal:\n", err=True)
    typer.echo(session.script(url, issuer))
