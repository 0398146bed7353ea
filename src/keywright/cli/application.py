"""The commands and their options. What they do is in a module each, imported when the command runs."""

from typing import Annotated

import typer

from keywright import __version__
from keywright.cli.audit_commands import audit
from keywright.cli.dev_commands import dev
from keywright.cli.keys_commands import keys
from keywright.cli.verifiers_commands import verifiers

# Typer's own tracebacks show local variables, private keys among them.
app = typer.Typer(
    name="keywright",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(audit, name="audit")
app.add_typer(dev, name="dev")
app.add_typer(keys, name="keys")
app.add_typer(verifiers, name="verifiers")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keywright {__version__}")
        raise typer.Exit


@app.callback()
def keywright(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """API keys for products whose users sign in through Auth0."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; before KEYWRIGHT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; before KEYWRIGHT_PORT.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many processes answer; before KEYWRIGHT_WORKERS.")] = None,
) -> None:
    """
    Run the service with the settings of the environment.

    An embedded database is migrated first; a PostgreSQL one must have been, with `keywright migrate`.
    """
    from keywright.cli.serve import run

    run(host=host, port=port, workers=workers)


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 when something is pending.")
    ] = False,
) -> None:
    """Bring the database that KEYWRIGHT_DATABASE_URL names up to date."""
    from keywright.cli.database import check_pending, migrate_aloud
    from keywright.cli.exits import load_settings

    # A job that migrates needs no issuer; whatever else is in the environment is the service's.
    settings = load_settings(auth0_domain="", issuer="https://not.wanted.example/", audience="not wanted")
    url = settings.database_url.get_secret_value()
    if check:
        check_pending(url)
    else:
        migrate_aloud(url)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Findings as a JSON array on standard output.")] = False,
) -> None:
    """Look for what is wrong with the settings, the issuer and the database, and say how to mend it."""
    from keywright.cli.doctor import run

    run(as_json=as_json)
