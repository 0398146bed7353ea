"""`keywright doctor`: looks at everything the service depends on, in the order in which it would fail."""

import asyncio
import os

import typer
from rich.console import Console

from keywright import config
from keywright.cli import database_checks, exits, findings, issuer_checks, redis_checks, setting_checks
from keywright.cli.findings import Finding, Level
from keywright.config import Settings, SettingsError


def run(*, as_json: bool) -> None:
    """Print what is found; exit code 1 where something fails."""
    with Console(stderr=True).status("looking …"):
        found = asyncio.run(examine())
    if as_json:
        findings.print_json(found)
    else:
        findings.print_table(found)
    if any(finding.level is Level.FAIL for finding in found):
        raise typer.Exit(exits.FAILED)


async def examine() -> list[Finding]:
    """Look at the settings, the ports, the issuer, the database and who counts rate limits."""
    unknown = setting_checks.unknown_variables(os.environ)
    try:
        settings = config.load()
    except SettingsError as error:
        return [findings.fail("settings", str(error), "Every setting is in docs/reference/configuration.md."), *unknown]
    return [*setting_checks.settings(settings), *unknown, *await _surroundings(settings)]


async def _surroundings(settings: Settings) -> list[Finding]:
    issuer, database, limits = await asyncio.gather(
        issuer_checks.issuer(settings.issuer),
        database_checks.database(settings.database_url.get_secret_value()),
        redis_checks.limits(settings),
    )
    return [*await setting_checks.ports(settings), *issuer, *database, *limits]
