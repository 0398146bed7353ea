"""Brings a database to an older revision, or to one that is not shipped, by the runner that is shipped."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from keywright.storage import migrate, migrations
from keywright.storage.migrations import Migrations
from keywright.storage.postgres import migrate as postgres_migrate
from keywright.storage.url import SqliteUrl, read

SHIPPED = Path(migrations.__file__).parent


def make(url: str, revisions: Sequence[str]) -> None:
    """Run some of the shipped migrations."""
    with tempfile.TemporaryDirectory() as folder:
        for revision in revisions:
            shutil.copy(SHIPPED / _engine(url) / f"{revision}.sql", folder)
        run(url, Migrations(Path(folder)))


def run(url: str, steps: Migrations) -> None:
    """Run those of *steps* that a database lacks."""
    place = read(url)
    if isinstance(place, SqliteUrl):
        migrate.migrate_file(place.path, lambda step: None, steps)
    else:
        postgres_migrate.migrate(place, lambda step: None, steps)


def with_more(folder: Path, url: str, **scripts: str) -> Migrations:
    """Give the shipped migrations and more, by revision without its underscore at the front, made in *folder*."""
    shutil.copytree(SHIPPED / _engine(url), folder, dirs_exist_ok=True)
    for name, script in scripts.items():
        revision = name.removeprefix("_")
        recorded = f"UPDATE alembic_version SET version_num = '{revision}';"
        (folder / f"{revision}.sql").write_text(f"{script};\n\n{recorded}\n")
    return Migrations(folder)


def _engine(url: str) -> str:
    return "sqlite" if isinstance(read(url), SqliteUrl) else "postgresql"
