"""The checks of the database: is it available, migrated and durable, and is its clock right."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from keywright.cli.database import COMMAND, is_embedded, unclear_owners
from keywright.cli.doctor import results
from keywright.cli.doctor.results import CheckResult
from keywright.service.faults import StorageUnavailable
from keywright.storage import migrate
from keywright.storage import url as database_url
from keywright.storage.engine import open_store, server_time
from keywright.storage.migrations import TooOld

CLOCK_SECONDS = 5
"""The difference of clocks, in seconds, that does no harm."""


async def check(
    url: str, *, trusts_ids: bool = True, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[CheckResult]:
    """
    Check the database at *url*; change nothing.

    Args:
        url: As in the settings.
        trusts_ids: Whether `KEYWRIGHT_ORG_CLAIM_FORMAT` is set; without it, ids that tenants may have chosen are shown.
        now: The current time, aware.
    """
    try:
        database_url.read(url)
    except ValueError as error:
        return [results.fail("database", f"KEYWRIGHT_DATABASE_URL: {error}.", "Correct it.")]
    try:
        pending = await asyncio.to_thread(migrate.pending, url)
    except ValueError as error:
        # A setting of the server: it would acknowledge transactions that a crash can lose.
        return [results.fail("database", f"{error}.", "ALTER DATABASE … SET synchronous_commit = on;")]
    except TooOld as fault:
        fix = "Migrate it with an earlier version, then with this one."
        return [results.fail("database", f"It cannot be used: {fault.reason}.", fix)]
    except StorageUnavailable as fault:
        fix = "Check that it runs, and its address, name, user and password in KEYWRIGHT_DATABASE_URL."
        return [results.fail("database", f"It cannot be used: {fault.reason}.", fix)]
    sound = results.ok("database", "It is available, and its commits are durable.")
    owners = [] if trusts_ids or pending == migrate.all_of(url) else await _owners(url)
    return [sound, _migrations(url, pending), *owners, *await _clock(url, now)]


def _migrations(url: str, pending: list[str]) -> CheckResult:
    if not pending:
        return results.ok("migrations", "The database is up to date.")
    if is_embedded(url):
        return results.ok("migrations", f"{len(pending)} pending; `keywright serve` migrates an embedded database.")
    return results.fail("migrations", f"{len(pending)} pending: {', '.join(pending)}.", f"Run `{COMMAND}`.")


async def _owners(url: str) -> list[CheckResult]:
    store = open_store(url)
    try:
        found = await store.self_named_organizations(limit=3)
    except StorageUnavailable:
        return []
    finally:
        await store.close()
    if not found:
        return []
    sentence, _, fix = unclear_owners([str(organization.id) for organization in found]).partition(": ")
    return [results.warn("organizations", f"{sentence}.", f"{fix[0].upper()}{fix[1:]}")]


async def _clock(url: str, now: Callable[[], datetime]) -> list[CheckResult]:
    before = now()
    try:
        theirs = await server_time(url)
    except StorageUnavailable:
        # The database was available a moment ago; this says nothing about its clock.
        return []
    if theirs is None:
        return []
    after = now()
    # The server read its clock between the two.
    ahead = max((before - theirs).total_seconds(), 0) + min((after - theirs).total_seconds(), 0)
    return [results.clock("the database", ahead, CLOCK_SECONDS, "keys expire at the wrong time")]
