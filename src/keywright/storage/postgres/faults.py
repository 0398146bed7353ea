"""What an error of PostgreSQL or of its driver means to a caller."""

from typing import Final

import asyncpg

from keywright.service.faults import StorageUnavailable
from keywright.storage.migrations import MIGRATE

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that the driver raises; timeouts are among `OSError`."""

_DATA: Final = ("22", "23")
# The last one: what was the primary takes no more writes. Whoever still talks to it looks for the new one.
_CONNECTION: Final = ("08", "57P", "25006")
_ROLLED_BACK: Final = ("40001", "40P01")
_NO_ROOM: Final = "KW001"
_NOT_MIGRATED: Final = ("42P01", "42703", "42883", "3F000")


class ConnectionLost(StorageUnavailable):
    """The connection broke; what was sent through it may have been carried out."""


class RolledBack(StorageUnavailable):
    """The server gave way to another transaction; nothing was carried out, and trying again makes sense."""


class NoRoom(ValueError):
    """
    The organization would have more active keys than it may have; nothing was carried out.

    Args:
        org_id: The organization, as text in hexadecimal digits.
    """

    def __init__(self, org_id: str) -> None:
        super().__init__("the organization has as many active keys as it may have")
        self.org_id = org_id


class NotDurable(StorageUnavailable):
    """The server acknowledges what a crash can take back."""

    def __init__(self) -> None:
        super().__init__("the server runs with synchronous_commit=off and would lose acknowledged keys; set it to on")


def fault(error: BaseException) -> Exception:
    """
    Say what *error*, one of `DRIVER_ERRORS`, means.

    Returns:
        `ValueError` where the data is at fault, `StorageUnavailable` or a kind of it otherwise. Nothing of it holds a
        value: the server's details and the driver's messages do.
    """
    if isinstance(error, asyncpg.PostgresError):
        return _server_fault(error, error.sqlstate or "XX000")
    if isinstance(error, asyncpg.DataError):
        return ValueError("PostgreSQL cannot be given such a value")
    if isinstance(error, TimeoutError):
        return StorageUnavailable("PostgreSQL did not answer in time")
    if isinstance(error, OSError):
        return ConnectionLost(f"the connection to PostgreSQL failed: {error.strerror or type(error).__name__}")
    return ConnectionLost(f"the connection to PostgreSQL broke: {type(error).__name__}")


def unavailable(error: BaseException) -> StorageUnavailable:
    """Say what *error* means where no caller gave data that could be at fault; see `fault`."""
    meaning = fault(error)
    return meaning if isinstance(meaning, StorageUnavailable) else StorageUnavailable(str(meaning))


def _server_fault(error: asyncpg.PostgresError, state: str) -> Exception:
    if state == _NO_ROOM:
        return NoRoom((error.detail or "").replace("-", ""))
    if state.startswith(_DATA):
        return ValueError(f"PostgreSQL refuses it: {error.constraint_name or state}")
    message = f"PostgreSQL: {error.args[0] if error.args else state} ({state})"
    if state in _NOT_MIGRATED:
        return StorageUnavailable(f"the database is not migrated, {MIGRATE} ({message})")
    if state.startswith(_CONNECTION):
        return ConnectionLost(message)
    if state in _ROLLED_BACK:
        return RolledBack(message)
    return StorageUnavailable(message)
