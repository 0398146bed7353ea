"""
The database of a command: find it, check its migrations, run work on its store.

Only `prepare` creates a database, for `serve` and `dev`; `keywright migrate` has its own. All other commands use `run`,
which refuses a database that does not exist: a command in the wrong folder would work on an empty one, and create
credentials that no service knows.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from keywright.cli import exits, running_dev
from keywright.service.faults import StorageUnavailable
from keywright.storage import migrate as storage
from keywright.storage import url as database_url
from keywright.storage.migrations import TooOld
from keywright.storage.url import SqliteUrl

if TYPE_CHECKING:
    from keywright.service.verifiers import Verifiers
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

    An embedded database is created if it does not exist, and migrated. Another one must be migrated already: several
    services may share it, so its operator decides when it changes. An unavailable one is accepted: the service answers
    503 until it is available.

    Args:
        trusts_ids: As for `refuse_unclear_owners`.
        on_step: Called with the name of each migration as it begins.
    """
    # Not at the top: only a service measures and logs.
    from keywright import telemetry

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
    found = run_at(url, lambda store: store.self_named_organizations(limit=3))
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


def run(work: "Callable[[RunningStore], Awaitable[Result]]") -> Result:
    """
    Await *work* on the database of the environment, of a demo in this folder, or the default.

    Ends the command where there is none, or it is not up to date; neither creates nor migrates it.
    """
    settings = exits.load_database_settings()
    url = settings.database_url.get_secret_value()
    if "database_url" not in settings.model_fields_set:
        url = _beside_dev(url)
    _require_migrated(url)
    return run_at(url, work)


def run_at(url: str, work: "Callable[[RunningStore], Awaitable[Result]]") -> Result:
    """Open the database at *url*, which was prepared or checked before, await *work* on its store, and close it."""
    # Not at the top: the supervisor of workers opens no store, and the imports take memory; nor does a migration.
    import asyncio

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


def verifiers_of(store: "RunningStore", brand: str) -> "Verifiers":
    """Return the verifiers in *store*, for a command: nothing is cached between its calls."""
    import secrets

    from keywright import system
    from keywright.keys.cache import DigestCache
    from keywright.service.verifiers import Verifiers

    return Verifiers(
        store=store,
        cache=DigestCache(2),
        clock=system.utc_now,
        monotonic=system.boot_seconds,
        entropy=secrets.token_bytes,
        new_id=system.new_id,
        brand=brand,
        outage_seconds=0,
    )


def _beside_dev(default: str) -> str:
    """Return the URL of the demo in this folder; the default if there is no demo."""
    demo = running_dev.environment()
    if demo is None:
        return default
    place = database_url.read(default)
    if isinstance(place, SqliteUrl) and place.path.exists():
        exits.stop(
            f"There are two databases here, {place.path.resolve()} and that of `keywright dev`: "
            "set KEYWRIGHT_DATABASE_URL to the one that you mean.",
            exits.MISUSED,
        )
    running_dev.mention(f"Using the database of `keywright dev`, {demo.database_url}")
    return demo.database_url


def _require_migrated(url: str) -> None:
    """End the command unless the database at *url* exists, is available and up to date; change nothing."""
    with ending_where_unusable():
        place = database_url.read(url)
        if isinstance(place, SqliteUrl) and not place.path.exists():
            exits.stop(_absence(place.path), exits.NOT_MIGRATED)
        pending = storage.pending(url)
    _require_nothing(pending)


def _absence(path: Path) -> str:
    return (
        f"There is no database at {path.resolve()}: set KEYWRIGHT_DATABASE_URL to that of the service "
        f"(sqlite:////absolute/path.db or postgresql://…), or run `{COMMAND}` to create one here."
    )


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
