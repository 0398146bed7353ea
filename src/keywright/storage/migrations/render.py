"""
Renders the migrations to the SQL that is shipped: `python -m keywright.storage.migrations.render`.

For those who write a migration. A service runs the rendered files and imports neither Alembic nor this module;
tests/storage/test_migrations.py fails while a file differs from what is rendered here.
"""

from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

DIALECTS = ("sqlite", "postgresql")
HERE = Path(__file__).parent


def config(dialect: str = "sqlite", out: StringIO | None = None) -> Config:
    """Configure Alembic in code, to write what it would do in *dialect* to *out*."""
    made = Config(output_buffer=out)
    made.set_main_option("script_location", "keywright.storage:migrations")
    made.attributes["dialect"] = dialect
    return made


def revisions() -> list[str]:
    """Name every migration, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()][::-1]


def render(dialect: str, revision: str) -> str:
    """Give the SQL of one migration in *dialect*, with the row that records it."""
    known = revisions()
    place = known.index(revision)
    before = known[place - 1] if place else "base"
    out = StringIO()
    command.upgrade(config(dialect, out), f"{before}:{revision}", sql=True)
    return out.getvalue().strip() + "\n"


def file_of(dialect: str, revision: str) -> Path:
    """Say where the SQL of one migration is kept."""
    return HERE / "sql" / dialect / f"{revision}.sql"


def main() -> None:
    """Write the SQL of every migration on every engine."""
    for dialect in DIALECTS:
        for revision in revisions():
            target = file_of(dialect, revision)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(render(dialect, revision), encoding="utf-8")


if __name__ == "__main__":
    main()
