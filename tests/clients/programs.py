"""Programs in other languages: they run in a clean environment, download nothing, and write to `.cache` only."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from tests.oidc_installation import CACHE

LIMIT_SECONDS = 240
OF_GO = {
    "HOME": str(CACHE),
    "GOCACHE": str(CACHE / "go-build"),
    "GOPATH": str(CACHE / "go"),
    "CGO_ENABLED": "0",
    "GOPROXY": "off",
    "GOTELEMETRY": "off",
    "GOTOOLCHAIN": "local",
}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """
    Run a program, and give what it prints.

    Raises:
        AssertionError: It failed; the message is what it printed.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def clean(environment: dict[str, str]) -> dict[str, str]:
    """Give an environment with the search path, what Go needs, and *environment*."""
    return {"PATH": os.environ["PATH"], **OF_GO, **environment}


def find_go() -> Path | None:
    """Find the toolchain that PyPI's wheel brings, or the machine's own."""
    wheel = find_spec("go")
    found = str(Path(wheel.origin).parent / "bin" / "go") if wheel and wheel.origin else shutil.which("go")
    return Path(found) if found else None
