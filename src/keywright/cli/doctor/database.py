"""The checks of the database: is it available, migrated and durable, and is its clock right."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keywright.cli.database import COMMAND, is_embedded, unclear_owners
from keywright.cli.doctor import results
from keywright.cli.doctor.results import CheckResult
from keywright.service.faults import StorageUnavailable
from keywright.storage import migrate
from keywright.storage import url as database_url
from keywright.storage.engine import open_store, server_time
from keywright.storage.migrations import TooOld
from keywright.storage.url import PostgresUrl, SqliteUrl

_OTHERS = 0o077
_ROLE = "As the owner of the tables, run `keywright migrate --grant-to ROLE`; then serve as ROLE."

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
    exposed = await asyncio.to_thread(protection, url, pending)
    owners = [] if trusts_ids or pending == migrate.all_of(url) else await _owners(url)
    return [sound, _migrations(url, pending), *exposed, *owners, *await _clock(url, now)]


def _migrations(url: str, pending: list[str]) -> CheckResult:
    if not pending:
        return results.ok("migrations", "The database is up to date.")
    if is_embedded(url):
        return results.ok("migrations", f"{len(pending)} pending; `keywright serve` migrates an embedded database.")
    return results.fail("migrations", f"{len(pending)} pending: {', '.join(pending)}.", f"Run `{COMMAND}`.")


def protection(url: str, pending: list[str]) -> list[CheckResult]:
    """
    Check who else can read or change the data: the mode of a file, or the connection and the role of a server.

    Args:
        url: As in the settings.
        pending: The migrations that the database lacks; the role is checked when there are none.
    """
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        return _file(place.path)
    return [*_connection(place), *([] if pending else _role(place))]


def _file(path: Path) -> list[CheckResult]:
    if not path.exists() or not path.stat().st_mode & _OTHERS:
        return []
    message = f"Other users of this machine can read {path}, or write to it."
    return [results.warn("database file", message, f"chmod 600 {path}*")]


def _connection(place: PostgresUrl) -> list[CheckResult]:
    if not place.is_remote or place.sslmode == "verify-full":
        return []
    message = f"The connection to another host has sslmode={place.sslmode}: it may be read or answered by others."
    fix = "Append ?sslmode=verify-full&sslrootcert=/path/to/ca.pem to KEYWRIGHT_DATABASE_URL."
    return [results.warn("database connection", message, fix)]


def _role(place: PostgresUrl) -> list[CheckResult]:
    # Its driver takes a tenth of a second to import.
    from keywright.storage.postgres import roles

    try:
        powers = roles.powers(place)
    except (StorageUnavailable, ValueError):
        # The database was available a moment ago; this says nothing about its roles.
        return []
    if powers.is_superuser or powers.owns:
        return [results.warn("database role", "It could alter tables and switch off the audit log's triggers.", _ROLE)]
    if powers.changes:
        return [results.warn("database role", "It has rights to change the audit log.", _ROLE)]
    return [results.ok("database role", "It can add to the audit log, and cannot alter it.")]


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
