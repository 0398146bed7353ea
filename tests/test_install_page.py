"""docs/install.md is true: its blocks run in a bare environment, and no other page says how to install."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keywright import __version__
from tests.markdown import PAGES, ROOT, blocks, name_of, read
from tests.provision import unavailable

PAGE = "docs/install.md"
CHECKOUT = ("pyproject.toml", "README.md", "LICENSE", "requirements", "src")
INSTALL_SECONDS = 280
KEPT = {name: value for name, value in os.environ.items() if name in ("HOME", "TMPDIR") or name.startswith("PIP_")}


def paste(script: str, folder: Path) -> str:
    """Have a shell read *script* in *folder*, where `python3` is this Python without its packages."""
    python = Path(sys.base_prefix) / "bin"
    done = subprocess.run(
        ["sh", "-e"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            **KEPT,
            "PATH": f"{python}{os.pathsep}{os.environ['PATH']}",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            # Two short commands import little of what is installed.
            "PIP_NO_COMPILE": "1",
        },
        timeout=INSTALL_SECONDS,
    )
    if re.search(r"No matching distribution|Temporary failure in name resolution|Could not fetch", done.stderr):
        unavailable(f"The package index ({done.stderr.strip()[-300:]})", "pip download --no-deps hatchling")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a build needs: pip writes beside the sources of a package."""
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.early
@pytest.mark.timeout(INSTALL_SECONDS)
def test_the_blocks_run(checkout: Path) -> None:
    """Pasted one after the other into a shell in a checkout, all blocks run; the command is there after the first."""
    first, locked, wheel, api_server = blocks(read(PAGE), "sh")
    printed = paste(f"{first}\n{locked}\n{wheel}\nkeywright --version\n{api_server}", checkout)
    assert printed.splitlines().count(f"keywright {__version__}") == 2
    (built,) = (checkout / "dist").iterdir()
    assert f"pip install dist/{built.name}" in read(PAGE)


@pytest.mark.parametrize("path", [*PAGES, ROOT / "examples" / "README.md"], ids=name_of)
def test_no_page_installs_from_an_index(path: Path) -> None:
    """No page tells a reader to install Keywright by its name, under which an index may have something else."""
    assert re.findall(r"pip install[^\n`]*\bkeywright\b(?!-)", path.read_text()) == []
