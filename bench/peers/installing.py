"""Puts a peer into an environment of its own under `.cache/bench/peers`, from its registry, and leaves it there."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.peers.contestants import Contestant
from bench.programs import node

CACHE = Path(__file__).parent.parent.parent / ".cache" / "bench" / "peers"
_INSTALL_SECONDS = 300
_SHOWN_CHARACTERS = 400
_REGISTRY = re.compile(r"https?://\S*(npm|pypi|pythonhosted|registry)\S*", re.IGNORECASE)
_OTHER_HOST = re.compile(r"https?://(?!127\.0\.0\.1|localhost)[^\s'\",)]+")
_NOISE = re.compile(r"npm error (A complete log|Note that you can also|or path, http|Log files).*|npm error\s*$")


class PeerFailed(Exception):
    """A peer could not be installed, started or asked; the message is its own, without paths of this machine."""

    def __init__(self, step: str, said: str) -> None:
        super().__init__(f"{step}: {scrubbed(said)}")


def installed(contestant: Contestant) -> Path:
    """
    Give the folder of a peer's environment, installed now or in an earlier run.

    Raises:
        PeerFailed: Its registry, its build or its preparation refused.
    """
    wanted = "\n".join([*contestant.requirements, *contestant.prepared_by, sys.version, contestant.registry])
    folder = CACHE / f"{contestant.program.split('.')[0]}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        {"PyPI": _from_pypi, "npm": _from_npm}[contestant.registry](folder, contestant.requirements)
        _prepare(folder, contestant)
        done.touch()
    return folder


def command(contestant: Contestant, environment: Path) -> list[str]:
    """Say what runs the programs of a peer in its environment."""
    if contestant.registry == "npm":
        return [_node()]
    return [str(environment / "bin" / "python")]


def _from_pypi(folder: Path, requirements: Sequence[str]) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    _run("uv venv", [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], folder)
    _run("uv pip install", [uv, "pip", "install", "--quiet", "--python", str(folder), *requirements], folder)


def _from_npm(folder: Path, requirements: Sequence[str]) -> None:
    (folder / "package.json").write_text('{"private": true}')
    npm = shutil.which("npm") or str(Path(_node()).with_name("npm"))
    _run("npm install", [npm, "install", "--no-audit", "--no-fund", *requirements], folder)


def _prepare(folder: Path, contestant: Contestant) -> None:
    if not contestant.prepared_by:
        return
    packages = next((folder / "lib").glob("python*/site-packages"))
    program, *words = (word.format(packages=packages) for word in contestant.prepared_by)
    _run(" ".join(contestant.prepared_by[:2]), [str(folder / "bin" / program), *words], folder)


def _node() -> str:
    found = node()
    if found is None:
        raise PeerFailed("node", "there is none")
    return found


def _run(step: str, words: Sequence[str], folder: Path) -> None:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise PeerFailed(step, f"not done after {_INSTALL_SECONDS} s") from None
    except OSError as error:
        raise PeerFailed(step, str(error)) from None
    if done.returncode:
        raise PeerFailed(step, done.stderr or done.stdout)


def scrubbed(text: str) -> str:
    """Say the end of what a program said, on one line, without paths of this machine or addresses of hosts."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    said = _OTHER_HOST.sub("another host", _REGISTRY.sub("the registry", " ".join(lines)))
    for place in (str(CACHE), str(Path.cwd()), tempfile.gettempdir(), sys.prefix, str(Path.home())):
        said = re.sub(re.escape(place) + r"[^\s:'\",)]*", "…", said)
    return said if len(said) <= _SHOWN_CHARACTERS else f"… {said[-_SHOWN_CHARACTERS:]}"
