"""
The schema: numbered SQL files, the same numbers for both engines. `keywright.storage.migrate` runs them.

A file is named by its revision, and its last statement records that revision in `alembic_version`. The oldest file
makes the whole schema of its revision. A file that was released never changes. A file for PostgreSQL runs in one
transaction, unless it says CONCURRENTLY: then its statements run one by one, and each must be repeatable.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from keywright.service.faults import StorageUnavailable

OnStep = Callable[[str], None]
"""Called with the revision of a migration as it begins."""

MIGRATE: Final = "run `keywright migrate`"

_HERE: Final = Path(__file__).parent


class TooOld(StorageUnavailable):
    """The database is older than the oldest migration."""


class Migrations:
    """
    The migrations of one engine.

    Args:
        folder: A folder with a file for each revision, whose names sort by time: `20261130_0006.sql`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.revisions: Final = sorted(path.stem for path in folder.glob("*.sql"))

    @property
    def head(self) -> str:
        """The newest revision."""
        return self.revisions[-1]

    def script(self, revision: str) -> str:
        """Read the SQL of one migration."""
        return (self._folder / f"{revision}.sql").read_text("utf-8")

    def missing(self, found: Collection[str]) -> list[str]:
        """
        Name the migrations that a database lacks.

        Args:
            found: The rows of its `alembic_version`; empty where there is no such table.

        Returns:
            Revisions in the order in which they must run. Empty for a database that is newer than this code, which
            works on it: migrations add first and remove a version later.

        Raises:
            TooOld: No migration leads from its revision to the newest one.
        """
        newest = max(found, default="")
        if found and newest < self.revisions[0]:
            raise TooOld(
                f"the database has revision {newest}, and this version migrates from {self.revisions[0]} on;"
                " migrate it with an earlier version first"
            )
        return [revision for revision in self.revisions if revision > newest]


SQLITE: Final = Migrations(_HERE / "sqlite")
POSTGRESQL: Final = Migrations(_HERE / "postgresql")
