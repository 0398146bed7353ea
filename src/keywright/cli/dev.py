"""`keywright dev`: the embedded issuer and the service in one process, on loopback and nowhere else."""

import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import typer

from keywright.cli import exits, listening, metrics
from keywright.cli.listening import CannotListen
from keywright.dev import session
from keywright.dev.folder import DevFolder, DevFolderError
from keywright.dev.issuer import DevIssuer


def run(*, host: str, port: int, issuer_port: int, path: Path) -> None:
    """Serve until Ctrl-C or SIGTERM; print the session to paste once requests are answered."""
    from keywright.keys.addresses import is_loopback

    host = host.removeprefix("[").removesuffix("]")
    if not is_loopback(host):
        exits.stop(
            "keywright dev listens on loopback addresses only, because its issuer gives tokens to anybody; "
            "`keywright serve` is for others.",
            exits.MISUSED,
        )
    with ExitStack() as held:
        held.enter_context(exits.unwinding_on_sigterm())
        held.enter_context(metrics.shared_folder(1))
        try:
            listener = held.enter_context(listening.listen(host, port))
        except CannotListen as error:
            exits.stop(f"{error} Choose another port with --port.", exits.MISUSED)
        folder, issuer = _start_issuer(path, host, issuer_port, held)
        _serve(folder, issuer, host, listener)


def token(path: Path, organization: str, **claims: Any) -> str:
    """Sign a token with the key in the folder at *path*; *claims* are those of `DevIssuer.token`."""
    try:
        return DevFolder(path).issuer().token(organization, **claims)
    except DevFolderError as error:
        exits.stop(str(error), exits.FAILED)


def _start_issuer(path: Path, host: str, port: int, held: ExitStack) -> tuple[DevFolder, DevIssuer]:
    try:
        folder = DevFolder.create(path)
        issuer = DevIssuer(folder.signing_key(), host=host, port=port)
    except DevFolderError as error:
        exits.stop(str(error), exits.FAILED)
    try:
        held.enter_context(issuer)
    except (OSError, OverflowError) as error:
        where, why = listening.shown(host, port), listening.reason(error)
        exits.stop(f"Cannot listen on {where}: {why}. Choose another port with --issuer-port.", exits.MISUSED)
    folder.remember(issuer)
    return folder, issuer


def _serve(folder: DevFolder, issuer: DevIssuer, host: str, listener: socket.socket) -> None:
    from keywright import telemetry
    from keywright.cli import database

    # What would keep the printed session from working is set here; anything else may come from the environment.
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
    database.prepare(folder.database_url)
    from keywright.cli import server

    url = listening.bound_url(listener, host)
    if not server.run(settings, listener, on_ready=partial(_print_session, url, folder, issuer)):
        exits.stop("The service could not start; the log says why.", exits.FAILED)


def _print_session(url: str, folder: DevFolder, issuer: DevIssuer) -> None:
    typer.echo(f"Keywright is at {url} and its issuer at {issuer.url}; all of it is kept in {folder.path}.", err=True)
    typer.echo(f"Metrics are at {url}/metrics. Ctrl-C ends it. Paste this into another terminal:\n", err=True)
    typer.echo(session.script(url, issuer))
