"""What `keywright doctor` says about the database: reachable, migrated, keeping what it acknowledges; and its clock."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from keywright.cli.database import COMMAND, is_embedded
from keywright.cli.doctor import findings
from keywright.cli.doctor.findings import Finding
from keywright.service.faults import StorageUnavailable
from keywright.storage import migrate
from keywright.storage import url as database_url
from keywright.storage.engine import server_time
from keywright.storage.migrations import TooOld

CLOCK_SECONDS = 5
"""By how much the clocks of servers that share a database may differ without anybody noticing."""


async def check(url: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[Finding]:
    """
    Look at the database at *url*, changing nothing.

    Args:
        url: As in the settings.
        now: Tells the time, aware.
    """
    try:
        database_url.read(url)
    except ValueError as error:
        return [findings.fail("database", f"KEYWRIGHT_DATABASE_URL: {error}.", "Correct it.")]
    try:
        pending = await asyncio.to_thread(migrate.pending, url)
    except ValueError as error:
        # The server's own fault: it would acknowledge what a crash takes back.
        return [findings.fail("database", f"{error}.", "ALTER DATABASE … SET synchronous_commit = on;")]
    except TooOld as fault:
        mend = "Migrate it with an earlier version, then with this one."
        return [findings.fail("database", f"It cannot be used: {fault.reason}.", mend)]
    except StorageUnavailable as fault:
        mend = "Check that it runs, and its address, name, user and password in KEYWRIGHT_DATABASE_URL."
        return [findings.fail("database", f"It cannot be used: {fault.reason}.", mend)]
    sound = findings.ok("database", "It answers, and keeps what it acknowledges.")
    return [sound, _migrations(url, pending), *await _clock(url, now)]


def _migrations(url: str, pending: list[str]) -> Finding:
    if not pending:
        return findings.ok("migrations", "The database is up to date.")
    if is_embedded(url):
        return findings.ok("migrations", f"{len(pending)} pending; `keywright serve` migrates an embedded database.")
    return findings.fail("migrations", f"{len(pending)} pending: {', '.join(pending)}.", f"Run `{COMMAND}`.")


async def _clock(url: str, now: Callable[[], datetime]) -> list[Finding]:
    before = now()
    try:
        theirs = await server_time(url)
    except (StorageUnavailable, ValueError):
        # It answered a moment ago; whatever is the matter now, it is not the clock.
        return []
    if theirs is None:
        return []
    after = now()
    # The server looked at its clock somewhere in between.
    ahead = max((before - theirs).total_seconds(), 0) + min((after - theirs).total_seconds(), 0)
    return [findings.clock("the database", ahead, CLOCK_SECONDS, "keys expire at the wrong time")]
