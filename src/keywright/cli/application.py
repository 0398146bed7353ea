"""
All commands. Each noun has a module, which imports at the top only what its options need.

The options of `serve` and `doctor` are here, because their modules import the server's packages.
"""

from typing import Annotated

import typer

from keywright import __version__
from keywright.cli.audit import audit
from keywright.cli.dev import dev
from keywright.cli.keys import keys
from keywright.cli.migrate import migrate
from keywright.cli.option_types import AsJson
from keywright.cli.verifiers import verifiers

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
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """API keys for products whose users sign in through Auth0."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; overrides KEYWRIGHT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; overrides KEYWRIGHT_PORT.")] = None,
    workers: Annotated[int | None, typer.Option(help="The number of processes; overrides KEYWRIGHT_WORKERS.")] = None,
) -> None:
    """
    Run the service with the settings of the environment.

    A SQLite database is migrated first. Migrate a PostgreSQL one with `keywright migrate` before.
    """
    from keywright.cli.server.serve import run

    run(host=host, port=port, workers=workers)


app.command()(migrate)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check the settings, the issuer, the database and Redis, and show how to fix each fault."""
    from keywright.cli.doctor.examination import run

    run(as_json=as_json)
