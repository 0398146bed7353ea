"""`keywright migrate`: brings the database up to date."""

import click

from keywright.cli import exits
from keywright.cli.commands import Command


@click.command(
    cls=Command,
    examples=("keywright migrate", "keywright migrate --check", "keywright migrate --grant-to keywright_serve"),
)
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if migrations are pending.")
@click.option(
    "--grant-to",
    metavar="ROLE",
    help="PostgreSQL: afterwards, give this role the rights that `serve` needs, and no others. Run it as the owner of "
    "the tables, and `serve` as ROLE.",
)
def migrate(check: bool, grant_to: str | None) -> None:
    """Bring the database that KEYWRIGHT_DATABASE_URL names up to date; a SQLite file is created if there is none."""
    from keywright.cli import database
    from keywright.storage import migrate as storage

    settings = exits.load_database_settings()
    url = settings.database_url.get_secret_value()
    with database.ending_where_unusable():
        steps = storage.pending(url)
        if steps and not check:
            database.refuse_unclear_owners(url, steps, trusts_ids=settings.trusts_org_ids)
            storage.migrate(url, lambda step: print(f"migrated: {step}"))
        if grant_to is not None and not check:
            storage.grant(url, grant_to)
            print(f"granted to {grant_to}: the rights of the service")
    if not check:
        print("The database is up to date." if steps else "The database was up to date.")
        return
    for step in steps:
        print(f"pending: {step}")
    if steps:
        exits.stop(f"The database is not migrated: run `{database.COMMAND}`.", exits.FAILED)
    print("The database is up to date.")
