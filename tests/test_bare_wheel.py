"""What the package brings without its extra: a wheel, installed into an environment of its own from the index."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.provision import unavailable

ROOT = Path(__file__).parents[1]
DEPENDENCIES = ["cryptography", "httpx", "msgspec"]
SERVER = {"fastapi", "pydantic", "pydantic-core", "starlette", "uvicorn", "asyncpg", "rich", "click"}
INSTALL_SECONDS = 240
# Lists what is installed, then what of it each package asks for, then that the client can be used.
LISTING = """
import json, re
from importlib.metadata import distributions
needs = {}
for found in distributions():
    asked = (text for text in found.requires or () if "extra ==" not in text)
    needs[found.name.lower().replace("_", "-")] = [re.match("[A-Za-z0-9._-]+", text)[0].lower() for text in asked]
import keywright.client, keywright.contract
print(json.dumps(needs))
"""


@pytest.fixture(scope="module")
def needs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is installed beside the wheel, each package with those that it asks for."""
    folder = tmp_path_factory.mktemp("bare")
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(ROOT)]
    subprocess.run([sys.executable, *build], check=True, timeout=INSTALL_SECONDS)
    (wheel,) = folder.glob("keywright-*.whl")
    venv.create(folder / "environment")
    python = str(folder / "environment" / "bin" / "python")
    install = ["-m", "pip", f"--python={python}", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    done = subprocess.run(
        [sys.executable, *install, str(wheel)], capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
    )
    if done.returncode != 0:
        unavailable(f"The package index ({done.stderr.strip()[-300:]})", f"pip download {' '.join(DEPENDENCIES)}")
    listed = subprocess.run([python, "-c", LISTING], capture_output=True, text=True, check=True, cwd=folder)
    found: dict[str, list[str]] = json.loads(listed.stdout)
    return found


def test_what_keywright_asks_for(needs: dict[str, list[str]]) -> None:
    """The bare install asks for three packages, and none of the server's."""
    assert sorted(needs["keywright"]) == DEPENDENCIES


def test_what_came(needs: dict[str, list[str]]) -> None:
    """Nothing is installed that these three do not ask for in turn; msgspec asks for nothing."""
    came: set[str] = set()
    waiting = {"keywright"}
    while waiting:
        came |= waiting
        waiting = {name for package in waiting for name in needs.get(package, ())} - came
    assert needs.keys() <= came
    assert needs["msgspec"] == []
    assert not needs.keys() & SERVER
