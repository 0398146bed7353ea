"""The file by which other commands find a running demo."""

import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from keywright.dev.environment import DevEnvironment, EnvironmentFileError
from keywright.dev.folder import DevFolder

ENVIRONMENT = DevEnvironment(
    url="http://127.0.0.1:8080",
    token="a.b.c",
    verifier="kw_vk_x",
    database_url="sqlite:////home/me/it's $HOME/.keywright-dev/keywright.db",
)


@pytest.fixture
def folder(tmp_path: Path) -> DevFolder:
    return DevFolder.create(tmp_path / ".keywright-dev")


def test_file_is_its_owners(folder: DevFolder) -> None:
    """The file has mode 0600 from the moment it has its name, in a folder of mode 0700, also after a second start."""
    for _ in range(2):
        folder.save_environment(ENVIRONMENT)
        assert stat.S_IMODE((folder.path / "env").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {path.name for path in folder.path.iterdir()} == {".gitignore", "env"}


def test_what_was_written_is_read(folder: DevFolder) -> None:
    """Reading gives what was written, whatever characters the path of the database has."""
    folder.save_environment(ENVIRONMENT)
    assert DevEnvironment.read(folder.path / "env") == folder.former_environment() == ENVIRONMENT


def test_a_shell_can_read_it(folder: DevFolder) -> None:
    """A POSIX shell reads the same values; nothing in them is executed."""
    folder.save_environment(ENVIRONMENT)
    script = f'. {shlex.quote(str(folder.path / "env"))}; printf \'%s|%s\' "$KEYWRIGHT_URL" "$KEYWRIGHT_DATABASE_URL"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{ENVIRONMENT.url}|{ENVIRONMENT.database_url}"


def test_no_file(folder: DevFolder) -> None:
    """Before the first start there is none, and that is no error."""
    assert DevEnvironment.read(folder.path / "env") is None
    assert folder.former_environment() is None


@pytest.mark.parametrize(
    "content",
    ["", "KEYWRIGHT_URL=http://127.0.0.1:8080\n", "KEYWRIGHT_URL='", "x", ENVIRONMENT.lines.replace("sqlite", "x")],
)
def test_malformed(folder: DevFolder, content: str) -> None:
    """A file that is not as it was written is an error; the next start writes a new one."""
    folder.save_environment(ENVIRONMENT)
    (folder.path / "env").write_text(content)
    with pytest.raises(EnvironmentFileError):
        DevEnvironment.read(folder.path / "env")
    assert folder.former_environment() is None
