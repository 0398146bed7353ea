"""`keywright dev`: the embedded issuer and the service in one process, on loopback only."""

import secrets
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keywright.cli import exits
from keywright.cli.commands import Group
from keywright.dev.environment import DEFAULT_FOLDER, DevEnvironment

if TYPE_CHECKING:
    import socket

    from keywright.dev.folder import DevFolder
    from keywright.dev.issuer import DevIssuer

_PATH = click.Path(path_type=Path)


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=("keywright dev", "keywright dev --port 9080 --issuer-port 9081"),
)
@click.option("--port", type=int, default=8080, show_default=True, metavar="NUMBER", help="The service's port.")
@click.option(
    "--issuer-port", type=int, default=8081, show_default=True, metavar="NUMBER", help="The embedded issuer's port."
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="A loopback address.")
@click.option(
    "--dir",
    "folder",
    type=_PATH,
    default=DEFAULT_FOLDER,
    show_default=True,
    metavar="PATH",
    help="The folder of the issuer's key, the database and the file `env`.",
)
@click.pass_context
def dev(context: click.Context, port: int, issuer_port: int, host: str, folder: Path) -> None:
    """
    Run a demo on this host: the service, an issuer of tokens, and two demo organizations.

    Prints a session to paste into another terminal. Listens on loopback only: every process that can read its folder
    can sign tokens. The other commands find the running demo by the file `.keywright-dev/env` of their own folder.
    """
    context.obj = folder
    if context.invoked_subcommand is None:
        _run(host.removeprefix("[").removesuffix("]"), port, issuer_port, folder)


@dev.command(
    examples=(
        "keywright dev token --org acme",
        "export KEYWRIGHT_TOKEN=$(keywright dev token --org globex --permissions read:api_keys)",
    )
)
@click.option("--org", required=True, metavar="NAME", help="acme, globex, or an organization's id.")
@click.option(
    "--permissions", metavar="NAMES", help="The token's `permissions`, separated by commas; absent by default."
)
@click.option("--scope", metavar="TEXT", help="The token's `scope`, separated by spaces.")
@click.option("--subject", default="auth0|demo", show_default=True, metavar="TEXT", help="The token's `sub`.")
@click.option(
    "--expires-in",
    type=int,
    default=43_200,
    show_default=True,
    metavar="NUMBER",
    help="Seconds from now; negative for an expired token.",
)
@click.option("--audience", metavar="TEXT", help="Another `aud` than the service's.")
@click.option("--dir", "folder", type=_PATH, metavar="PATH", help="The folder of `keywright dev`.")
@click.pass_obj
def token(
    folder_of_dev: Path,
    org: str,
    permissions: str | None,
    scope: str | None,
    subject: str,
    expires_in: int,
    audience: str | None,
    folder: Path | None,
) -> None:
    """Print an access token, signed with the key in the folder of `keywright dev`."""
    from keywright.dev.folder import DevFolder, DevFolderError

    with exits.ending_on(DevFolderError, code=exits.FAILED):
        issuer = DevFolder(folder or folder_of_dev).issuer()
    names = None if permissions is None else [name for name in permissions.split(",") if name.strip()]
    click.echo(
        issuer.token(org, subject=subject, permissions=names, scope=scope, audience=audience, expires_in=expires_in)
    )


def _run(host: str, port: int, issuer_port: int, path: Path) -> None:
    """Serve until Ctrl-C or SIGTERM; print the session to paste once requests are answered."""
    from keywright.cli.server import listening, metrics
    from keywright.keys.addresses import is_loopback

    if not is_loopback(host):
        exits.stop(
            "keywright dev listens on loopback addresses only, because its issuer has no passwords; "
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
    from keywright.dev import session
    from keywright.dev.sign_in import CLIENT_ID, OPERATORS

    # All its cookies of sign-ins under way end with this process, and so may their secret.
    secret = secrets.token_urlsafe(32)
    issuer.offer_sign_in(secret)
    # The settings that the printed session depends on; the environment may set the others.
    settings = exits.load_dev_settings(
        auth0_domain="",
        issuer=issuer.url,
        audience=issuer.audience,
        database_url=folder.database_url,
        org_claim="org_id",
        permissions="auto",
        operator_org=OPERATORS,
        workers=1,
        metrics="path",
        host=host,
        port=listener.getsockname()[1],
        # Of the service that the same environment may be for.
        tls_certificate=None,
        tls_key=None,
        public_url=listening.bound_url(listener, host),
        console_client_id=CLIENT_ID,
        console_client_secret=secret,
    )
    telemetry.configure_logging(settings.log_level, as_json=False)
    database.prepare(folder.database_url, trusts_ids=True)
    environment = DevEnvironment(
        url=listening.bound_url(listener, host),
        token=session.token(issuer, "acme"),
        database_url=folder.database_url,
        verifier=_verifier_credential(folder, settings.key_brand),
    )
    folder.save_environment(environment)
    if not process.run(settings, listener, on_ready=partial(_print_session, environment, folder, issuer)):
        exits.stop("The service could not start; the log has the cause.", exits.FAILED)


def _verifier_credential(folder: "DevFolder", brand: str) -> str:
    """Return the credential of the demo's verifier: that of the start before, or a new one."""
    from keywright.cli import database
    from keywright.dev import session

    former = folder.former_environment()
    return database.run_at(
        folder.database_url,
        lambda store: session.verifier_credential(
            database.verifiers_of(store, brand), None if former is None else former.verifier
        ),
    )


def _print_session(environment: DevEnvironment, folder: "DevFolder", issuer: "DevIssuer") -> None:
    from keywright.dev import session

    url = environment.url
    click.echo(f"Keywright is at {url} and its issuer at {issuer.url}; their data is in {folder.path}.", err=True)
    click.echo(f"Metrics are at {url}/metrics. Ctrl-C stops both.", err=True)
    if folder.path == DEFAULT_FOLDER:
        click.echo("In this folder, the other commands find it: keywright keys create NAME.", err=True)
    click.echo(f"A token of its operator: {session.OPERATOR_TOKEN}", err=True)
    click.echo("Paste this into another terminal:\n", err=True)
    click.echo(session.script(environment, issuer))
    # Last, so that it stands where people look.
    click.echo(f"\nOpen {url}/console and choose who you are; operators go to {url}/console/operator.", err=True)
