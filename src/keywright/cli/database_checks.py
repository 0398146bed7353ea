"""What `keywright doctor` says about the database: reachable, migrated, and keeping what it acknowledges."""

import asyncio

from keywright.cli.database import COMMAND, is_embedded
from keywright.cli.findings import Finding
from keywright.service.faults import StorageUnavailable
from keywright.storage import migrate
from keywright.storage import url as database_url


async def database(url: str) -> list[Finding]:
    """Look at the database at *url*, changing nothing."""
    try:
        database_url.read(url)
    except ValueError as error:
        return [Finding.fail("database", f"KEYWRIGHT_DATABASE_URL: {error}.", "Correct it.")]
    try:
        pending = await asyncio.to_thread(migrate.pending, url)
    except ValueError as error:
        # The server's own fault: it would acknowledge what a crash takes back.
        return [Finding.fail("database", f"{error}.", "ALTER DATABASE … SET synchronous_commit = on;")]
    except StorageUnavailable as fault:
        mend = "Check that it runs, and its address, name, user and password in KEYWRIGHT_DATABASE_URL."
        return [Finding.fail("database", f"It cannot be used: {fault.reason}.", mend)]
    return [Finding.ok("database", "It answers, and keeps what it acknowledges."), _migrations(url, pending)]


def _migrations(url: str, pending: list[str]) -> Finding:
    if not pending:
        return Finding.ok("migrations", "The database is up to date.")
    if is_embedded(url):
        return Finding.ok("migrations", f"{len(pending)} pending; `keywright serve` migrates an embedded database.")
    return Finding.fail("migrations", f"{len(pending)} pending: {', '.join(pending)}.", f"Run `{COMMAND}`.")
