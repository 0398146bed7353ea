"""
All commands. Each noun has a module, which imports at the top only what its options need.

The options of `serve`, `doctor` and `healthcheck` are here, because their modules import the server's packages, or
must do without click.
"""

import click

from keywright import __version__
from keywright.cli import option_types
from keywright.cli.agent import agent
from keywright.cli.audit import audit
from keywright.cli.commands import Group
from keywright.cli.console import console
from keywright.cli.data.organizations import organizations
from keywright.cli.data.restore_check import restore_check
from keywright.cli.dev import dev
from keywright.cli.keys.management import keys
from keywright.cli.migrate import migrate
from keywright.cli.operator import operator
from keywright.cli.verifiers import verifiers


@click.group(
    cls=Group,
    name="keywright",
    # Those of all commands: a context takes them from the one above it.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=("keywright dev", 'KEY=$(keywright keys create "Billing export")', "keywright keys list"),
)
@click.version_option(__version__, message="%(prog)s %(version)s", help="Show the version and exit.")
def app() -> None:
    """API keys for products whose users sign in through Auth0."""


@app.command(examples=("keywright serve", "keywright serve --host 0.0.0.0 --port 8080 --workers 2"))
@click.option("--host", metavar="ADDRESS", help="The address to listen on; overrides KEYWRIGHT_HOST.")
@click.option("--port", type=int, metavar="NUMBER", help="The port to listen on; overrides KEYWRIGHT_PORT.")
@click.option("--workers", type=int, metavar="NUMBER", help="The number of processes; overrides KEYWRIGHT_WORKERS.")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """
    Run the service with the settings of the environment.

    A SQLite database is created and migrated first. Migrate a PostgreSQL one with `keywright migrate` before.
    """
    from keywright.cli.server.serve import run

    run(host=host, port=port, workers=workers)


@app.command(examples=("keywright doctor", "keywright doctor --json"))
@option_types.as_json
def doctor(as_json: bool) -> None:
    """Check the settings, the issuer, the database and Redis, and show how to fix each fault."""
    from keywright.cli.doctor.examination import run

    run(as_json=as_json)


@app.command(examples=("keywright healthcheck", "keywright healthcheck --ready --at unix:/run/keywright/agent.sock"))
@click.option("--ready", is_flag=True, help="Ask whether it is ready, by `/readyz`, and not only alive, by `/livez`.")
@click.option(
    "--at",
    metavar="ADDRESS",
    help="Where to ask: `host:port`, or `unix:` and a path; by default where the environment lets it listen.",
)
def healthcheck(ready: bool, at: str | None) -> None:
    """
    Ask the service or the agent of the same environment whether it is well; exit code 0 if it is, and 1 if not.

    For the health checks of containers: it runs beside the process, needs no shell and no other program, and waits
    for at most 3 seconds. The environment is an agent's if it has KEYWRIGHT_VERIFIER and no KEYWRIGHT_AUDIENCE.
    """
    from keywright.cli.server.healthcheck import run

    run(at, ready=ready)


app.add_command(agent)
app.add_command(dev)
app.add_command(migrate)
app.add_command(keys)
app.add_command(verifiers)
app.add_command(operator)
app.add_command(organizations)
app.add_command(audit)
app.add_command(restore_check)
app.add_command(console)
