"""
The versions a database can have, and what a database of another version means. Known without asking Alembic.

tests/storage/test_migrations.py holds this list against Alembic's own.
"""

from collections.abc import Callable, Collection, Sequence
from importlib.resources import files
from typing import Final

OnStep = Callable[[str], None]
"""Called with the name of a migration as it begins."""

REVISIONS: Final = (
    *("20261123_0001", "20261123_0002", "20261125_0003", "20261125_0004", "20261126_0005"),
    "20261130_0006",
)
"""Every migration, oldest first, as `alembic_version.version_num` spells it."""

HEAD: Final = REVISIONS[-1]

MIGRATE: Final = "run `keywright migrate`"


def missing(found: Collection[str], revisions: Sequence[str] = REVISIONS) -> list[str]:
    """
    Name the migrations that a database lacks.

    Args:
        found: What its `alembic_version` holds; empty where there is no such table.
        revisions: Every migration, oldest first.

    Returns:
        Revisions in the order in which they are to be run. None are missing from a database that is newer than this
        code: migrations add first and remove a version later, so this version runs on it.
    """
    if any(revision not in revisions for revision in found):
        return []
    newest = max((revisions.index(revision) for revision in found), default=-1)
    return list(revisions[newest + 1 :])


def script(dialect: str, revision: str) -> str:
    """Give the SQL of one migration for `sqlite` or `postgresql`."""
    return (files("keywright.storage") / "migrations" / "sql" / dialect / f"{revision}.sql").read_text("utf-8")
