"""The database of a command: check its migrations, run work on its store."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from keywright import telemetry
from keywright.cli import exits
from keywright.service.faults import StorageUnavailable
from keywright.storage import migrate as storage
from keywright.storage.migrations import TooOld

if TYPE_CHECKING:
    from keywright.storage.engine import RunningStore

COMMAND = "keywright migrate"
OWNERS_DECIDE = "20261201_0012"
"""The migration from which on the stored rows decide who owns the id of an organization."""

Result = TypeVar("Result")


def is_embedded(url: str) -> bool:
    """Return whether *url* is a SQLite file, which the service itself migrates: no other host uses it."""
    return url.startswith("sqlite:")


def prepare(url: str, *, trusts_ids: bool, on_step: Callable[[str], object] = lambda step: None) -> None:
    """
    Migrate or check the database at *url*; end the command if the service cannot use it.

    An embedded database is migrated. Another one must be migrated already: several services may share it, so its
    operator decides when it changes. An unavailable one is accepted: the service answers 503 until it is available.

    Args:
        trusts_ids: As for `refuse_unclear_owners`.
        on_step: Called with the name of each migration as it begins.
    """
    log = telemetry.Log("keywright.database")

    def begin(step: str) -> None:
        on_step(step)
        log.info("migrated", step=step)

    try:
        pending = storage.pending(url)
        if pending and is_embedded(url):
            refuse_unclear_owners(url, pending, trusts_ids=trusts_ids)
            storage.migrate(url, begin)
            return
    except ValueError as error:
        exits.stop(f"KEYWRIGHT_DATABASE_URL: {error}.", exits.MISUSED)
    except TooOld as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.NOT_MIGRATED)
    except StorageUnavailable as fault:
        if is_embedded(url):
            exits.stop(f"The database cannot be used: {fault.reason}.", exits.FAILED)
        log.warning("the database cannot be reached; requests are answered 503 until it can", reason=fault.reason)
        return
    _require_nothing(pending)


def refuse_unclear_owners(url: str, pending: list[str], *, trusts_ids: bool) -> None:
    """
    End the command if a database of an earlier version has organizations whose ids tenants may have chosen.

    That version took a claim that is a UUID of version 5 as it stands. From now on the stored rows decide who owns an
    id, so the operator has to say once that they are right.

    Args:
        url: Of the database.
        pending: The migrations that it lacks.
        trusts_ids: Whether `KEYWRIGHT_ORG_CLAIM_FORMAT` is set, which says so.
    """
    if trusts_ids or OWNERS_DECIDE not in pending or pending == storage.all_of(url):
        return
    found = run(url, lambda store: store.self_named_organizations(limit=3))
    if found:
        exits.stop(unclear_owners([str(organization.id) for organization in found]), exits.NOT_MIGRATED)


def unclear_owners(ids: list[str]) -> str:
    """Give the sentence about organizations whose ids tenants may have chosen."""
    return (
        f"An earlier version took the ids of organizations from the tokens, and {', '.join(ids)} may be the derived id "
        "of another organization: if tenants can choose the claim, look at the keys and events of these organizations. "
        "Then set KEYWRIGHT_ORG_CLAIM_FORMAT: uuid if all your organizations have UUIDs that only the issuer chooses, "
        "auto otherwise."
    )


def require_migrated(url: str) -> None:
    """End the command unless the database at *url* is available and up to date; change nothing."""
    with ending_where_unusable():
        pending = storage.pending(url)
    _require_nothing(pending)


def run(url: str, work: "Callable[[RunningStore], Awaitable[Result]]") -> Result:
    """Open the database at *url*, await *work* on its store, and close it; an unavailable one ends the command."""
    # Not at the top: the supervisor of workers opens no store, and the import takes memory.
    from keywright.storage.engine import open_store

    async def open_and_work() -> Result:
        store = open_store(url)
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(open_and_work())
    except StorageUnavailable as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.UNAVAILABLE)


@contextmanager
def ending_where_unusable() -> Iterator[None]:
    """End the command if the URL is wrong or the database is unavailable."""
    try:
        yield
    except ValueError as error:
        exits.stop(f"KEYWRIGHT_DATABASE_URL: {error}.", exits.MISUSED)
    except StorageUnavailable as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.UNAVAILABLE)


def _require_nothing(pending: list[str]) -> None:
    if pending:
        exits.stop(f"The database is not migrated ({len(pending)} pending): run `{COMMAND}`.", exits.NOT_MIGRATED)
