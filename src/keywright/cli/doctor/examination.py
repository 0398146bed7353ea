"""`keywright doctor`: checks all that the service depends on, in the order in which a start would fail."""

import asyncio
import os
import sys
from itertools import chain

from rich.console import Console

from keywright import config
from keywright.cli import exits
from keywright.cli.doctor import certificate, database, issuer, limits, results, settings
from keywright.cli.doctor.results import CheckResult, Level
from keywright.config import Settings, SettingsError


def run(*, as_json: bool) -> None:
    """Print the results; exit code 1 if a check fails."""
    with Console(stderr=True).status("checking …"):
        found = asyncio.run(examine())
    if as_json:
        results.print_json(found)
    else:
        results.print_table(found)
    if any(result.level is Level.FAIL for result in found):
        sys.exit(exits.FAILED)


async def examine() -> list[CheckResult]:
    """Check the settings, the certificate, the ports, the issuer, the database and Redis."""
    unknown = settings.unknown_variables(os.environ)
    try:
        chosen = config.load()
    except SettingsError as error:
        return [results.fail("settings", str(error), "Every setting is in docs/reference/configuration.md."), *unknown]
    return [*settings.check(chosen), *unknown, *certificate.check(chosen), *await _surroundings(chosen)]


async def _surroundings(chosen: Settings) -> list[CheckResult]:
    found = await asyncio.gather(
        issuer.check(chosen.issuer),
        database.check(chosen.database_url.get_secret_value(), trusts_ids=chosen.trusts_org_ids),
        limits.check(chosen),
    )
    return [*await settings.ports(chosen), *chain.from_iterable(found)]
