"""Who the peers are, and how one gets into an environment of its own under `.cache/bench`, from its registry."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.processes import HERE, ROOT, node
from bench.report import scrubbed

CACHE = ROOT / ".cache" / "bench" / "peers"
_INSTALL_SECONDS = 600


class PeerFailed(RuntimeError):
    """A peer could not be installed, started or asked; the message is its own, without paths of this machine."""

    def __init__(self, step: str, said: str) -> None:
        super().__init__(f"{step}: {scrubbed(said)}")


@dataclass(frozen=True, slots=True)
class Contestant:
    """A peer, as contestants.toml has it."""

    name: str
    registry: Literal["PyPI", "npm"]
    requirements: Sequence[str]
    program: str
    engine: Literal["sqlite", "postgresql"]
    configured: str
    differs: str


CONTESTANTS = [Contestant(**each) for each in tomllib.loads((HERE / "peers/contestants.toml").read_text())["peer"]]


def installed(contestant: Contestant) -> tuple[Path, str]:
    """
    Give the folder of a peer's environment, installed now or in an earlier run, and what runs a program in it.

    Raises:
        PeerFailed: Its registry or its build refused.
    """
    wanted = "\n".join([*contestant.requirements, sys.version])
    folder = CACHE / f"{contestant.program.split('.')[0]}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    uv = str(Path(sys.executable).with_name("uv"))
    if contestant.registry == "npm":
        interpreter = node() or "node"
        npm = shutil.which("npm") or str(Path(interpreter).with_name("npm"))
        commands = [[npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund"]]
    else:
        commands = [[uv, "venv", "--quiet", "--python", sys.executable, str(folder)]]
        commands += [[uv, "pip", "install", "--quiet", "--python", str(folder)]]
        interpreter = str(folder / "bin" / "python")
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        commands[-1] += contestant.requirements
        for command in commands:
            _run(command)
        (folder / "installed").touch()
    return folder, interpreter


def _run(command: Sequence[str]) -> None:
    step = " ".join([Path(command[0]).name, *command[1:2]])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)
    try:
        said, _ = process.communicate(timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(step, str(error)) from None
    finally:
        # What it has started to compile ends with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise PeerFailed(step, said)
